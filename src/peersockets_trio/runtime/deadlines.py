"""`Deadlines`: keeps the time of all connections of a node, and of its machine, in one task."""

from __future__ import annotations

import heapq
import itertools
import math
import weakref
from typing import Protocol

import trio


class Timed(Protocol):
    """A connection, as far as its deadlines are concerned."""

    scheduled: float
    """The earliest time at which they are looked at; infinity for never."""

    @property
    def ended(self) -> bool:
        """Whether it has none any more."""

    def next_deadline(self) -> float:
        """When to call `handle_deadline`, at the latest."""
        ...

    def handle_deadline(self, now: float) -> None:
        """A deadline may have come."""


class TimedMachine(Protocol):
    """The machine, as far as its deadlines are concerned."""

    def next_deadline(self) -> float:
        """When to call `handle_deadline`, at the latest."""
        ...

    def handle_deadline(self, now: float) -> None:
        """A deadline may have come."""


class Deadlines:
    """A heap of the next deadline of each connection.

    A deadline that has moved to a later time since it was noted is noted anew when the old time comes: most
    move on with each read, and that costs nothing here.
    """

    def __init__(self, machine: TimedMachine) -> None:
        self._machine = machine
        self._heap: list[tuple[float, int, weakref.ref[Timed]]] = []  # keeps no connection alive
        self._count = itertools.count()
        self._next_look = math.inf
        self._sooner = trio.Event()

    def __len__(self) -> int:
        return len(self._heap)

    def schedule(self, timed: Timed) -> None:
        """Make sure that the next deadline of a connection is not missed."""
        deadline = timed.next_deadline()
        if deadline < timed.scheduled:
            timed.scheduled = deadline
            heapq.heappush(self._heap, (deadline, next(self._count), weakref.ref(timed)))
            self.look_again()

    def look_again(self) -> None:
        """Look at the deadlines: something may be due earlier than it was."""
        if self._earliest() < self._next_look:
            self._sooner.set()

    async def run(self) -> None:
        """Handle deadlines for ever."""
        while True:
            now = trio.current_time()
            if self._earliest() <= now:
                # What has arrived by now is read first: in the first turn it is noticed, in the second read.
                await trio.lowlevel.checkpoint()
                await trio.lowlevel.checkpoint()
            while self._heap and self._heap[0][0] <= now:
                timed = heapq.heappop(self._heap)[2]()
                if timed is not None and not timed.ended:
                    timed.scheduled = math.inf
                    timed.handle_deadline(now)
                    self.schedule(timed)
            self._machine.handle_deadline(now)
            self._next_look = self._earliest()
            with trio.move_on_at(self._next_look):
                await self._sooner.wait()
            self._sooner = trio.Event()

    def _earliest(self) -> float:
        first = self._heap[0][0] if self._heap else math.inf
        return min(first, self._machine.next_deadline())
