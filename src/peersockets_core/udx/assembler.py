"""`Assembler`: puts packets into the order of the stream, however they arrive."""

from __future__ import annotations

from typing import Final

from ..buffer import Buffer
from .ranges import RangeSet

_OVERHEAD: Final = 128  # bytes of memory for keeping one packet, besides its payload


class Assembler:
    """The packets that have arrived ahead of a missing one."""

    __slots__ = ("_kept", "end", "next", "ranges", "size")

    def __init__(self, first: int) -> None:
        self.next = first
        """The number of the missing packet, which is the next one in order."""
        self.end: int | None = None
        """The number after the remote's END, once the END has arrived."""
        self.ranges = RangeSet()
        """The numbers of the packets that have arrived ahead of the missing one."""
        self.size = 0
        """Bytes of memory that these packets take."""
        self._kept: dict[int, bytes] = {}

    @property
    def ended(self) -> bool:
        """Whether everything up to the END has arrived."""
        return self.next == self.end

    def keep(self, number: int, payload: Buffer) -> None:
        """Keep a packet that has arrived ahead of the missing one."""
        if number not in self._kept:
            self._kept[number] = bytes(payload)
            self.size += len(payload) + _OVERHEAD
            self.ranges.add(number, number + 1)

    def advance(self, number: int) -> list[bytes]:
        """Note that all packets before `number` have arrived; return the kept payloads that are now in
        order.
        """
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
