"""The log of a command: its amount, and that nothing reaches the terminal raw."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from peersockets_trio.cli import log

logger = logging.getLogger("peersockets")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    handlers, level = logger.handlers.copy(), logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


def say_all() -> None:
    for level in (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG):
        logger.log(level, "a line of level %s", logging.getLevelName(level))
    log.finish()


@pytest.mark.parametrize(
    ("verbose", "shown"),
    [
        (0, ["ERROR", "WARNING"]),
        (1, ["ERROR", "WARNING", "INFO"]),
        (2, ["ERROR", "WARNING", "INFO", "DEBUG"]),
        (9, ["ERROR", "WARNING", "INFO", "DEBUG"]),
    ],
)
def test_verbosity(verbose: int, shown: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(verbose)
    say_all()
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == shown


def test_warnings_are_left_out_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(0)
    log.without_warnings()
    say_all()
    assert capsys.readouterr().err.count("\n") == 1
    logger.handlers.clear()
    log.set_up(1)
    log.without_warnings()
    say_all()
    assert capsys.readouterr().err.count("\n") == 3


def test_text_from_a_remote_is_shown_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(0)
    logger.error("a name: %s", "\x1b[31m red \n and more")
    log.finish()
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "\x1b" not in shown
