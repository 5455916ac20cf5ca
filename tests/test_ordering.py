from __future__ import annotations

from pathlib import Path

import pytest

from ordering import module_names, slow_first

SLOW = {"d", "e", "h", "i", "j"}


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        (1, ["dehijabcfgkl"]),
        (2, ["dehija", "bcfgkl"]),
        (3, ["dehij", "abc", "fgkl"]),
        (4, ["dhj", "eia", "bcf", "gkl"]),
        (6, ["di", "ej", "ha", "bc", "fg", "kl"]),
    ],
)
def test_half_of_the_workers_begin_with_the_slow_tests(workers: int, expected: list[str]) -> None:
    assert slow_first("abcdefghijkl", SLOW.__contains__, workers) == list("".join(expected))


@pytest.mark.parametrize("items", ["", "a", "d", "dehij", "dehija", "abc", "abcdefghijklm"])
@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_every_test_runs_once(items: str, workers: int) -> None:
    assert sorted(slow_first(items, SLOW.__contains__, workers)) == sorted(items)


def test_modules_have_the_names_by_which_pytest_imports_them(request: pytest.FixtureRequest) -> None:
    modules = {item.getparent(pytest.Module) for item in request.session.items}
    imported = {module.obj.__name__ for module in modules if module is not None}
    assert imported <= {*module_names(Path(__file__).parent)}
