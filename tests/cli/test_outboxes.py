"""`peersockets_trio.cli.outboxes`: peers that do not keep up, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import attrs
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from adapter.support import (
    KEY,
    RawPeer,
    all_tasks_blocked,
    connect_memory,
    extension_name,
    limited,
    raw_member,
)
from peersockets_core import MessagesReceived
from peersockets_trio import Drive, Limits, MessageTooLarge, Node, PeerGone, Topic, UnknownPeer, open_node
from peersockets_trio.cli.outboxes import MAX_BYTES, MAX_MESSAGES, PATIENCE, Outboxes, PeerBehind

BLOCK = bytes(1024 * 1024)
FITS = MAX_BYTES // len(BLOCK)


@attrs.frozen
class Room:
    """A node with two members: a slow one, which reads when a test says so, and one that always reads."""

    node: Node
    drive: Drive
    topic: Topic
    outboxes: Outboxes
    deaf: RawPeer
    deaf_id: int
    good_id: int
    heard: list[bytes]
    reports: list[PeerBehind]

    async def fill(self, messages: int = FITS) -> None:
        """Send the slow member messages until this many wait, beside those in flight."""
        before = trio.current_time()
        for _ in range(2 + messages):
            await self.outboxes.send(self.topic, self.deaf_id, BLOCK)
            await trio.testing.wait_all_tasks_blocked()
        assert trio.current_time() == before
        assert not self.reports

    async def trickle(self) -> None:
        """Let the slow member read a little at intervals, to the end."""
        with suppress(trio.BrokenResourceError):
            while True:
                assert await self.deaf.read()
                await trio.sleep(0.5)

    async def read(self, size: int) -> None:
        """Let the slow member read at least this many bytes of messages."""
        while size > 0:
            size -= sum(map(len, (await self.deaf.until(MessagesReceived)).payloads))


@asynccontextmanager
async def room() -> AsyncIterator[Room]:
    async with (
        open_node(limits=Limits(silence=3600)) as node,
        node.open_drive(KEY) as drive,
        drive.join("chat") as topic,
        drive.watch() as events,
        open_node() as good,
        good.open_drive(KEY) as good_drive,
        good_drive.join("chat") as inbox,
        trio.open_nursery() as nursery,
    ):
        deaf = await raw_member(node)
        deaf.connection.extensions.register(extension_name("chat"))
        await deaf.flush()
        deaf_id = (await events.receive()).peer_id
        await connect_memory(good, node)
        good_id = (await events.receive()).peer_id
        heard: list[bytes] = []

        async def listen() -> None:
            async for message in inbox:
                heard.append(message.message)

        nursery.start_soon(listen)
        reports: list[PeerBehind] = []
        outboxes = Outboxes(node, drive, nursery, reports.append)
        yield Room(node, drive, topic, outboxes, deaf, deaf_id, good_id, heard, reports)
        nursery.cancel_scope.cancel()
        await trio.aclose_forcefully(deaf.stream)


async def test_a_peer_that_does_not_read_holds_up_no_other(autojump_clock: MockClock) -> None:
    """No message waits, as long as the peer's outbox has room."""
    with limited():
        async with room() as there:
            before = trio.current_time()
            for number in range(FITS):
                assert await there.outboxes.broadcast(there.topic, b"%d" % number + BLOCK) == 2
            assert trio.current_time() == before
            await all_tasks_blocked()
            assert [int(message.rstrip(b"\0")) for message in there.heard] == list(range(FITS))
            assert not there.reports


async def test_waiting_for_a_full_outbox_is_limited(autojump_clock: MockClock) -> None:
    """After that the peer does not get the messages, which is reported once."""
    with limited():
        async with room() as there:
            await there.fill()
            before = trio.current_time()
            assert await there.outboxes.broadcast(there.topic, b"late") == 1
            assert trio.current_time() - before == pytest.approx(PATIENCE, abs=0.1)
            (report,) = there.reports
            assert (report.peer_id, report.messages, report.size) == (there.deaf_id, FITS, MAX_BYTES)
            assert f"peer {there.deaf_id} does not keep up: {FITS} messages wait for it" in str(report)
            before = trio.current_time()
            assert await there.outboxes.broadcast(there.topic, b"later") == 1
            with pytest.raises(PeerBehind, match="does not keep up; the message is not accepted"):
                await there.outboxes.send(there.topic, there.deaf_id, b"latest")
            assert trio.current_time() == before
            assert there.outboxes.refused == 3
            await all_tasks_blocked()
            assert there.heard == [b"late", b"later"]


async def test_a_peer_that_has_long_taken_nothing_holds_up_no_other(autojump_clock: MockClock) -> None:
    """No message waits, even if the peer's outbox is full."""
    with limited():
        async with room() as there:
            await there.fill()
            await trio.sleep(PATIENCE)
            before = trio.current_time()
            assert await there.outboxes.broadcast(there.topic, b"late") == 1
            assert trio.current_time() == before
            assert there.reports


async def test_a_peer_that_keeps_up_again_is_served_again(autojump_clock: MockClock) -> None:
    """Waiting messages arrive in order, before later ones."""
    with limited():
        async with room() as there, trio.open_nursery() as nursery:
            await there.fill()
            assert await there.outboxes.broadcast(there.topic, b"refused") == 1
            there.reports.clear()
            arrived: list[bytes] = []

            async def read() -> None:
                while b"last" not in arrived:
                    arrived.extend((await there.deaf.until(MessagesReceived)).payloads)

            nursery.start_soon(read)
            await trio.sleep(1)
            (report,) = there.reports
            assert str(report) == f"peer {there.deaf_id} keeps up again; it went without 1 messages"
            assert (report.messages, report.size) == (1, len(b"refused"))
            assert await there.outboxes.broadcast(there.topic, b"last") == 2
        assert set(arrived[:-1]) == {BLOCK}
        assert arrived[-1] == b"last"


