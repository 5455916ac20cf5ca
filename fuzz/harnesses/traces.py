"""Invariant: other bytes raise `TraceError`; a trace survives writing, and plays or raises `TraceError`."""

from __future__ import annotations

from typing import Final

from fuzz.support import bounded_work
from peersockets_core import TraceError
from peersockets_core.trace import read, replay, write

CALLS: Final = 60_000
CALLS_PER_BYTE: Final = 3_000
"""A byte may stand for a kilobyte of a repeated message, and each of these bytes is encrypted and parsed."""


def run(data: bytes) -> None:
    """Read an input, write it, and play both of its sides."""
    with bounded_work(lambda: CALLS + CALLS_PER_BYTE * len(data)):
        try:
            trace = read(data)
        except TraceError:
            return
        assert read(write(trace)) == trace
        try:
            replay(trace)
        except TraceError:
            return
