"""Shows the figures as a table, and saves them as JSON."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs

from .comparison import number, replace_figures
from .core import CoreRow
from .runner import Point, Row

ROOT = Path(__file__).parent.parent
_PACKAGES = (
    "hypercore9/node_modules/hypercore-protocol",
    "hypercore11/node_modules/@hyperswarm/secret-stream",
    "hypercore11/node_modules/protomux",
)


@attrs.define
class Results:
    """Everything that a run has measured."""

    rounds: int
    python: str = attrs.field(factory=platform.python_version)
    references: dict[str, str] = attrs.field(factory=lambda: dict(map(_version, _PACKAGES)))
    rows: list[Row] = attrs.field(factory=list)
    core: list[CoreRow] = attrs.field(factory=list)
    points: list[Point] = attrs.field(factory=list)

    def write(self, path: Path) -> None:
        """Write it all as JSON."""
        path.write_text(json.dumps(attrs.asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read figures that `write` saved."""
        fields = json.loads(path.read_text())
        for name, kind in {"rows": Row, "core": CoreRow, "points": Point}.items():
            fields[name] = [kind(**field) for field in fields[name]]
        return cls(**fields)


def _version(package: str) -> tuple[str, str]:
    described = json.loads((ROOT / "tests/interop" / package / "package.json").read_text())
    return described["name"], described["version"]


ROW_HEAD = (
    f"{'':<36}{'wire':<12}{'reference':<10}{'theirs':>12}{'ours':>12} {'':<14}"
    f"{'ratio':>7}   {'spread':<14}{'wanted':>8}"
)
CORE_HEAD = f"{'the core alone':<36}{'sent/s':>14}{'received/s':>14}{'MB/s sent':>12}{'received':>12}"


def row_line(row: Row) -> str:
    """Return one line of the table."""
    what = f"{row.figure:<36}{row.wire:<12}{row.reference:<10}"
    figures = (
        f"{number(row.theirs):>12}{number(row.ours):>12} {row.unit:<14}{row.ratio:>7.2f}   {row.spread:<14}"
    )
    return f"{what}{figures}{row.wanted:>8}{'' if row.met else '  missed'}"


def core_line(row: CoreRow) -> str:
    """Return one line about the core."""
    megabytes = f"{row.sent * row.size / 1e6:>12,.0f}{row.received * row.size / 1e6:>12,.0f}"
    return f"{f'{row.wire}, {row.size:,} B':<36}{row.sent:>14,.0f}{row.received:>14,.0f}{megabytes}"


def point_line(point: Point) -> str:
    """Return one line about the growth of the cost."""
    what = f"{point.size:,} {point.series}, {point.wire}: {point.figure}"
    return f"{what:<80}{point.median:>10,.3g} {point.unit:<4} {point.lowest:,.3g} to {point.highest:,.3g}"


def write_tables(results: Results, page: Path) -> None:
    """Replace the tables of a page of the documentation."""
    replace_figures(page, "figures", _tables(results))


def _tables(results: Results) -> Iterator[str]:
    yield "| | wire | reference | theirs | ours | ratio (spread) | wanted |"
    yield "|---|---|---|--:|--:|--:|--:|"
    for row in results.rows:
        yield f"| {row.figure}, {row.unit} | {row.wire} | {row.reference} | {row.cells} |"
    yield "\nThe core alone:\n"
    yield "| wire | bytes | sent/s | received/s | sent, MB/s | received, MB/s |"
    yield "|---|--:|--:|--:|--:|--:|"
    for core in results.core:
        sent, received = (rate * core.size / 1e6 for rate in (core.sent, core.received))
        yield (
            f"| {core.wire} | {core.size:,} | {core.sent:,.0f} | {core.received:,.0f} "
            f"| {sent:,.0f} | {received:,.0f} |"
        )
    yield "\nHow the cost grows:\n"
    yield "| | wire | of | median (spread) |"
    yield "|---|---|--:|--:|"
    for point in results.points:
        spread = f"{number(point.lowest)} to {number(point.highest)}"
        median = f"{number(point.median)} {point.unit} ({spread})"
        yield f"| {point.series}: {point.figure} | {point.wire} | {point.size:,} | {median} |"


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True, file=sys.stdout)