async def test_a_slow_peer_holds_up_the_input_and_loses_nothing(autojump_clock: MockClock) -> None:
    """The peer takes messages at a fair rate, for any length of time."""
    with limited():
        async with room() as there, trio.open_nursery() as nursery:
            arrived: list[bytes] = []

            async def read() -> None:
                while len(arrived) < 100:
                    arrived.extend((await there.deaf.until(MessagesReceived)).payloads)
                    await trio.sleep(0.9 * PATIENCE)

            nursery.start_soon(read)
            for _ in range(100):
                await there.outboxes.send(there.topic, there.deaf_id, BLOCK)
            assert not there.reports
            assert there.outboxes.refused == 0


async def test_a_trickle_does_not_hold_up_the_input(autojump_clock: MockClock) -> None:
    """The peer reads, but hardly anything."""
    with limited():
        async with room() as there, trio.open_nursery() as nursery:
            await there.fill()
            nursery.start_soon(there.trickle)
            before = trio.current_time()
            for _ in range(1000):
                await there.outboxes.broadcast(there.topic, bytes(1024))
            assert trio.current_time() - before == pytest.approx(PATIENCE, abs=0.1)
            assert there.reports
            nursery.cancel_scope.cancel()


async def test_small_messages_are_counted(autojump_clock: MockClock) -> None:
    with limited():
        async with room() as there:
            await there.fill(1)
            before = trio.current_time()
            for _ in range(MAX_MESSAGES):
                assert not there.reports
                await there.outboxes.broadcast(there.topic, b"")
            (report,) = there.reports
            assert report.messages == MAX_MESSAGES
            assert trio.current_time() - before == pytest.approx(PATIENCE, abs=0.1)


async def test_the_peer_leaves(autojump_clock: MockClock) -> None:
    """Messages that waited for it are counted, and a task that waits for room continues."""
    with limited():
        async with room() as there, trio.open_nursery() as nursery:
            await there.fill()
            reached: list[int] = []

            async def broadcast() -> None:
                reached.append(await there.outboxes.broadcast(there.topic, b"all"))

            nursery.start_soon(broadcast)
            await trio.sleep(1)
            there.node.disconnect(there.deaf_id)
            await trio.testing.wait_all_tasks_blocked()
            assert reached == [1]
            (report,) = there.reports
            assert str(report) == f"peer {there.deaf_id} is gone; it went without {FITS} messages"
            assert report.size == MAX_BYTES
            with pytest.raises(PeerGone):
                await there.outboxes.send(there.topic, there.deaf_id, b"late")


async def test_messages_that_cannot_be_sent_do_not_wait(autojump_clock: MockClock) -> None:
    with limited():
        async with room() as there:
            await there.fill()
            with pytest.raises(MessageTooLarge):
                await there.outboxes.send(there.topic, there.deaf_id, bytes(9 * 1024 * 1024))
            with pytest.raises(MessageTooLarge):
                await there.outboxes.broadcast(there.topic, bytes(9 * 1024 * 1024))
            with pytest.raises(UnknownPeer):
                await there.outboxes.send(there.topic, 99, b"")
            assert there.heard == []


async def test_a_topic_closes_after_the_waiting_messages_are_sent(autojump_clock: MockClock) -> None:
    with limited():
        async with room() as there:
            for _ in range(4):
                await there.outboxes.broadcast(there.topic, BLOCK)
            there.outboxes.close(there.topic)
            states = [there.topic.closed]
            await trio.sleep(1)
            states.append(there.topic.closed)
            await there.read(4 * len(BLOCK))
            await trio.sleep(1)
            assert [*states, there.topic.closed] == [False, False, True]
            idle = there.drive.join("idle")
            there.outboxes.close(idle)
            assert idle.closed


async def test_the_end_waits_for_peers_that_take_something(autojump_clock: MockClock) -> None:
    with limited():
        async with room() as there, trio.open_nursery() as nursery:
            for _ in range(8):
                await there.outboxes.broadcast(there.topic, BLOCK)

            async def read() -> None:
                for _ in range(8):
                    await trio.sleep(4)
                    await there.read(len(BLOCK))
                await there.deaf.until_dropped()

            nursery.start_soon(read)
            await there.outboxes.drain()
            assert await there.outboxes.finish([there.topic]) == []
            assert len(there.heard) == 8


async def test_the_end_counts_messages_that_a_peer_does_not_take(autojump_clock: MockClock) -> None:
    """The count follows after a few seconds. Messages to other peers have left by then."""
    with limited():
        async with room() as there:
            for _ in range(8):
                await there.outboxes.broadcast(there.topic, BLOCK)
            before = trio.current_time()
            await there.outboxes.drain()
            (loss,) = await there.outboxes.finish([there.topic])
            assert trio.current_time() - before == pytest.approx(Limits().linger, abs=0.2)
            assert loss.peer_id == there.deaf_id
            assert 1 < loss.messages < 8
            assert loss.messages * len(BLOCK) < loss.size <= 8 * len(BLOCK) + 1000
            assert f"{loss.size} bytes are lost, including {loss.messages} messages that waited" in str(loss)
            assert len(there.heard) == 8


async def test_the_end_does_not_wait_for_ever_for_a_trickle(autojump_clock: MockClock) -> None:
    with limited():
        async with room() as there, trio.open_nursery() as nursery:
            await there.fill()
            nursery.start_soon(there.trickle)
            before = trio.current_time()
            await there.outboxes.drain()
            assert trio.current_time() - before == pytest.approx(60, abs=5)
            assert await there.outboxes.finish([there.topic])
            nursery.cancel_scope.cancel()
