"""`SendQueue`: its contract, point by point."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from peersockets_core.outbox import Outbox
from peersockets_trio.runtime.send_queue import SendQueue

LIMIT = 10
MESSAGE = b"message"  # two of them are over the limit


class Line:
    """Senders on one outbox, and a stream that takes its chunks when a test says so."""

    def __init__(self) -> None:
        self.outbox = Outbox(limit=LIMIT, reply_limit=100)
        self.queue = SendQueue(self.outbox)
        self.sent: list[str] = []

    def send(self, name: str, *, in_turn: bool = False) -> bool:
        """Do what `TopicHandle.send` does."""
        if self.outbox.size >= (self.outbox.limit if in_turn else self.outbox.room):
            return False
        self.outbox.append(MESSAGE)
        self.sent.append(name)
        return True

    async def send_in_turn(self, name: str) -> None:
        sent = self.send(name)
        while not sent:
            async with self.queue:
                sent = self.send(name, in_turn=True)

    def take(self) -> None:
        self.outbox.take()
        self.queue.call_next()


@pytest.fixture
def line() -> Line:
    line = Line()
    assert line.send("first")
    assert line.send("second")
    return line


async def test_senders_have_their_turns_in_order_of_arrival(line: Line) -> None:
    async with trio.open_nursery() as nursery:
        for name in "abcde":
            nursery.start_soon(line.send_in_turn, name)
            await wait_all_tasks_blocked()
        assert line.sent == ["first", "second"]
        line.take()
        await wait_all_tasks_blocked()
        assert line.sent[2:] == ["a", "b"]  # as many as there is room for
        line.take()
        await wait_all_tasks_blocked()
        assert line.sent[2:] == ["a", "b", "c", "d"]
        line.take()
    assert line.sent[2:] == ["a", "b", "c", "d", "e"]


async def test_no_sender_overtakes_the_waiting_ones(line: Line) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.send_in_turn, "a")
        await wait_all_tasks_blocked()
        line.take()
        assert line.outbox.size == 0
        assert not line.send("newcomer"), "the sender that was let in has not run yet"
        await wait_all_tasks_blocked()
        assert line.sent[2:] == ["a"]
        assert line.send("newcomer"), "nobody waits any more"


async def test_a_sender_that_finds_no_room_waits_again(line: Line) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.send_in_turn, "a")
        await wait_all_tasks_blocked()
        line.take()
        line.outbox.append(bytes(LIMIT))  # bytes of the protocol, which do not wait for room
        await wait_all_tasks_blocked()
        assert line.sent[2:] == []
        assert len(line.queue) == 1
        line.take()
    assert line.sent[2:] == ["a"]


async def test_a_cancelled_sender_leaves_nothing_behind(line: Line) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.send_in_turn, "a")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert len(line.queue) == 0
    line.take()
    assert line.send("newcomer")


async def test_a_turn_that_ends_in_an_error_is_passed_on(line: Line) -> None:
    async def fail() -> None:
        with pytest.raises(ValueError, match="gone"):
            async with line.queue:
                raise ValueError("gone")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail)
        await wait_all_tasks_blocked()
        nursery.start_soon(line.send_in_turn, "a")
        await wait_all_tasks_blocked()
        line.take()
    assert line.sent[2:] == ["a"]


async def test_the_end_releases_all_senders_at_once(line: Line) -> None:
    entered = []

    async def enter(name: str) -> None:
        async with line.queue:
            entered.append(name)
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for name in "ab":
            nursery.start_soon(partial(enter, name))
            await wait_all_tasks_blocked()
        line.queue.close()
        await wait_all_tasks_blocked()
        assert sorted(entered) == ["a", "b"]
        nursery.start_soon(partial(enter, "late"))
        await wait_all_tasks_blocked()
        assert entered[2:] == ["late"]
        assert line.outbox.room == LIMIT
        nursery.cancel_scope.cancel()
