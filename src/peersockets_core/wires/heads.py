"""`Heads`: what stands before a payload on the wire, by the size of the payload."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

CACHED: Final = 256
"""Sizes that are remembered: a sender's messages have few."""


class Heads(dict[int, bytes]):
    """Makes each head once; a size that is not there yet is made when it is looked up."""

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
