"""Dialling keys, and the decision about remotes that dial us."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from adapter.swarm_support import HOST, meet, network, never_let_in
from peersockets_core import Address, KeyPair
from peersockets_trio import (
    ConnectionInfo,
    Instrument,
    Limits,
    PeerUnreachable,
    Refused,
)
from peersockets_trio.testing.internals import swarm_runtime


async def test_dialling_a_key_and_one_that_is_connected() -> None:
    async with network() as net:
        alice, bob = await net.add(), await net.add()
        await alice.swarm.join(alice.drive, lookup=False).flushed()
        info = await bob.swarm.connect(alice.key.hex())
        assert info == ConnectionInfo(alice.key, "hypercore11", Address(*alice.swarm.bound_address))
        assert await bob.swarm.connect(alice.key) == info
        assert (await alice.swarm.connect(bob.key)).public_key == bob.key


async def test_two_tasks_dial_the_same_key() -> None:
    async with network() as net:
        alice, bob = await net.add(), await net.add()
        await alice.swarm.join(alice.drive, lookup=False).flushed()
        infos: list[ConnectionInfo] = []

        async def dial() -> None:
            infos.append(await bob.swarm.connect(alice.key))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(dial)
            nursery.start_soon(dial)
        assert infos[0] == infos[1]
        assert bob.node.statistics().connections == 1


async def test_a_key_that_does_not_exist() -> None:
    async with network() as net:
        alice = await net.add()
        nobody = KeyPair.from_seed(b"n" * 32).ed25519_public_key
        with pytest.raises(PeerUnreachable, match="no node of the DHT knows the peer"):
            await alice.swarm.connect(nobody)
        # The next attempt is one of its own.
        with pytest.raises(PeerUnreachable):
            await alice.swarm.connect(nobody)


async def test_cancelling_a_dial() -> None:
    async with network() as net:
        alice = await net.add(bootstrap=[(HOST, 9)])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(alice.swarm.connect, KeyPair.from_seed(b"n" * 32).ed25519_public_key)
            await wait_all_tasks_blocked(0.01)
            assert len(nursery.child_tasks) == 1
            nursery.cancel_scope.cancel()
        runtime = swarm_runtime(alice.swarm)
        assert not runtime.machine.dials
        assert not runtime.udp.endpoint.streams


async def test_cancelling_one_of_two_that_wait_for_a_dial() -> None:
    async with network() as net:
        alice = await net.add(bootstrap=[(HOST, 9)])
        key = KeyPair.from_seed(b"n" * 32).ed25519_public_key
        runtime = swarm_runtime(alice.swarm)
        async with trio.open_nursery() as nursery:
            first = trio.CancelScope()

            async def wait() -> None:
                with first:
                    await alice.swarm.connect(key)

            nursery.start_soon(wait)
            nursery.start_soon(alice.swarm.connect, key)
            await wait_all_tasks_blocked(0.01)
            first.cancel()
            await wait_all_tasks_blocked(0.01)
            assert key in runtime.machine.dials
            nursery.cancel_scope.cancel()
        assert not runtime.machine.dials


@pytest.mark.parametrize("dialler", ["theirs", "ours"])
async def test_authenticate_holds_for_both_directions(dialler: str) -> None:
    asked: list[ConnectionInfo] = []
    refused = trio.Event()

    async def nobody(info: ConnectionInfo) -> None:
        asked.append(info)
        raise Refused("nobody is welcome")

    class Recorder(Instrument):
        def connection_failed(self, address: Any, wire: Any, error: Exception) -> None:
            refused.set()

    async with network() as net:
        strict, guest = await net.add(authenticate=nobody, instruments=[Recorder()]), await net.add()
        listener, caller = (strict, guest) if dialler == "theirs" else (guest, strict)
        await listener.swarm.join(listener.drive, lookup=False).flushed()
        if dialler == "ours":
            with pytest.raises(Refused, match="nobody is welcome"):
                await caller.swarm.connect(listener.key)
        else:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(never_let_in, caller, listener)
                await refused.wait()
                await wait_all_tasks_blocked(0.01)  # whatever follows the refusal has happened
                nursery.cancel_scope.cancel()
        assert [info.public_key for info in asked[:1]] == [guest.key]
        assert strict.node.statistics().connections == 0


async def test_a_decision_that_takes_too_long_does_not_count() -> None:
    asked = trio.Event()

    async def undecided(info: ConnectionInfo) -> None:
        asked.set()
        await trio.sleep_forever()

    async with network() as net:
        strict, guest = await net.add(authenticate=undecided), await net.add()
        await strict.swarm.join(strict.drive, lookup=False).flushed()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(guest.swarm.connect, strict.key)
            await asked.wait()
            nursery.cancel_scope.cancel()
        assert strict.node.statistics().connections == 0


async def test_a_full_node_gives_no_answer() -> None:
    asked: dict[bytes, trio.Event] = defaultdict(trio.Event)

    async def everybody(info: ConnectionInfo) -> None:
        asked[info.public_key].set()

    async with network() as net:
        full, guest = await net.add(limits=Limits(connections=1), authenticate=everybody), await net.add()
        member = await net.add()
        await meet(full, member)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(never_let_in, guest, full)
            await asked[guest.key].wait()
            await wait_all_tasks_blocked(0.01)  # a guest for whom there is a place is let in by now
            assert full.node.statistics().connections == 1
            nursery.cancel_scope.cancel()


async def test_failures_reach_instruments() -> None:
    failures: list[str] = []

    class Recorder(Instrument):
        def connection_failed(self, address: Any, wire: Any, error: Exception) -> None:
            failures.append(f"{wire}: {error}")

    async with network() as net:
        alice = await net.add(instruments=[Recorder()])
        with pytest.raises(PeerUnreachable):
            await alice.swarm.connect(KeyPair.from_seed(b"n" * 32).ed25519_public_key)
    assert failures == ["hypercore11: no node of the DHT knows the peer: it is not listening"]


async def test_a_peer_met_over_tcp_is_not_dialled_again() -> None:
    async with network() as net:
        alice, bob = await net.add(), await net.add()
        (listener,) = await alice.node.listen_tcp(0, host=HOST)
        await bob.node.connect_tcp(*listener.address, wire="hypercore11")
        for somebody in (alice, bob):
            await somebody.swarm.join(somebody.drive).flushed()
        assert alice.node.statistics().connections == 1
        assert len(alice.drive.peers) == 1
        # A swarm that is opened after the connection knows of it, too.
        async with bob.node.open_swarm(bootstrap=net.bootstrap, host=HOST) as late:
            assert (await late.connect(alice.key)).address == listener.address
