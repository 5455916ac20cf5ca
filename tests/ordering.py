"""The order in which tests are loaded and run: each worker loads a share, and the slow ones run first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

_APART = ("nat", "browser")
"""Folders that `make test` leaves out."""

_Item = TypeVar("_Item")


def slow_first(items: Sequence[_Item], is_slow: Callable[[_Item], bool], workers: int) -> list[_Item]:
    """Deal the slow items to the beginnings of the parts with which half of the workers begin.

    pytest-xdist's worksteal gives each worker a part of the list, and moves the ends of the parts from busy
    workers to idle ones. A test that takes a minute has to begin early, or it ends alone. Most slow tests
    wait, and the other half of the workers keeps the processors busy meanwhile.
    """
    waiting = max(1, workers // 2)
    slow = [item for item in items if is_slow(item)]
    others = iter([item for item in items if not is_slow(item)])
    ordered: list[_Item] = []
    for worker in range(workers):
        size = (len(items) - len(ordered)) // (workers - worker)
        mine = slow[worker::waiting] if worker < waiting else []
        ordered += mine
        ordered += [item for _, item in zip(range(max(0, size - len(mine))), others, strict=False)]
    return ordered + list(others)


def module_names(tests: Path) -> list[str]:
    """Return the names of the test modules that `make test` runs."""
    paths = [path.relative_to(tests) for path in tests.rglob("test_*.py") if "node_modules" not in path.parts]
    return sorted(".".join(path.with_suffix("").parts) for path in paths if path.parts[0] not in _APART)
