"""The parts that all harnesses share: an input that is read as a script, and measures of work and memory that
need no clock.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType
from typing import Any, Final

from peersockets_core import DriveKey, Entropy, Limits

KEYS: Final = tuple(DriveKey(bytes((number,)) * 32) for number in (1, 2, 3))
"""The drives that harnesses use."""

LIMITS: Final = Limits(
    extension_name=64,
    early_messages=512,
    channels=8,
    frame_body=1024,
    extension_names=8,
    replies=512,
    send_buffer=256,
    receive_messages=8,
    receive_bytes=256,
    watch_events=8,
    peer_ids=8,
)
"""Bounds that an input of a few KiB can reach."""


class Script:
    """An input, read from the front as the choices of an opponent."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def __bool__(self) -> bool:
        return self._position < len(self._data)

    def byte(self) -> int:
        """Return the next byte, or 0 at the end."""
        return self.take(1)[0] if self else 0

    def choose(self, count: int) -> int:
        """Return a number below `count`."""
        return self.byte() % count

    def chunk(self) -> bytes:
        """Return bytes whose length precedes them, in two bytes, of which the second one counts 256 each."""
        return self.take(self.byte() + (self.byte() << 8))

    def take(self, size: int) -> bytes:
        """Return the next bytes, at most `size`."""
        taken = self._data[self._position : self._position + size]
        self._position += len(taken)
        return taken

    def rest(self) -> bytes:
        """Return everything that is left."""
        return self.take(len(self._data))


def cuts(data: bytes, size: int) -> Iterator[bytes]:
    """Return the data in pieces of `size` bytes, or in one piece for 0."""
    step = size or len(data) or 1
    return (data[start : start + step] for start in range(0, len(data), step))


def fixed_entropy(seed: int) -> Entropy:
    """Return a source of bytes that are the same in every run."""
    return lambda size: bytes((seed,)) * size


@contextmanager
def bounded_work(allowed: Callable[[], int]) -> Iterator[None]:
    """Assert that the block calls no more Python functions than `allowed` returns at its end.

    Calls are a measure of work that is the same on every machine. Work within a single call of C, such as a
    copy or a search, is left to libFuzzer's time limit.
    """
    calls = 0

    def count(_: FrameType, __: str, ___: Any) -> None:
        # Returning None skips the lines of the function. A profile function would also see returns and calls
        # of C.
        nonlocal calls
        calls += 1

    before = sys.gettrace()
    sys.settrace(count)
    try:
        yield
    finally:
        sys.settrace(before)
    assert calls <= allowed(), f"{calls} calls where {allowed()} are allowed"


_SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType)


def retained(*roots: object) -> int:
    """Return the bytes of everything reachable from `roots`, except code and classes."""
    seen: dict[int, object] = {}
    waiting: list[object] = list(roots)
    while waiting:
        found = waiting.pop()
        if id(found) not in seen and not isinstance(found, _SHARED):
            seen[id(found)] = found
            waiting += gc.get_referents(found)
    return sum(map(sys.getsizeof, seen.values()))
