"""`Heads`: the bytes that precede a payload on the wire, which depend only on the payload's size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

CACHED: Final = 256
"""The number of sizes whose heads are remembered. The messages of one sender rarely have more sizes."""


class Heads(dict[int, bytes]):
    """Heads by the size of the payload. Looking up a missing head makes it."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[int], bytes]) -> None:
        """`make` returns the head for a size, or raises `MessageTooLarge`."""
        self._make = make

    def __missing__(self, size: int) -> bytes:
        head = self._make(size)
        if len(self) == CACHED:
            self.clear()
        self[size] = head
        return head
