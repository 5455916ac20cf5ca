"""`peersockets_trio.runtime.writer`: back pressure of output, and streams that break while we write."""

from __future__ import annotations

import os
import socket
import struct

import pytest
import trio
import trio.testing

from adapter.support import (
    KEY,
    WIRE,
    all_tasks_blocked,
    connect_hypercore11,
    connect_lockstep,
    connect_tcp,
    extension_name,
    fill,
    limited,
    listen,
    open_chat_node,
    outbox_size,
    raw_member,
    raw_tcp_peer,
    tasks,
)
from peersockets_trio import Limits, PeerLeft, open_node
from peersockets_trio.runtime.transport import SEND_SIZE
from peersockets_trio.testing import ChaosStream, Connect, connect_nodes, join_side

SMALL = Limits(send_buffer=20_000, receive_messages=10)


@pytest.mark.parametrize("connect", [connect_lockstep, connect_tcp, connect_hypercore11])
async def test_a_slow_reader(connect: Connect) -> None:
    """Its queue is bounded, the others continue, and at the end it has received everything."""
    count = 3000
    sent = 0
    with limited():
        async with (
            open_node(limits=SMALL) as alice,
            open_node(limits=SMALL) as slow,
            open_node(limits=SMALL) as quick,
            alice.open_drive(KEY) as drive,
            slow.open_drive(KEY) as slow_drive,
            quick.open_drive(KEY) as quick_drive,
            drive.watch() as events,
            drive.join("chat") as outbox,
            slow_drive.join("chat") as slow_inbox,
            quick_drive.join("chat") as quick_inbox,
        ):
            await connect(alice, slow)
            slow_id = (await events.receive()).peer_id
            await connect(alice, quick)
            quick_id = (await events.receive()).peer_id

            async def send_all() -> None:
                nonlocal sent
                for number in range(count):
                    await outbox.send(slow_id, number.to_bytes(2, "big") * 2000)
                    sent += 1

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_all)
                await all_tasks_blocked()
                assert 0 < sent < count
                assert outbox_size(alice) <= SMALL.send_buffer + 4100
                waiting = slow_inbox.statistics()
                assert waiting.waiting_messages < 100
                for number in range(200):
                    await outbox.send(quick_id, bytes([number]))
                    assert (await quick_inbox.receive()).message == bytes([number])
                assert slow_inbox.statistics() == waiting
                for number in range(count):
                    message = (await slow_inbox.receive()).message
                    assert message == number.to_bytes(2, "big") * 2000


class Plain(trio.abc.Stream):
    """A stream that cannot be closed in one direction only."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._stream.aclose()


def plain_streams() -> tuple[Plain, Plain]:
    ours, theirs = trio.testing.lockstep_stream_pair()
    return Plain(ours), Plain(theirs)


async def test_a_stream_that_is_not_half_closeable() -> None:
    with limited():
        async with open_node() as alice, alice.open_drive(KEY) as drive, drive.join("chat") as inbox:
            async with open_node() as bob, bob.open_drive(KEY) as bob_drive:
                await connect_nodes(alice, bob, streams=plain_streams)
                side = await join_side(bob, bob_drive)
                async with bob_drive.join("chat") as outbox:
                    for _ in range(100):
                        outbox.send_nowait(side.peer_id, bytes(10_000))
            total = 0
            while total < 100:
                total += len(await inbox.receive_batch())


async def test_the_unsent_amount_shrinks_as_the_peer_reads() -> None:
    """A large message counts as unsent until its last piece has left."""
    size = 4 * SEND_SIZE
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive, drive.join("chat") as topic:
            peer = await raw_member(node)
            peer_id = (await join_side(node, drive)).peer_id
            await topic.send(peer_id, bytes(size))
            seen = [node.peer(peer_id).unsent]
            while seen[-1]:
                await peer.stream.receive_some(SEND_SIZE)
                await all_tasks_blocked(0)
                seen.append(node.peer(peer_id).unsent)
            assert size < seen[0] < size + 100
            assert seen == sorted(seen, reverse=True)
            assert len(set(seen)) > 4
            await trio.aclose_forcefully(peer.stream)


async def test_a_connection_reset_while_sending() -> None:
    async with open_chat_node(limits=SMALL) as (node, _, events, topic):
        async with raw_tcp_peer(await listen(node)) as peer:
            await peer.join()
            joined = await events.receive()
            await fill(topic, joined.peer_id, 10_000)
            assert isinstance(peer.stream, trio.SocketStream)
            await ChaosStream(peer.stream).reset()
        left = await events.receive()
        assert isinstance(left, PeerLeft)
        assert left.peer_id == joined.peer_id
        assert left.reason
        assert left.unsent >= SMALL.send_buffer
        await all_tasks_blocked()
        assert not tasks(node)


@pytest.mark.parametrize("attempt", range(10))
async def test_messages_before_a_reset_are_heard_though_writing_fails_first(attempt: int) -> None:
    """In any order of tasks, the bytes in the kernel are read before the connection is over."""
    async with open_chat_node() as (node, _, events, topic):
        async with raw_tcp_peer(await listen(node)) as peer:
            await peer.join()
            joined = await events.receive()
            await peer.send_message("chat", b"first")
            assert (await topic.receive()).message == b"first"
            await all_tasks_blocked()
            assert isinstance(peer.stream, trio.SocketStream)
            # On loopback all of this has arrived before any other task has a turn.
            sender = peer.connection.sender(None, extension_name("chat"))
            for number in range(100):
                sender.send(b"%d" % number)
            os.write(peer.stream.socket.fileno(), peer.connection.data_to_send())
            peer.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.stream.socket.close()
            topic.send_nowait(joined.peer_id, b"lost")
        assert [(await topic.receive()).message for _ in range(100)] == [b"%d" % n for n in range(100)]
        left = await events.receive()
        assert isinstance(left, PeerLeft)
        assert left.reason
        assert left.unsent >= len(b"lost")


async def test_a_stream_that_breaks_in_one_direction_ends_in_bounded_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive, drive.watch() as events:
            peer = await raw_member(node)
            joined = await events.receive()
            (task,) = tasks(node)
            task.writer.break_off(trio.BrokenResourceError("broken"))
            assert await events.receive() == PeerLeft(joined.peer_id, joined.public_key, WIRE, "broken")
            await trio.aclose_forcefully(peer.stream)
