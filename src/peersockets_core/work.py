"""`Work`: how much of what has come in is worked through at a time, counted in items.

A remote chooses how much work its bytes are: a read of 256 KiB may be one message, or a hundred thousand. So
each layer takes what it does out of one `Work`, and stops where that is used up; the rest waits, and goes on
with the next slice. An item is about a quarter of a microsecond of CPython on a machine of 2024: the time of
one small message among many of a kind.
"""

from __future__ import annotations

from typing import Final

UNBOUNDED: Final = 1 << 62
"""Items that no input has."""

RUN: Final = 8
"""Items that a message takes which follows one of another kind: an event of its own for all layers above."""

FIELD: Final = 4
"""Items of one field of a protobuf message."""

RECORD: Final = 4
"""Items of one frame, or of one message that is not of a run."""

ANSWER: Final = 32
"""Items of what has to be answered."""

MEMBERSHIP: Final = 128
"""Items of a drive opened or closed on both sides: a hash, and news for everybody who watches."""

BYTES: Final = 512
"""Bytes that take one item to decrypt and to copy."""


class Work:
    """What is left of one slice. The layers of a connection share one; hot loops count in a local copy."""

    __slots__ = ("left",)

    def __init__(self, left: int = UNBOUNDED) -> None:
        self.left = left
        """Items; below zero where the last thing done took more than there was."""
