"""Swarms on loopback: nodes that know nothing of each other but a drive's key."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from peersockets_core import Address, KeyPair
from peersockets_trio import (
    ConnectionInfo,
    Drive,
    Instrument,
    Limits,
    Node,
    PeerJoined,
    PeerLeft,
    PeerUnreachable,
    Refused,
    Swarm,
    open_node,
)
from peersockets_trio.runtime import bootstrap
from peersockets_trio.runtime import swarm_runtime as runtime_module
from peersockets_trio.runtime.network_watch import NetworkWatch
from peersockets_trio.runtime.swarm_state import SwarmState
from peersockets_trio.testing.internals import node_runtime, swarm_runtime

HOST = "127.0.0.1"
KEY = "11" * 32


@attrs.define(eq=False)
class Somebody:
    """A node with a swarm and a drive."""

    node: Node
    swarm: Swarm
    drive: Drive

    @property
    def key(self) -> bytes:
        return self.swarm.public_key


class Net:
    """A network of our own, with a node that begins it and a second one."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.bootstrap: tuple[tuple[str, int], ...] = ()

    async def add(self, *, bootstrap: Any = None, **options: Any) -> Somebody:
        node = await self._stack.enter_async_context(open_node(**options))
        known = self.bootstrap if bootstrap is None else bootstrap
        swarm = await self._stack.enter_async_context(node.open_swarm(bootstrap=known, host=HOST))
        return Somebody(node, swarm, node.open_drive(KEY))


@asynccontextmanager
async def network() -> AsyncIterator[Net]:
    with trio.fail_after(120):
        async with AsyncExitStack() as stack:
            net = Net(stack)
            for _ in range(2):
                somebody = await net.add()
                net.bootstrap = net.bootstrap or (somebody.swarm.bound_address,)
            yield net


async def meet(alice: Somebody, bob: Somebody) -> None:
    """Let two of a drive find each other."""
    await alice.swarm.join(alice.drive).flushed()
    bob.swarm.join(bob.drive)
    async with alice.drive.watch() as events:
        async for event in events:
            if isinstance(event, PeerJoined) and event.public_key == bob.key:
                return


async def never_let_in(guest: Somebody, host: Somebody) -> None:
    """Dial somebody who must not accept it."""
    await guest.swarm.connect(host.key)
    raise AssertionError("it was let in")


async def test_a_drive_key_is_enough() -> None:
    async with network() as net:
        alice, bob = await net.add(), await net.add()
        await meet(alice, bob)
        async with alice.drive.join("chat") as ours, bob.drive.join("chat") as theirs:
            for sender, receiver in ((ours, theirs), (theirs, ours)):
                await sender.broadcast(b"hello")
                assert (await receiver.receive()).message == b"hello"
        assert alice.swarm.address == alice.swarm.bound_address
        # "open" if it was tested before the swarm wrote to the only host there is.
        assert alice.swarm.nat in {"consistent", "open"}
        statistics = alice.swarm.statistics()
        assert (statistics.topics, statistics.peers) == (1, 1)
        assert statistics.answers > 0


async def test_a_large_message_and_many_small_ones() -> None:
    async with network() as net:
        alice, bob = await net.add(), await net.add()
        await meet(alice, bob)
        async with alice.drive.join("chat") as ours, bob.drive.join("chat") as theirs:
            large = os.urandom(8 * 1024 * 1024)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ours.broadcast, large)
                assert (await theirs.receive()).message == large

            async def send() -> None:
                for number in range(5000):
                    await ours.broadcast(b"%d" % number)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                for number in range(5000):
                    assert (await theirs.receive()).message == b"%d" % number


async def test_a_clean_end_is_seen_at_once() -> None:
    async with network() as net:
        bob = await net.add()
        async with open_node() as node:
            async with node.open_swarm(bootstrap=net.bootstrap, host=HOST) as swarm:
                alice = Somebody(node, swarm, node.open_drive(KEY))
                await meet(alice, bob)
                events = bob.drive.watch()
                assert isinstance(await events.receive(), PeerJoined)
            left = await events.receive()
        assert isinstance(left, PeerLeft)
        assert (left.reason, left.unsent) == ("", 0)


async def test_what_was_accepted_arrives_before_the_end() -> None:
    async with network() as net:
        bob = await net.add()
        chat = bob.drive.join("chat")
        async with open_node() as node, node.open_swarm(bootstrap=net.bootstrap, host=HOST) as swarm:
            alice = Somebody(node, swarm, node.open_drive(KEY))
            await meet(alice, bob)
            ours = alice.drive.join("chat")
            for number in range(200):
                await ours.broadcast(b"%d" % number)
        assert [(await chat.receive()).message for _ in range(200)] == [b"%d" % n for n in range(200)]


