"""`Assembler`: packets into a stream, in whatever order they come."""

from __future__ import annotations

from typing import Final

from ..crypto.sodium import Buffer
from .ranges import RangeSet

_OVERHEAD: Final = 128  # bytes of memory that keeping a packet takes beside its payload


class Assembler:
    """What has been received beyond the packet that is missing."""

    __slots__ = ("_kept", "end", "next", "ranges", "size")

    def __init__(self, first: int) -> None:
        self.next = first
        """The number of the packet that is missing."""
        self.end: int | None = None
        """The number after the remote's END, once that has come."""
        self.ranges = RangeSet()
        """The numbers of packets that have come ahead of it."""
        self.size = 0
        """Bytes of memory that these take."""
        self._kept: dict[int, bytes] = {}

    @property
    def ended(self) -> bool:
        """Whether everything up to the END has come."""
        return self.next == self.end

    def keep(self, number: int, payload: Buffer) -> None:
        """Keep a packet that is ahead."""
        if number not in self._kept:
            self._kept[number] = bytes(payload)
            self.size += len(payload) + _OVERHEAD
            self.ranges.add(number, number + 1)

    def advance(self, number: int) -> list[bytes]:
        """Everything up to, without, `number` has come; return what was kept and is in order now."""
        kept = self._kept
        pieces: list[bytes] = []
        if kept:
            while number in kept:
                payload = kept.pop(number)
                self.size -= len(payload) + _OVERHEAD
                pieces.append(payload)
                number += 1
            self.ranges.cut(number)
        self.next = number
        return pieces
