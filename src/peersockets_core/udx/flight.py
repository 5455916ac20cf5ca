"""`Flight`: keeps the packets that are sent but not acknowledged, as runs.

A run consists of packets that were sent together; they have one size and consecutive numbers. A run is
split when only a part of it is acknowledged or lost. A stream without losses therefore never handles
packets one by one.
"""

from __future__ import annotations

import enum
from bisect import bisect_left, bisect_right
from collections import deque

from ..buffer import Buffer
from .packet import HEADER_SIZE


class Fate(enum.Enum):
    """The fate of a run."""

    SENT = "sent"
    LOST = "lost"
    GONE = "gone"
    """The run is acknowledged."""


class Run:
    """Packets with the numbers from `first` up to but excluding `end`. Only the last one may be shorter."""

    __slots__ = (
        "app_limited",
        "count",
        "delivered",
        "delivered_time",
        "end",
        "ended",
        "fate",
        "first",
        "first_sent_time",
        "padding",
        "payload",
        "retransmitted",
        "size",
        "time",
        "wire_size",
    )

    def __init__(self, first: int, count: int, size: int, payload: Buffer, *, ended: bool = False) -> None:
        self.first = first
        self.count = count
        self.end = first + count
        """The number after the last packet's."""
        self.size = size
        """Bytes of payload in a packet."""
        self.payload = payload
        self.wire_size = len(payload) + HEADER_SIZE * count
        """Bytes of all packets, including headers."""
        self.ended = ended
        """Whether the last packet is the END of the stream."""
        self.padding = 0
        """Bytes between the header and the payload. Only a probe, which is a run of one packet, has them."""
        self.fate = Fate.SENT
        self.retransmitted = False
        """Whether any packet was sent more than once."""
        self.time = 0.0
        """The time at which the run was last sent."""
        # The delivery counts at that time: see `delivery`.
        self.delivered = 0
        self.delivered_time = 0.0
        self.first_sent_time = 0.0
        self.app_limited = False

    def split(self, count: int) -> Run:
        """Cut off the first `count` packets, and return them as a separate run."""
        cut = count * self.size
        payload = memoryview(self.payload)
        left = Run(self.first, count, self.size, payload[:cut])
        for name in _HISTORY:
            setattr(left, name, getattr(self, name))
        self.first += count
        self.count -= count
        self.payload = payload[cut:]
        self.wire_size -= left.wire_size
        return left


_HISTORY = ("fate", "retransmitted", "time", "delivered", "delivered_time", "first_sent_time", "app_limited")


class Flight:
    """Runs in the order of their numbers; no two of them overlap."""

    __slots__ = ("_lost", "_starts", "in_flight", "outstanding", "runs")

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.in_flight = 0
        """Bytes that are neither acknowledged nor lost, including headers."""
        self.outstanding = 0
        """Bytes of payload that are not acknowledged."""
        self._starts: list[int] = []
        self._lost: deque[Run] = deque()  # some of these may have been acknowledged since

    def add(self, run: Run) -> None:
        """Add a run that is being sent; its numbers follow those of all others."""
        self.runs.append(run)
        self._starts.append(run.first)
        self.outstanding += len(run.payload)
        self.in_flight += run.wire_size

    def remove(self, start: int, end: int) -> list[Run]:
        """Remove the packets with the numbers from `start` up to but excluding `end`, and return them as
        runs.
        """
        starts, runs = self._starts, self.runs
        index = bisect_right(starts, start) - 1
        if index < 0 or runs[index].end <= start:
            index += 1
        if index == len(starts) or starts[index] >= end:
            return []
        if starts[index] < start:
            left = self._split(index, start - starts[index])
            if left.fate is Fate.LOST:
                self._lost.append(left)
            index += 1
        stop = bisect_left(starts, end, index)
        last = runs[stop - 1]
        if last.end > end:
            self._split(stop - 1, end - last.first)
        removed = runs[index:stop]
        del runs[index:stop], starts[index:stop]
        for run in removed:
            if run.fate is Fate.SENT:
                self.in_flight -= run.wire_size
            run.fate = Fate.GONE
            self.outstanding -= len(run.payload)
        return removed

    def lose(self, run: Run) -> None:
        """Mark a sent run as lost."""
        run.fate = Fate.LOST
        self.in_flight -= run.wire_size
        self._lost.append(run)

    @property
    def has_lost(self) -> bool:
        """Whether any run is lost and must be sent again."""
        lost = self._lost
        while lost and lost[0].fate is not Fate.LOST:
            lost.popleft()
        return bool(lost)

    def take_lost(self, count: int) -> Run:
        """Return the first lost run, or its first `count` packets, and mark it as sent again."""
        assert self.has_lost
        run = self._lost[0]
        if run.count > count:
            run = self._split(bisect_left(self._starts, run.first), count)
        else:
            self._lost.popleft()
        self.resend(run)
        return run

    def take_last(self) -> Run:
        """Return the last packet, lost or not, and mark it as sent again."""
        run = self.runs[-1]
        if run.fate is Fate.SENT:
            self.in_flight -= run.wire_size
        if run.count > 1:
            left = self._split(len(self.runs) - 1, run.count - 1)
            if left.fate is Fate.LOST:
                self._lost.append(left)
            else:
                self.in_flight += left.wire_size
        self.resend(run)
        return run

    def resend(self, run: Run) -> None:
        """Mark a run that does not count as in flight as sent again."""
        run.fate = Fate.SENT
        run.retransmitted = True
        run.padding = 0
        self.in_flight += run.wire_size

    def _split(self, index: int, count: int) -> Run:
        run = self.runs[index]
        left = run.split(count)
        self.runs.insert(index, left)
        self._starts[index : index + 1] = [left.first, run.first]
        return left
