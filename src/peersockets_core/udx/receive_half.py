"""`ReceiveHalf`: what comes in on a stream, in order, and what the remote is told of it."""

from __future__ import annotations

from typing import Final

from ..crypto.sodium import Buffer
from .assembler import Assembler
from .limits import UdxLimits
from .packet import MAX_RANGES

REACH: Final = 65_536
"""Numbers this far from the one that is missing are of this stream (libudx looks as far for its ranges)."""


class ReceiveHalf:
    """The receiving half of one stream. Numbers are not wrapped in here."""

    __slots__ = ("_advertised", "_limits", "ack_due", "assembler", "dropped", "unread")

    def __init__(self, *, first: int, limits: UdxLimits) -> None:
        self._limits = limits
        self.assembler = Assembler(first)
        self.unread = 0
        """Bytes handed out and not consumed."""
        self.ack_due = False
        """Whether the remote has to be told what has come."""
        self.dropped = 0
        """Packets that were beyond the window, or too far ahead."""
        self._advertised = limits.window

    @property
    def window(self) -> int:
        """Bytes that may still come."""
        return max(self._limits.window - self.unread - self.assembler.size, 0)

    def advertise(self) -> int:
        """Return the window for a packet that is being sent."""
        self._advertised = self.window
        return self._advertised

    def consume(self, size: int) -> bool:
        """So many bytes have been used up; returns whether the remote should hear of it at once."""
        self.unread -= size
        most = self._limits.window
        return self._advertised < most // 2 and self.window - self._advertised >= most // 4

    def ranges(self) -> list[tuple[int, int]]:
        """Return what has come ahead of the packet that is missing, as far as a packet tells it."""
        ranges = self.assembler.ranges
        return ranges.lowest(MAX_RANGES) if ranges else []

    def takes(self, size: int) -> bool:
        """Whether there is memory for so many bytes."""
        limits = self._limits
        return self.unread + self.assembler.size + size <= limits.window + limits.window_excess

    def in_order(self, count: int, payloads: list[memoryview]) -> bytearray:
        """Take packets that are the next ones; returns the bytes that are in order now."""
        assembler = self.assembler
        kept = assembler.advance(assembler.next + count)
        data = bytearray().join([*payloads, *kept] if kept else payloads)
        self.unread += len(data)
        return data

    def receive(self, number: int, payload: Buffer, *, ended: bool) -> bytearray | None:
        """Take a packet of data, an END, or both; returns the bytes that are in order now, None if none are.

        Packets that have come before, or that there is no room for, are dropped.
        """
        assembler = self.assembler
        ahead = number - assembler.next
        if ahead < 0 or (assembler.end is not None and number >= assembler.end):
            return None
        if ahead > self._limits.reordered_packets or not self.takes(len(payload)):
            self.dropped += 1
            return None
        if ended and assembler.end is None:
            assembler.end = number + 1
        if ahead:
            assembler.keep(number, payload)
            return None
        return self.in_order(1, [memoryview(payload)])
