"""`Deadlines`: each deadline is met, none early, and a postponed one costs nothing until its old time."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio
from trio.testing import MockClock

from peersockets_trio.runtime.deadlines import Deadlines


@attrs.define(eq=False)
class Clockwork:
    """Something with a deadline every `interval` seconds."""

    due: float
    interval: float = math.inf
    scheduled: float = math.inf
    ended: bool = False
    met: list[float] = attrs.field(factory=list)

    def next_deadline(self) -> float:
        return self.due

    def handle_deadline(self, now: float) -> None:
        if self.due <= now:
            self.met.append(now)
            self.due = now + self.interval


@asynccontextmanager
async def running(machine: Clockwork | None = None) -> AsyncIterator[Deadlines]:
    deadlines = Deadlines(machine or Clockwork(math.inf))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        yield deadlines
        nursery.cancel_scope.cancel()


async def test_each_deadline_is_met_in_time_again_and_again(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    machine = Clockwork(began + 5, 5)
    one, other = Clockwork(began + 3, 3), Clockwork(began + 4)
    async with running(machine) as deadlines:
        deadlines.schedule(one)
        deadlines.schedule(other)
        await trio.sleep(10.5)
    assert one.met == [began + 3, began + 6, began + 9]
    assert other.met == [began + 4]
    assert machine.met == [began + 5, began + 10]


async def test_a_deadline_that_moves_on_is_met_at_its_new_time(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    one = Clockwork(began + 3)
    async with running() as deadlines:
        deadlines.schedule(one)
        await trio.sleep(2)
        one.due = began + 7
        deadlines.schedule(one)
        assert len(deadlines) == 1
        await trio.sleep(10)
    assert one.met == [began + 7]


async def test_a_deadline_that_comes_sooner_is_met_then(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    machine, one = Clockwork(math.inf), Clockwork(began + 100)
    async with running(machine) as deadlines:
        deadlines.schedule(one)
        await trio.sleep(1)
        one.due = began + 2
        deadlines.schedule(one)
        machine.due = began + 3
        deadlines.look_again()
        await trio.sleep(5)
    assert one.met == [began + 2]
    assert machine.met == [began + 3]


async def test_an_ended_object_is_not_asked(autojump_clock: MockClock) -> None:
    one = Clockwork(trio.current_time() + 3)
    async with running() as deadlines:
        deadlines.schedule(one)
        deadlines.schedule(Clockwork(trio.current_time() + 3))  # nobody else holds it
        one.ended = True
        await trio.sleep(5)
        assert len(deadlines) == 0
    assert one.met == []
