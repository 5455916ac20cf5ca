"""`Work`: bounds the input that is processed at a time, counted in items.

A remote decides how much work its bytes cause: a read of 256 KiB may be one message, or a hundred thousand.
Each layer therefore subtracts its work from a shared `Work`, and stops when that is used up. The rest of the
input waits for the next slice. An item takes about a quarter of a microsecond with CPython on a computer of
2024, which is the time for one small message in a run.
"""

from __future__ import annotations

from typing import Final

UNBOUNDED: Final = 1 << 62
"""More items than any input has."""

RUN: Final = 8
"""Items of a message that begins a new run, because it causes a separate event in all layers above."""

FIELD: Final = 4
"""Items of one field of a protobuf message."""

RECORD: Final = 4
"""Items of one frame, or of one message outside a run."""

ANSWER: Final = 32
"""Items of input that must be answered."""

MEMBERSHIP: Final = 128
"""Items of a drive that is opened or closed on both sides: a hash, and an event for every watch."""

BYTES_PER_ITEM: Final = 512
"""Bytes whose decryption and copying takes one item."""


class Work:
    """The rest of one slice. All layers of a connection share one object; hot loops count in a local copy."""

    __slots__ = ("left",)

    def __init__(self, left: int = UNBOUNDED) -> None:
        self.left = left
        """Items; negative if the last piece of work took more than was left."""
