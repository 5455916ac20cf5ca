"""The traces that are here, for tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from peersockets_core.trace import Digest, Sent, Trace, read

PATHS = sorted(Path(__file__).parent.glob("*.cbor"))
NAMES = [path.stem for path in PATHS]


@cache
def load(name: str) -> Trace:
    """Return a trace, which must not be changed."""
    return read((Path(__file__).parent / f"{name}.cbor").read_bytes())


def is_large(trace: Trace) -> bool:
    """Whether it has chunks that are too many bytes to be kept."""
    return any(isinstance(entry, Sent) and isinstance(entry.sent, Digest) for entry in trace.entries)
