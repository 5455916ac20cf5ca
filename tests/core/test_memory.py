from __future__ import annotations

import pytest

from peersockets_core.memory import SMALL, MemoryBudget

LIMIT = 100 * SMALL


def books(**kept: int) -> MemoryBudget[str]:
    """Return a budget in which each holder is charged with a multiple of `SMALL`."""
    budget: MemoryBudget[str] = MemoryBudget(LIMIT)
    for holder, size in kept.items():
        budget.charge(holder, size * SMALL)
    return budget


def released(budget: MemoryBudget[str], **now: int) -> list[str]:
    """Return the names of the holders that give way. Names of strangers begin with "s"."""
    kept = {**budget.charged, **{holder: size * SMALL for holder, size in now.items()}}
    return budget.give_way(kept.__getitem__, lambda holder: holder.startswith("s"))


def test_the_charge_is_the_amount_kept_now() -> None:
    budget = books(a=60, b=40)
    assert budget.total == LIMIT
    assert budget.charge("b", 41 * SMALL)
    assert not budget.charge("b", SMALL)
    assert budget.total == 61 * SMALL
    budget.release("a")
    budget.release("a")
    assert budget.total == SMALL


@pytest.mark.parametrize(
    ("kept", "gone"),
    [
        ({"s1": 30, "s2": 50, "m1": 60}, ["s2"]),
        ({"s1": 30, "s2": 20, "m1": 90}, ["s1", "s2"]),
        ({"m1": 40, "m2": 70, "s1": 1}, ["m2"]),
        ({"m1": 60, "m2": 70, "m3": 80, "s1": 10}, ["s1", "m3", "m2"]),
        ({"s1": 101}, ["s1"]),
        ({"m1": 100}, []),
    ],
)
def test_strangers_give_way_first_and_the_largest_of_them(kept: dict[str, int], gone: list[str]) -> None:
    budget = books(**kept)
    assert released(budget) == gone
    assert budget.total <= LIMIT
    assert budget.total == sum(size * SMALL for holder, size in kept.items() if holder not in gone)


def test_a_holder_that_keeps_less_by_now_does_not_give_way() -> None:
    budget = books(s1=80, m1=40)
    assert budget.total > LIMIT
    assert released(budget, s1=10) == []
    assert budget.total == 50 * SMALL


def test_no_holder_gives_way_below_a_fair_share() -> None:
    budget = books(**{f"m{number}": 10 for number in range(9)}, m9=11)
    assert released(budget) == ["m9"]
