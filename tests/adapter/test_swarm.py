"""Swarms on loopback: nodes that know nothing of each other but a drive's key."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from adapter.swarm_support import HOST, KEY, Net, Somebody, meet, network
from peersockets_trio import (
    PeerJoined,
    PeerLeft,
    open_node,
)
from peersockets_trio.runtime import bootstrap


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


async def test_accepted_messages_arrive_before_the_end() -> None:
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
