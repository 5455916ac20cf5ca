from __future__ import annotations

import pytest

from ordering import slow_first

SLOW = {"d", "e", "h", "i", "j"}


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        (1, ["dehijabcfgkl"]),
        (2, ["dhjabc", "eifgkl"]),
        (3, ["diab", "ejcf", "hgkl"]),
        (4, ["dja", "ebc", "hfg", "ikl"]),
    ],
)
def test_each_worker_begins_with_its_share_of_the_slow_tests(workers: int, expected: list[str]) -> None:
    assert slow_first("abcdefghijkl", SLOW.__contains__, workers) == list("".join(expected))


@pytest.mark.parametrize("items", ["", "a", "d", "dehij", "dehija", "abc", "abcdefghijklm"])
@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_every_test_runs_once(items: str, workers: int) -> None:
    assert sorted(slow_first(items, SLOW.__contains__, workers)) == sorted(items)