async def test_drives_opened_later_on_a_connection_are_met_too() -> None:
    async with network() as net:
        alice, bob = await net.add(), await net.add()
        await meet(alice, bob)
        async with alice.node.open_drive("22" * 32) as drive, drive.watch() as events:
            bob.node.open_drive("22" * 32)
            assert isinstance(await events.receive(), PeerJoined)


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


async def test_a_key_that_nobody_has() -> None:
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


async def test_a_decision_that_takes_too_long_is_none() -> None:
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


async def test_no_place_is_no_answer() -> None:
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


async def test_closing_a_discovery() -> None:
    async with network() as net:
        alice, bob = await net.add(), await net.add()
        async with alice.swarm.join(alice.drive) as discovery:
            await discovery.flushed()
            discovery.refresh()
            assert discovery.topic == alice.drive.key.discovery_key
        assert discovery.closed
        discovery.close()
        await discovery.aclose()
        with pytest.raises(trio.ClosedResourceError, match="this Discovery is closed"):
            await discovery.flushed()
        with pytest.raises(trio.ClosedResourceError):
            discovery.refresh()
        await swarm_runtime(alice.swarm).wait_withdrawn()
        found = bob.swarm.join(bob.drive, announce=False)
        await found.flushed()
        assert bob.swarm.statistics().peers == 0


async def test_closing_wakes_whoever_waits() -> None:
    async with network() as net:
        alice = await net.add(bootstrap=[(HOST, 9)])
        discovery = alice.swarm.join(alice.drive)

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await discovery.flushed()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await wait_all_tasks_blocked(0.01)
            discovery.close()


async def test_a_closed_swarm() -> None:
    async with open_node() as node:
        async with node.open_swarm(bootstrap=(), host=HOST) as swarm:
            discovery = swarm.join(KEY)
        assert swarm.closed
        assert discovery.closed
        with pytest.raises(trio.ClosedResourceError, match="this Swarm is closed"):
            swarm.join(KEY)
        with pytest.raises(trio.ClosedResourceError):
            await swarm.connect(bytes(32))
    with pytest.raises(trio.ClosedResourceError):
        node.open_swarm()


async def test_a_network_that_appears_later() -> None:
    async with network() as net:
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as probe:
            await probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        alice = await net.add(bootstrap=[(HOST, port)])
        discovery = alice.swarm.join(alice.drive)
        async with open_node() as node:
            flushed = trio.Event()

            async def flush() -> None:
                await discovery.flushed()
                flushed.set()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(flush)
                await wait_all_tasks_blocked(0.01)
                assert not flushed.is_set()
                async with node.open_swarm(bootstrap=net.bootstrap, host=HOST, port=port):
                    await flushed.wait()
        assert alice.swarm.statistics().nodes > 0


async def test_the_first_node_of_a_network_finds_peers_itself() -> None:
    with trio.fail_after(120):
        async with AsyncExitStack() as stack:
            net = Net(stack)
            first = await net.add(bootstrap=())
            net.bootstrap = (first.swarm.bound_address,)
            await meet(first, await net.add())


async def test_names_are_looked_up() -> None:
    async with network() as net:
        port = net.bootstrap[0][1]
        alice = await net.add(bootstrap=[("localhost", port)])
        await alice.swarm.join(alice.drive).flushed()
        assert alice.swarm.statistics().nodes > 0


async def test_nothing_is_flushed_before_names_have_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    known = trio.Event()

    async def resolve(nodes: list[tuple[str, int]]) -> list[tuple[str, int]]:
        await known.wait()
        return [(HOST, port) for _, port in nodes]

    monkeypatch.setattr(bootstrap, "resolve", resolve)
    async with network() as net:
        alice = await net.add(bootstrap=[("a.name", net.bootstrap[0][1])])
        discovery = alice.swarm.join(alice.drive, announce=False)
        await wait_all_tasks_blocked(0.05)
        with trio.move_on_after(0.05):
            await discovery.flushed()
        assert alice.swarm.statistics().nodes == 0
        known.set()
        await discovery.flushed()
        assert alice.swarm.statistics().nodes > 0


class Mishap(Exception):
    """Something that ends a program."""


async def found_by(net: Net) -> int:
    """How many peers somebody finds who comes now."""
    async with open_node() as node, node.open_swarm(bootstrap=net.bootstrap, host=HOST) as swarm:
        await swarm.join(KEY, announce=False).flushed()
        return swarm.statistics().peers


