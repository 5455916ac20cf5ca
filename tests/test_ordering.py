from __future__ import annotations

from pathlib import Path

import pytest

from ordering import module_names, slow_first

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


def test_modules_have_the_names_by_which_pytest_imports_them(request: pytest.FixtureRequest) -> None:
    modules = {item.getparent(pytest.Module) for item in request.session.items}
    imported = {module.obj.__name__ for module in modules if module is not None}
    assert imported <= {*module_names(Path(__file__).parent)}
