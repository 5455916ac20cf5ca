"""Many connections to one node: strangers, half-open ones, those that have ended, and members."""

from __future__ import annotations

import gc
from contextlib import AsyncExitStack

import pytest
import trio
import trio.testing

from adapter.support import (
    KEY,
    WIRE,
    all_tasks_blocked,
    connect_memory,
    limited,
    raw_peer,
    raw_tcp_peer,
    tasks,
)
from peersockets_core import HandshakeCompleted
from peersockets_core.wires.hypercore9 import frames
from peersockets_trio import Limits, PeerJoined, open_node
from peersockets_trio.runtime.connection_task import ConnectionTask
from peersockets_trio.testing.internals import node_runtime


async def test_the_memory_that_strangers_use_is_bounded() -> None:
    """Strangers give way, whatever they do, and do not affect a member."""
    limits = Limits(kept=1024 * 1024)
    part = frames.encode(0, 1, bytes(300_000))[:-1]
    with limited():
        async with (
            open_node(limits=limits) as node,
            node.open_drive(KEY) as drive,
            drive.join("chat") as chat,
            AsyncExitStack() as stack,
        ):
            (listener,) = await node.listen_tcp(0, host="127.0.0.1")
            member = await stack.enter_async_context(raw_tcp_peer(listener.address))
            await member.join()
            for _ in range(20):
                stranger = await stack.enter_async_context(raw_tcp_peer(listener.address))
                await stranger.flush()
                await stranger.until(HandshakeCompleted)
                await stranger.send_frames(part)
                await all_tasks_blocked()
                assert sum(task.connection.kept for task in tasks(node)) <= limits.kept
            assert len(tasks(node)) == 4
            await member.send_message("chat", b"still here")
            assert (await chat.receive()).message == b"still here"


async def test_the_oldest_handshake_gives_way() -> None:
    with limited():
        async with open_node(limits=Limits(handshakes=3)) as node, AsyncExitStack() as stack:
            peers = []
            for _ in range(5):
                peers.append(await stack.enter_async_context(raw_peer(node)))
                await all_tasks_blocked(0)
            assert len(tasks(node)) == 3
            for evicted in peers[:2]:
                with pytest.raises(trio.BrokenResourceError):
                    await evicted.flush()
            for kept in peers[2:]:
                await kept.flush()
                await kept.until(HandshakeCompleted)


async def test_a_flood_of_half_open_connections() -> None:
    """The flood holds no more handshakes than its bound, and does no harm to earlier and later members."""
    limits = Limits(handshakes=20)
    with limited():
        async with open_node(limits=limits) as node, open_node() as bob, open_node() as carol:
            (listener,) = await node.listen_tcp(0, host="127.0.0.1")
            async with node.open_drive(KEY) as drive, drive.watch() as events, AsyncExitStack() as stack:
                bob.open_drive(KEY)
                await bob.connect_tcp(*listener.address, wire=WIRE)
                assert isinstance(await events.receive(), PeerJoined)
                for number in range(200):
                    peer = await stack.enter_async_context(raw_tcp_peer(listener.address))
                    if number % 2:
                        await peer.stream.send_all(b"\x3a")  # the length of a first message
                    assert len(tasks(node)) <= 2 * limits.handshakes + 1
                await all_tasks_blocked()
                assert len(tasks(node)) == limits.handshakes + 1
                carol.open_drive(KEY)
                await carol.connect_tcp(*listener.address, wire=WIRE)
                assert isinstance(await events.receive(), PeerJoined)
                with pytest.raises(trio.WouldBlock):
                    events.receive_nowait()


async def test_connections_that_have_ended_leave_nothing_behind() -> None:
    with limited():
        async with open_node() as node:
            for _ in range(50):
                async with raw_peer(node):
                    await all_tasks_blocked(0)
            await all_tasks_blocked(0)
            assert not tasks(node)
            gc.collect()
            left = [
                thing
                for thing in gc.get_objects()
                if type(thing) is ConnectionTask and thing.runtime is node_runtime(node)
            ]
            assert len(left) <= 2


async def test_many_nodes_on_one() -> None:
    count = 50
    with limited():
        async with (
            open_node() as node,
            node.open_drive(KEY) as drive,
            drive.join("chat") as chat,
            AsyncExitStack() as stack,
        ):
            inboxes = []
            for _ in range(count):
                other = await stack.enter_async_context(open_node())
                inboxes.append(other.open_drive(KEY).join("chat"))
                await connect_memory(other, node)
            await all_tasks_blocked(0)
            assert list(drive.peers) == list(range(1, count + 1))
            assert await chat.broadcast(b"all") == count
            for inbox in inboxes:
                message = await inbox.receive()
                await inbox.send(message.peer_id, b"heard")
            heard = [await chat.receive() for _ in range(count)]
            assert sorted(message.peer_id for message in heard) == list(range(1, count + 1))