@pytest.mark.parametrize("how", ["error", "cancellation", "error within the discovery"])
async def test_an_announcement_is_withdrawn_however_the_swarm_is_left(how: str) -> None:
    async with network() as net:
        with trio.CancelScope() as scope, suppress(Mishap):
            async with open_node() as node, node.open_swarm(bootstrap=net.bootstrap, host=HOST) as swarm:
                discovery = swarm.join(KEY)
                await discovery.flushed()
                assert await found_by(net) == 1
                if how == "cancellation":
                    scope.cancel()
                    await trio.sleep_forever()
                if how == "error":
                    raise Mishap
                async with discovery:
                    raise Mishap
        assert await found_by(net) == 0


async def test_withdrawing_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_module, "WITHDRAW_TIME", 0.0)
    with trio.fail_after(120):
        with trio.CancelScope() as scope:
            async with (
                open_node() as first,
                first.open_swarm(bootstrap=(), host=HOST) as begun,
                open_node() as node,
                node.open_swarm(bootstrap=[begun.bound_address], host=HOST) as swarm,
            ):
                await swarm.join(KEY).flushed()
                await begun.suspend()  # nobody confirms anything any more
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert swarm.closed
        assert swarm_runtime(swarm).machine.withdrawing


async def test_a_suspended_swarm_is_silent_and_comes_back() -> None:
    async with network() as net:
        alice, bob = await net.add(), await net.add()
        await meet(alice, bob)
        (before,) = alice.drive.peers
        async with alice.drive.watch() as events:
            await events.receive()
            for _ in range(2):
                await bob.swarm.suspend()
            assert isinstance(await events.receive(), PeerLeft)
            assert bob.swarm.suspended
            assert bob.node.statistics().connections == 0
            assert await found_by(net) == 1  # alice
            sent = swarm_runtime(bob.swarm).udp.datagrams_sent
            with pytest.raises(PeerUnreachable, match="the swarm is suspended"):
                await bob.swarm.connect(alice.key)
            later = bob.swarm.join(b"t" * 32)
            bob.swarm.resume()
            while (joined := await events.receive()).public_key != bob.key:
                pass
            assert isinstance(joined, PeerJoined)
            assert joined.peer_id == before
            await later.flushed()
            assert swarm_runtime(bob.swarm).udp.datagrams_sent > sent


async def test_suspending_that_is_cancelled_is_silent_all_the_same() -> None:
    async with network() as net:
        alice, bob = await net.add(), await net.add()
        await meet(alice, bob)
        with trio.CancelScope() as scope:
            scope.cancel()
            await bob.swarm.suspend()
        assert not bob.swarm.suspended
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bob.swarm.suspend)
            while not swarm_runtime(bob.swarm).machine.suspended:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert swarm_runtime(bob.swarm).state is SwarmState.SUSPENDED
        bob.swarm.resume()
        await bob.swarm.join(bob.drive).flushed()


async def test_a_sleep_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock that goes on in a sleep is ahead of ours afterwards."""
    slept = 0.0

    def clock() -> float:
        return trio.current_time() + slept

    monkeypatch.setattr(runtime_module, "INTERVAL", 0.01)
    monkeypatch.setattr(runtime_module, "NetworkWatch", partial(NetworkWatch, clock=clock))
    async with network() as net:
        alice = await net.add()
        await alice.swarm.join(alice.drive).flushed()
        announced = trio.Event()

        class Announcements(Instrument):
            def topic_announced(self, topic: bytes, nodes: int) -> None:
                announced.set()

        node_runtime(alice.node).telemetry.add(Announcements())
        slept = 3600.0
        await announced.wait()


async def test_bad_arguments() -> None:
    async with open_node() as node, node.open_swarm(bootstrap=(), host=HOST) as swarm:
        with pytest.raises(ValueError, match="topic must be 32 bytes, not 3"):
            swarm.join(b"abc")
        with pytest.raises(ValueError, match="not a drive key"):
            swarm.join("abc")
        with pytest.raises(ValueError, match="must not both be False"):
            swarm.join(KEY, announce=False, lookup=False)
        with pytest.raises(ValueError, match="public_key must be a public key"):
            await swarm.connect("abc")
        with pytest.raises(ValueError, match="public_key is not a valid point"):
            await swarm.connect(bytes(32))


async def test_a_port_that_is_taken() -> None:
    async with open_node() as node, node.open_swarm(bootstrap=(), host=HOST) as swarm:
        with pytest.raises(OSError, match="in use"):
            async with node.open_swarm(bootstrap=(), host=HOST, port=swarm.bound_address[1]):
                pass
