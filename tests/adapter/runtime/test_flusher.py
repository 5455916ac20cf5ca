"""`peersockets_trio.runtime.flusher`: output that leaves at once, and output that leaves in the next turn."""

from __future__ import annotations

import attrs
import trio
import trio.testing

from adapter.support import all_tasks_blocked, connect_memory, connect_tcp, limited, meet, outbox_size, tasks
from peersockets_trio import PeerLeft
from peersockets_trio.runtime.flusher import Flusher


@attrs.define
class Recorder:
    """A connection that has more to write for a number of turns."""

    flusher: Flusher
    more: int = 0
    flushes: int = 0

    def flush(self) -> None:
        self.flushes += 1
        if self.more:
            self.more -= 1
            self.flusher.add(self)


async def test_flushes_in_the_next_turn_and_once(nursery: trio.Nursery) -> None:
    flusher = Flusher()
    nursery.start_soon(flusher.run)
    await trio.testing.wait_all_tasks_blocked()
    connections = [Recorder(flusher), Recorder(flusher)]
    for connection in connections:
        flusher.add(connection)
    assert [connection.flushes for connection in connections] == [0, 0]
    await trio.testing.wait_all_tasks_blocked()
    assert [connection.flushes for connection in connections] == [1, 1]
    nursery.cancel_scope.cancel()


async def test_connections_added_while_flushing_have_their_turn(nursery: trio.Nursery) -> None:
    flusher = Flusher()
    nursery.start_soon(flusher.run)
    connection = Recorder(flusher, more=3)
    flusher.add(connection)
    await trio.testing.wait_all_tasks_blocked()
    assert connection.flushes == 4
    nursery.cancel_scope.cancel()


async def test_on_a_socket_the_first_message_of_a_burst_leaves_at_once() -> None:
    async with (
        meet(connect_tcp) as (alice, bob),
        alice.drive.join("chat") as topic,
        bob.drive.join("chat") as received,
    ):
        await all_tasks_blocked()
        topic.send_nowait(alice.peer_id, b"first")
        assert outbox_size(alice.node) == 0
        topic.send_nowait(alice.peer_id, b"second")
        assert outbox_size(alice.node) > 0
        messages = [(await received.receive()).message for _ in range(2)]
        assert messages == [b"first", b"second"]


async def test_another_stream_is_written_to_by_its_own_task() -> None:
    async with (
        meet(connect_memory) as (alice, bob),
        alice.drive.join("chat") as topic,
        bob.drive.join("chat") as received,
    ):
        await all_tasks_blocked()
        topic.send_nowait(alice.peer_id, b"hello")
        assert outbox_size(alice.node) > 0
        assert (await received.receive()).message == b"hello"


async def test_a_socket_that_takes_part_of_it_gets_the_rest_in_order() -> None:
    large = bytes(range(256)) * 16_384  # 4 MiB: more than a socket takes at once
    async with (
        meet(connect_tcp) as (alice, bob),
        alice.drive.join("chat") as topic,
        bob.drive.join("chat") as received,
    ):
        await all_tasks_blocked()
        topic.send_nowait(alice.peer_id, large)
        (task,) = tasks(alice.node)
        assert task.writer.progress.unwritten, "the socket took all of it: make it larger"
        await topic.send(alice.peer_id, b"last")
        assert (await received.receive()).message == large
        assert (await received.receive()).message == b"last"
        await all_tasks_blocked()
        assert outbox_size(alice.node) == 0


async def test_bytes_that_a_socket_did_not_take_are_reported_as_unsent() -> None:
    size = 6 * 1024 * 1024
    with limited():
        async with meet(connect_tcp) as (alice, _), alice.drive.join("chat") as topic:
            await all_tasks_blocked()
            topic.send_nowait(alice.peer_id, bytes(size))
            (task,) = tasks(alice.node)
            unwritten = len(task.writer.progress.unwritten)
            assert unwritten
            task.cancel()
            left = await alice.events.receive()
            assert isinstance(left, PeerLeft)
            assert unwritten - 1000 <= left.unsent <= size + 1000
