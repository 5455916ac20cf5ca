"""Parts of all harnesses: an input read as a script; measures of work and memory without a clock."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType
from typing import Any, Final

from peersockets_core import DriveKey, Entropy, Limits

KEYS: Final = tuple(DriveKey(bytes((number,)) * 32) for number in (1, 2, 3))
"""The drives that come up."""

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
    """An input, read from the front as the choices of somebody who plays against us."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def __bool__(self) -> bool:
        return self._position < len(self._data)

    def byte(self) -> int:
        """The next byte, or 0 where there is none."""
        return self.take(1)[0] if self else 0

    def choose(self, count: int) -> int:
        """A number under `count`."""
        return self.byte() % count

    def chunk(self) -> bytes:
        """Bytes behind their length, of which the second byte counts 256 each."""
        return self.take(self.byte() + (self.byte() << 8))

    def take(self, size: int) -> bytes:
        """The next bytes, at most `size`."""
        taken = self._data[self._position : self._position + size]
        self._position += len(taken)
        return taken

    def rest(self) -> bytes:
        """Everything that is left."""
        return self.take(len(self._data))


def cuts(data: bytes, size: int) -> Iterator[bytes]:
    """The data in pieces of `size` bytes, or whole for 0."""
    step = size or len(data) or 1
    return (data[start : start + step] for start in range(0, len(data), step))


def fixed_entropy(seed: int) -> Entropy:
    """The same bytes in every run."""
    return lambda size: bytes((seed,)) * size


@contextmanager
def bounded_work(allowed: Callable[[], int]) -> Iterator[None]:
    """Assert that the block calls no more than `allowed` Python functions, asked for at its end.

    Calls are a measure of work that is the same on every machine. The work that one call can do in C without
    making another, a copy or a search, is left to libFuzzer's bound on time.
    """
    calls = 0

    def count(_: FrameType, __: str, ___: Any) -> None:
        # Returning None spares the lines of the function; a profile would also see returns and calls of C.
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
    """Bytes of everything reachable from `roots`, code and classes left out."""
    seen: dict[int, object] = {}
    waiting: list[object] = list(roots)
    while waiting:
        found = waiting.pop()
        if id(found) not in seen and not isinstance(found, _SHARED):
            seen[id(found)] = found
            waiting += gc.get_referents(found)
    return sum(map(sys.getsizeof, seen.values()))
