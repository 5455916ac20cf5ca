"""The suite itself: a slow machine cannot fail it, and skipped tests do."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]

# A clock on which every draw and every example takes ten seconds.
PROPERTY = """
import itertools, time
from hypothesis import given, strategies

clock = itertools.count(0, 10)
time.perf_counter = lambda: float(next(clock))

@given(strategies.lists(strategies.integers()))
def test_property(numbers):
    pass
"""

SKIPPED = """
import pytest

def test_runs():
    pass

@pytest.mark.skipif(True, reason="a machine without it")
def test_does_not():
    pass
"""


def run_pytest(folder: Path, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run one file of tests as ours are run."""
    (folder / "test_it.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, *options, "test_it.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_slow_machine_fails_no_property(tmp_path: Path) -> None:
    ours = run_pytest(tmp_path, PROPERTY, "-p", "conftest")
    assert ours.returncode == 0, ours.stdout
    default = run_pytest(tmp_path, PROPERTY, "--hypothesis-profile=default")  # in CI, Hypothesis has another
    assert default.returncode == 1
    assert re.search("too_slow|DeadlineExceeded", default.stdout)


def test_health_checks_of_the_data_are_on() -> None:
    assert settings.default is not None
    assert set(settings.default.suppress_health_check) == {HealthCheck.too_slow}


def test_no_property_has_a_profile_of_its_own() -> None:
    """Even a good profile would be one more to check."""
    for path in (ROOT / "tests").rglob("*.py"):
        if path not in (Path(__file__), ROOT / "tests" / "conftest.py"):
            assert not re.search(r"suppress_health_check|settings\([^)]*deadline=", path.read_text()), path


def test_a_run_that_skips_fails(tmp_path: Path) -> None:
    run = run_pytest(tmp_path, SKIPPED, "-p", "conftest")
    assert run.returncode == 1
    assert "1 passed, 1 skipped" in run.stdout
    assert "a machine without it" in run.stdout


def test_garbage_collections_do_not_examine_the_tests() -> None:
    assert not any(isinstance(thing, pytest.Item) for thing in gc.get_objects())
    assert gc.get_freeze_count() > 10_000


def test_the_paths_in_the_makefile_exist() -> None:
    """Pytest reports a missing path only when the target runs."""
    commands = subprocess.run(
        ["make", "--dry-run", "--always-make", "test", "test-lowest"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = set(re.findall(r"\btests/(?:core|adapter|cli|docs)[\w/.]*", commands.stdout))
    assert len(paths) >= 5
    assert [path for path in paths if not (ROOT / path).exists()] == []
