"""No test of the adapter leaves a socket or a task behind: an unclosed one warns, and warnings are errors."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from adapter.reconnect_support import Line


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    return Line(monkeypatch)
