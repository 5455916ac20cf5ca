"""The cost of each public operation of the machine grows no faster than the number of its calls.

A cost is the number of executed lines in the machine's own modules, so it is the same in every run.
"""

from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import pytest

import peersockets_core
from core.scaling import CASES
from core.scaling.stage import Action, Case
from peersockets_core import (
    MemoryBudget,
    Peersockets,
    RequestBook,
    TopicHandle,
    Watch,
)

SIZES: Final = (12, 24, 48, 96)
SLACK: Final = 0.03
COUNTED = {
    str(path)
    for room in ("memory.py", "topics/*.py", "wires/extensions.py")
    for path in Path(peersockets_core.__file__).parent.glob(room)
}


def lines(action: Action) -> int:
    """Return how many lines of the machine's modules an action executes."""
    count = 0

    def within(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        count += event == "line"
        return within

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        return within if frame.f_code.co_filename in COUNTED else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


def growth(case: Callable[[int], Action]) -> tuple[list[int], bool]:
    """Return the costs for each of `SIZES`, and whether they grow in proportion, beyond the constant part."""
    costs = [lines(case(size)) for size in SIZES]
    steps = [larger - smaller for smaller, larger in itertools.pairwise(costs)]
    return costs, all(later <= 2 * earlier * (1 + SLACK) for earlier, later in itertools.pairwise(steps))


@pytest.mark.parametrize("name", CASES)
def test_costs_grow_in_proportion(name: str) -> None:
    costs, in_proportion = growth(CASES[name])
    assert in_proportion, f"{name}: {dict(zip(SIZES, costs, strict=True))} lines"


def test_every_public_operation_has_a_case() -> None:
    called: set[CodeType] = set()

    def see(frame: FrameType, event: str, _: Any) -> None:
        called.add(frame.f_code)

    for make in CASES.values():
        action = make(SIZES[0])
        before = sys.getprofile()
        sys.setprofile(see)
        try:
            action()
        finally:
            sys.setprofile(before)
    operations = {
        f"{kind.__name__}.{name}": member.fget if isinstance(member, property) else member
        for kind in (Peersockets, TopicHandle, Watch, RequestBook, MemoryBudget)
        for name, member in vars(kind).items()
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
    }
    assert [
        name for name, function in operations.items() if getattr(function, "__code__", None) not in called
    ] == []


def test_it_finds_an_operation_that_grows_faster() -> None:
    """Each watch begins with all the members, so many watches cost too much."""

    def watches_of_many_members(size: int) -> Action:
        ours = Case(size)
        ours.join_all()

        def action() -> None:
            for _ in range(size):
                ours.machine.watch(ours.drive)

        return action

    assert not growth(watches_of_many_members)[1]
