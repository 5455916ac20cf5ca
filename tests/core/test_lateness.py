from __future__ import annotations

import math

import pytest

from peersockets_core.lateness import LATENESS, absence


@pytest.mark.parametrize(
    ("due", "away"),
    [
        (80.0, 30.0),
        (100.0 - LATENESS - 0.001, 30.0),
        (100.0 - LATENESS, 0.0),
        (99.9, 0.0),
        (100.0, 0.0),
        (110.0, 0.0),
        (math.inf, 0.0),
    ],
)
def test_a_call_much_later_than_due_ends_an_absence(due: float, away: float) -> None:
    assert absence(100.0, since=70.0, due=due) == away
