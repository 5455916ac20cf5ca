"""Real Hyperswarm applications with real hyperdrives. Both sides know only a drive key."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from interop import roaming
from interop.real_peer import RealPeer, RealTopic, digest, numbered
from interop.swarm_peers import (
    Ours,
    gather,
    join,
    joined,
    open_application,
    open_dht_network,
    open_ours,
)
from network_namespace import UNSHARE
from peersockets_trio import ConnectionInfo, Drive, DriveKey, PeerGone, PeerLeft, Refused

pytestmark = pytest.mark.interop

OPTIONS: list[dict[str, Any]] = [{}, {"firewalled": False}]
"""The options that applications give their HyperDHT: none, and one that makes them reachable by everybody."""


def names(options: dict[str, Any]) -> str:
    return "open" if options else "default"


async def create_drive(peer: RealPeer) -> DriveKey:
    created = await peer.call("createDrive")
    return DriveKey.parse(created["key"])


async def join_topic(peer: RealPeer, drive: Drive, *, quiet: bool = False) -> RealTopic:
    handle = await peer.call("joinTopic", drive=drive.key.public_key.hex(), topic="chat", quiet=quiet)
    return RealTopic(peer, handle["handle"])


async def converse(ours: Ours, drive: Drive, peer: RealPeer) -> None:
    """Send one message each way."""
    topic = await join_topic(peer, drive)
    async with drive.join("chat") as chat:
        member = await joined(drive, peer.public_key)
        await peer.wait_event("peer-add", drive=drive.key.public_key.hex(), publicKey=ours.key.hex())
        await chat.send(member.peer_id, b"from Python")
        assert await topic.receive() == (ours.key, b"from Python")
        await topic.send(ours.key, b"from JavaScript")
        assert (await chat.receive()).message == b"from JavaScript"


@pytest.mark.parametrize("first", ["they", "we", "both"])
@pytest.mark.parametrize("options", OPTIONS, ids=names)
async def test_either_side_comes_first_or_both_in_the_same_instant(
    first: str, options: dict[str, Any]
) -> None:
    async with (
        open_dht_network() as network,
        open_application(network, **options) as peer,
        open_ours(network) as ours,
        ours.node.open_drive(await create_drive(peer)) as drive,
    ):
        if first == "they":
            await join(peer, drive, flush=True)
        discovery = ours.swarm.join(drive)
        if first == "we":
            await discovery.flushed()
        if first != "they":
            await join(peer, drive)
        await converse(ours, drive, peer)
        assert ours.node.statistics().connections == 1


@pytest.mark.parametrize("who", ["they announce", "we announce"])
async def test_one_side_announces_and_the_other_looks_it_up(who: str) -> None:
    async with (
        open_dht_network() as network,
        open_application(network) as peer,
        open_ours(network) as ours,
        ours.node.open_drive(await create_drive(peer)) as drive,
    ):
        we = who == "we announce"
        if we:
            await ours.swarm.join(drive, lookup=False).flushed()
        await join(peer, drive, server=not we, client=we, flush=True)
        if not we:
            ours.swarm.join(drive, announce=False)
        await converse(ours, drive, peer)


async def test_four_and_four_all_meet() -> None:
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(open_dht_network())
        peers = [await stack.enter_async_context(open_application(network)) for _ in range(4)]
        ours = [await stack.enter_async_context(open_ours(network)) for _ in range(4)]
        key = await create_drive(peers[0])
        for peer in peers[1:]:
            await peer.call("openDrive", key=key.public_key.hex())
        drives = [one.node.open_drive(key) for one in ours]
        for drive, one in zip(drives, ours, strict=True):
            one.swarm.join(drive)
        await gather(*(partial(join, peer, key.discovery_key) for peer in peers))
        everybody = {peer.public_key for peer in peers} | {one.key for one in ours}
        for drive, one in zip(drives, ours, strict=True):
            for public_key in everybody - {one.key}:
                await joined(drive, public_key)
        for peer in peers:
            for one in ours:
                await peer.wait_event("peer-add", publicKey=one.key.hex())


async def test_an_application_that_is_killed_and_comes_back_has_its_id_again() -> None:
    seed = b"k" * 32
    async with open_dht_network() as network, open_ours(network) as ours, AsyncExitStack() as stack:
        first = await stack.enter_async_context(open_application(network, seed=seed))
        key = await create_drive(first)
        drive = await stack.enter_async_context(ours.node.open_drive(key))
        await join(first, key.discovery_key, flush=True)
        ours.swarm.join(drive)
        before = await joined(drive, first.public_key)
        await first.process.kill()
        second = await stack.enter_async_context(open_application(network, seed=seed))
        assert second.public_key == first.public_key
        await second.call("openDrive", key=key.public_key.hex())
        await join(second, key.discovery_key)
        topic = await join_topic(second, drive)
        async with drive.join("chat") as chat:
            while not topic.peer.happened("message"):
                with suppress(PeerGone):
                    await chat.send(before.peer_id, b"welcome back")
                with trio.move_on_after(0.2):
                    await topic.receive()
        assert next(iter(drive.peers)) == before.peer_id


async def test_the_other_side_sees_a_leave_at_once() -> None:
    """A side that leaves sends a notice, so the other side need not wait for a silence."""
    async with open_dht_network() as network, open_application(network) as peer:
        key = await create_drive(peer)
        await join(peer, key.discovery_key, flush=True)
        async with open_ours(network) as ours, ours.node.open_drive(key) as drive:
            ours.swarm.join(drive)
            await joined(drive, peer.public_key)
            await peer.wait_event("peer-add", publicKey=ours.key.hex())
        closed = await peer.wait_event("connection-closed", publicKey=ours.key.hex())
        assert closed["error"] is None
        async with open_ours(network) as ours, ours.node.open_drive(key) as drive:
            ours.swarm.join(drive)
            await joined(drive, peer.public_key)
            async with drive.watch() as events:
                await events.receive()
                await peer.call("closeSwarm")
                left = await events.receive()
                assert isinstance(left, PeerLeft)
                assert left.reason == "udx: the remote has destroyed the stream"


async def test_an_application_sees_a_suspended_swarm_leave_and_come_back() -> None:
    async with open_dht_network() as network, open_application(network) as peer:
        key = await create_drive(peer)
        await join(peer, key.discovery_key, flush=True)
        async with open_ours(network) as ours, ours.node.open_drive(key) as drive:
            ours.swarm.join(drive)
            before = await joined(drive, peer.public_key)
            await peer.wait_event("peer-add", publicKey=ours.key.hex())
            async with drive.watch() as events:
                await events.receive()
                await ours.swarm.suspend()
                closed = await peer.wait_event("connection-closed", publicKey=ours.key.hex())
                assert closed["error"] is None
                assert isinstance(await events.receive(), PeerLeft)
            assert not drive.peers
            ours.swarm.resume()
            assert await joined(drive, peer.public_key) == before
            await peer.wait_event("peer-add", publicKey=ours.key.hex())


async def test_a_stranger_on_the_topic_never_becomes_a_member() -> None:
    async with (
        open_dht_network() as network,
        open_application(network) as peer,
        open_application(network) as stranger,
        open_ours(network) as ours,
        ours.node.open_drive(await create_drive(peer)) as drive,
    ):
        await join(stranger, drive, flush=True)
        await join(peer, drive, flush=True)
        ours.swarm.join(drive)
        await joined(drive, peer.public_key)
        await stranger.wait_event("connection", publicKey=ours.key.hex())
        while ours.node.statistics().connections < 2:  # strangers cause no event
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert [info.public_key for info in drive.peers.values()] == [peer.public_key]


async def test_a_key_that_their_firewall_refuses() -> None:
    async with open_dht_network() as network, open_application(network, allow=[]) as peer:
        key = await create_drive(peer)
        await join(peer, key.discovery_key, server=True, client=False, flush=True)
        async with open_ours(network) as ours, ours.node.open_drive(key) as drive:
            await ours.swarm.join(drive).flushed()
            assert not drive.peers
            assert not peer.happened("connection")


async def test_a_key_that_we_refuse() -> None:
    async def nobody(info: ConnectionInfo) -> None:
        raise Refused("nobody is welcome")

    async with open_dht_network() as network, open_application(network) as peer:
        key = await create_drive(peer)
        async with open_ours(network, authenticate=nobody) as ours, ours.node.open_drive(key) as drive:
            await ours.swarm.join(drive, lookup=False).flushed()
            await join(peer, key.discovery_key, server=False, client=True, flush=True)
            assert not drive.peers
            assert not peer.happened("connection")


async def test_fifty_drives_on_one_node() -> None:
    async with open_dht_network() as network, open_application(network) as peer, open_ours(network) as ours:
        keys = [await create_drive(peer) for _ in range(50)]
        drives = [ours.node.open_drive(key) for key in keys]
        for key in keys:
            await join(peer, key.discovery_key)
        for drive in drives:
            ours.swarm.join(drive)
        for drive in drives:
            await joined(drive, peer.public_key)
        assert ours.node.statistics().connections == 1


@pytest.mark.parametrize("size", [0, 1, 1200, 65_536, 8 * 1024 * 1024])
async def test_messages_of_any_size(size: int) -> None:
    async with (
        open_dht_network(3) as network,
        open_application(network) as peer,
        open_ours(network) as ours,
        ours.node.open_drive(await create_drive(peer)) as drive,
    ):
        await join(peer, drive, flush=True)
        ours.swarm.join(drive)
        topic = await join_topic(peer, drive)
        async with drive.join("chat") as chat:
            member = await joined(drive, peer.public_key)
            await peer.wait_event("peer-add", publicKey=ours.key.hex())
            message = bytes(index % 251 for index in range(size))
            await chat.send(member.peer_id, message)
            assert await topic.receive() == (ours.key, message)
            await topic.send(ours.key, message)
            assert (await chat.receive()).message == message


async def test_twenty_thousand_messages_each_way_arrive_in_order() -> None:
    count, size = 20_000, 64
    async with (
        open_dht_network(3) as network,
        open_application(network) as peer,
        open_ours(network) as ours,
        ours.node.open_drive(await create_drive(peer)) as drive,
    ):
        await join(peer, drive, flush=True)
        ours.swarm.join(drive)
        topic = await join_topic(peer, drive, quiet=True)
        async with drive.join("chat") as chat:
            member = await joined(drive, peer.public_key)
            await peer.wait_event("peer-add", publicKey=ours.key.hex())
            received: list[bytes] = []

            async def send() -> None:
                for message in numbered(count, size):
                    await chat.send(member.peer_id, message)

            async def receive() -> None:
                while len(received) < count:
                    received.extend(message.message for message in await chat.receive_batch())

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                nursery.start_soon(receive)
                sent = await topic.send_many(ours.key, count=count, size=size)
            assert digest(received) == sent
            while (await topic.received())["count"] < count:
                pass
            assert await topic.received() == digest(numbered(count, size))


async def test_real_drives_replicate_beside_us_and_never_wait_for_us() -> None:
    async with (
        open_dht_network() as network,
        open_application(network) as writer,
        open_application(network) as reader,
        open_ours(network) as ours,
    ):
        key = await create_drive(writer)
        await writer.call("writeFile", key=key.public_key.hex(), path="/a.txt", content="a file")
        async with ours.node.open_drive(key) as drive:
            await join(writer, drive, flush=True)
            ours.swarm.join(drive)
            await joined(drive, writer.public_key)
            # A real side whose only peer is ours does not wait for data.
            assert "updated" in await writer.call("update", key=key.public_key.hex())
            await reader.call("openDrive", key=key.public_key.hex())
            await join(reader, drive)
            await joined(drive, reader.public_key)
            await reader.wait_event("peer-add", publicKey=writer.public_key.hex())
            await reader.call("update", key=key.public_key.hex())
            read = await reader.call("readFile", key=key.public_key.hex(), path="/a.txt")
            assert read["content"] == "a file"
            await converse(ours, drive, reader)


async def test_a_bootstrap_node_that_dies() -> None:
    async with (
        open_dht_network() as network,
        open_application(network) as peer,
        open_ours(network) as ours,
        ours.node.open_drive(await create_drive(peer)) as drive,
    ):
        await ours.swarm.join(drive).flushed()
        await network.stop_node(0)
        await join(peer, drive)
        await converse(ours, drive, peer)


async def test_a_real_peer_met_over_tcp_and_in_the_swarm_is_one_peer() -> None:
    async with (
        open_dht_network() as network,
        open_application(network) as peer,
        open_ours(network) as ours,
        ours.node.open_drive(await create_drive(peer)) as drive,
    ):
        await ours.node.connect_tcp("127.0.0.1", peer.port, wire="hypercore11")
        member = await joined(drive, peer.public_key)
        await join(peer, drive, server=True, client=False, flush=True)
        await ours.swarm.join(drive).flushed()
        assert list(drive.peers) == [member.peer_id]
        await converse(ours, drive, peer)


@pytest.mark.slow
def test_a_host_that_moves_or_loses_its_network_is_the_same_peer_again() -> None:
    played = subprocess.run(
        [*UNSHARE, sys.executable, "-W", "ignore", roaming.__file__],
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
        check=True,
    )
    happened = [json.loads(line) for line in played.stdout.splitlines()]
    assert [line["event"] for line in happened] == ["met", "another address", "no network for a while"]
    assert {line["id"] for line in happened} == {1}
