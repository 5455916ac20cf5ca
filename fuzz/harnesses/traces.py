"""Invariant: what is no trace raises `TraceError`; a trace reads the same again, plays or says why not."""

from __future__ import annotations

from typing import Final

from fuzz.support import bounded_work
from peersockets_core import TraceError
from peersockets_core.trace import read, replay, write

CALLS: Final = 60_000
CALLS_PER_BYTE: Final = 3_000
"""A byte may stand for a kilobyte of a message that is repeated, and each is encrypted and taken apart."""


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
