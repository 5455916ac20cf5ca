"""The figures as a table on the screen, and in the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from .runner import Row

MARKS = ("<!-- udx figures -->\n", "<!-- end of udx figures -->\n")
"""What the table of the documentation stands between."""

_NAMES = {"ours": "ours", "reference": "udx-native"}

HEAD = (
    f"{'':<26}{'from':<12}{'to':<12}{'udx-native':>12}{'this':>12} {'':<12}"
    f"{'ratio':>7}   {'spread':<14}{'wanted':>8}"
)


def line(row: Row) -> str:
    """One line of the table."""
    who = f"{row.figure:<26}{_NAMES[row.client]:<12}{_NAMES[row.server]:<12}"
    figures = f"{_number(row.theirs):>12}{_number(row.ours):>12} {row.unit:<12}{row.ratio:>7.2f}"
    spread = f"{row.lowest:.2f} to {row.highest:.2f}"
    return f"{who}{figures}   {spread:<14}{_wanted(row):>8}{'' if row.met else '  missed'}"


def write_table(rows: Sequence[Row], page: Path) -> None:
    """Replace the table of a page of the documentation."""
    before, _, rest = page.read_text().partition(MARKS[0])
    _, mark, after = rest.partition(MARKS[1])
    if not mark:
        raise SystemExit(f"benchmarks: {page} has no place for the table of UDX")
    page.write_text(before + MARKS[0] + "\n".join(_table(rows)) + "\n" + mark + after)


def _table(rows: Sequence[Row]) -> Iterator[str]:
    yield "| | from | to | udx-native | this | ratio (spread) | wanted |"
    yield "|---|---|---|--:|--:|--:|--:|"
    for row in rows:
        ratio = f"{row.ratio:.2f} ({row.lowest:.2f} to {row.highest:.2f})"
        who = f"{row.figure}, {row.unit} | {_NAMES[row.client]} | {_NAMES[row.server]}"
        figures = f"{_number(row.theirs)} | {_number(row.ours)} | {ratio if row.met else f'**{ratio}**'}"
        yield f"| {who} | {figures} | {_wanted(row)} |"


def _wanted(row: Row) -> str:
    return f"{'≥' if row.better == 'higher' else '≤'} {row.target:g}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
