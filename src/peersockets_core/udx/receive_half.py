"""`ReceiveHalf`: delivers a stream's incoming bytes in order, and decides which window and ranges to
report.
"""

from __future__ import annotations

from typing import Final

from ..buffer import Buffer
from .assembler import Assembler
from .limits import UdxLimits
from .packet import MAX_RANGES

REACH: Final = 65_536
"""The largest plausible distance between a packet's number and the missing one (libudx accepts ranges up to
the same distance)."""


class ReceiveHalf:
    """The receiving half of one stream. Packet numbers are not wrapped here."""

    __slots__ = ("_advertised", "_limits", "_most", "ack_due", "assembler", "dropped", "unread")

    def __init__(self, *, first: int, limits: UdxLimits) -> None:
        self._limits = limits
        self.assembler = Assembler(first)
        self.unread = 0
        """Bytes that were delivered but not consumed."""
        self.ack_due = False
        """Whether an acknowledgement must be sent."""
        self.dropped = 0
        """The number of packets dropped because they were beyond the window or too far ahead."""
        self._advertised = limits.window
        self._most = limits.window + limits.window_excess

    @property
    def window(self) -> int:
        """Bytes that may still arrive."""
        return max(self._limits.window - self.unread - self.assembler.size, 0)

    def advertise(self) -> int:
        """Return the window to put into a packet that is being sent."""
        self._advertised = self.window
        return self._advertised

    def consume(self, size: int) -> bool:
        """Note that `size` bytes have been used up; returns whether to send the new window at once."""
        self.unread -= size
        most = self._limits.window
        return self._advertised < most // 2 and self.window - self._advertised >= most // 4

    def ranges(self) -> list[tuple[int, int]]:
        """Return the ranges that have arrived ahead of the missing packet, as many as fit into a packet."""
        ranges = self.assembler.ranges
        return ranges.lowest(MAX_RANGES) if ranges else []

    def takes(self, size: int) -> bool:
        """Return whether there is room for `size` more bytes."""
        return self.unread + self.assembler.size + size <= self._most

    def in_order(self, count: int, payloads: list[memoryview]) -> bytearray:
        """Take in the next `count` packets; returns the bytes that are now in order."""
        assembler = self.assembler
        kept = assembler.advance(assembler.next + count)
        data = bytearray().join([*payloads, *kept] if kept else payloads)
        self.unread += len(data)
        return data

    def expected(self, payload: Buffer) -> bytearray:
        """Take in the next packet while none is ahead of it; returns its bytes."""
        self.assembler.next += 1
        self.unread += len(payload)
        self.ack_due = True
        return bytearray(payload)

    def receive(self, number: int, payload: Buffer, *, ended: bool) -> bytearray | None:
        """Take in a packet with data, an END, or both; returns the bytes that are now in order, or None.

        Duplicate packets, and packets that there is no room for, are dropped.
        """
        assembler = self.assembler
        ahead = number - assembler.next
        if ahead < 0 or (assembler.end is not None and number >= assembler.end):
            return None
        # The missing packet is taken even if those after it fill the window: nothing else frees their place.
        kept = assembler.size if ahead else 0
        if ahead > self._limits.reordered_packets or self.unread + kept + len(payload) > self._most:
            self.dropped += 1
            return None
        if ended and assembler.end is None:
            assembler.end = number + 1
        if ahead:
            assembler.keep(number, payload)
            return None
        return self.in_order(1, [memoryview(payload)])
