"""The figures as a table on the screen, and as JSON."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs

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


def _version(package: str) -> tuple[str, str]:
    described = json.loads((ROOT / "tests/interop" / package / "package.json").read_text())
    return described["name"], described["version"]


ROW_HEAD = (
    f"{'':<36}{'wire':<12}{'reference':<10}{'theirs':>12}{'ours':>12} {'':<14}"
    f"{'ratio':>7}   {'spread':<14}{'wanted':>8}"
)
CORE_HEAD = f"{'the core alone':<36}{'sent/s':>14}{'received/s':>14}{'MB/s sent':>12}{'received':>12}"


def row_line(row: Row) -> str:
    """One line of the table."""
    what = f"{row.figure:<36}{row.wire:<12}{row.reference:<10}"
    spread = f"{row.lowest:.2f} to {row.highest:.2f}"
    wanted = f"{'≥' if row.better == 'higher' else '≤'} {row.target:g}"
    figures = f"{row.theirs:>12,.4g}{row.ours:>12,.4g} {row.unit:<14}{row.ratio:>7.2f}   {spread:<14}"
    return f"{what}{figures}{wanted:>8}{'' if row.met else '  missed'}"


def core_line(row: CoreRow) -> str:
    """One line about the core."""
    megabytes = f"{row.sent * row.size / 1e6:>12,.0f}{row.received * row.size / 1e6:>12,.0f}"
    return f"{f'{row.wire}, {row.size:,} B':<36}{row.sent:>14,.0f}{row.received:>14,.0f}{megabytes}"


def point_line(point: Point) -> str:
    """One line about how the cost grows."""
    what = f"{point.size:,} {point.series}, {point.wire}: {point.figure}"
    return f"{what:<80}{point.median:>10,.3g} {point.unit:<4} {point.lowest:,.3g} to {point.highest:,.3g}"


def misses(rows: Sequence[Row]) -> int:
    """How many ratios are not what they should be."""
    return sum(not row.met for row in rows)


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True, file=sys.stdout)
