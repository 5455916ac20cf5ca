"""`Deadlines`: one task that handles the deadlines of all connections of a node, and of its machine."""

from __future__ import annotations

import heapq
import itertools
import math
import weakref
from typing import Protocol

import trio


class Timed(Protocol):
    """The interface of a connection for its deadlines."""

    scheduled: float
    """The earliest time at which its deadlines are checked; infinity for never."""

    @property
    def ended(self) -> bool:
        """Whether the connection is over and has no deadlines."""

    def next_deadline(self) -> float:
        """Return the latest time at which to call `handle_deadline`."""
        ...

    def handle_deadline(self, now: float) -> None:
        """Handle the deadlines that have come by `now`."""


class TimedMachine(Protocol):
    """The interface of a machine for its deadlines."""

    def next_deadline(self) -> float:
        """Return the latest time at which to call `handle_deadline`."""
        ...

    def handle_deadline(self, now: float) -> None:
        """Handle the deadlines that have come by `now`."""


class Deadlines:
    """A heap of the next deadline of each connection.

    If a deadline has moved to a later time, its entry is renewed when the old time comes. Most deadlines
    move with each read, so a read costs nothing here.
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
        """Check whether something is due earlier than before."""
        if self._earliest() < self._next_look:
            self._sooner.set()

    async def run(self) -> None:
        """Handle deadlines for ever."""
        while True:
            now = trio.current_time()
            if self._earliest() <= now:
                # Let connections read input that has arrived by now: Trio notices it in the first turn, and
                # they read it in the second.
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
