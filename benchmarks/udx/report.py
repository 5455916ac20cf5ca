"""The figures as a table on the screen, and in the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..comparison import number, replace_figures
from .runner import Row

_NAMES = {"ours": "ours", "reference": "udx-native"}

HEAD = (
    f"{'':<26}{'from':<12}{'to':<12}{'udx-native':>12}{'this':>12} {'':<12}"
    f"{'ratio':>7}   {'spread':<14}{'wanted':>8}{'bare Trio':>11}"
)


def line(row: Row) -> str:
    """One line of the table."""
    sides = f"{row.figure:<26}{_NAMES[row.client]:<12}{_NAMES[row.server]:<12}"
    figures = f"{number(row.theirs):>12}{number(row.ours):>12} {row.unit:<12}{row.ratio:>7.2f}"
    floor = f"{row.floor:.2f}" if row.floor else ""
    return f"{sides}{figures}   {row.spread:<14}{row.wanted:>8}{floor:>11}{'' if row.met else '  missed'}"


def write_table(rows: Sequence[Row], page: Path) -> None:
    """Replace the table of a page of the documentation."""
    replace_figures(page, "udx figures", _table(rows))


def _table(rows: Sequence[Row]) -> Iterator[str]:
    yield "| | from | to | udx-native | this | ratio (spread) | wanted | bare Trio |"
    yield "|---|---|---|--:|--:|--:|--:|--:|"
    for row in rows:
        sides = f"{_NAMES[row.client]} | {_NAMES[row.server]}"
        floor = f"{row.floor:.2f}" if row.floor else ""
        yield f"| {row.figure}, {row.unit} | {sides} | {row.cells} | {floor} |"
