"""The recorded traces, for tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from peersockets_core.trace import Digest, Sent, Trace, read

PATHS = sorted(Path(__file__).parent.glob("*.cbor"))
NAMES = [path.stem for path in PATHS]


@cache
def load(name: str) -> Trace:
    """Return a trace. The caller must not change it."""
    return read((Path(__file__).parent / f"{name}.cbor").read_bytes())


def is_large(trace: Trace) -> bool:
    """Return whether it has chunks that are too large to be kept."""
    return any(isinstance(entry, Sent) and isinstance(entry.sent, Digest) for entry in trace.entries)
