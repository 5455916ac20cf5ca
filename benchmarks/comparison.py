"""The parts that all benchmarks share: figures of ours beside the reference's, and the start of the
reference."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import attrs

Better: TypeAlias = Literal["higher", "lower"]


@attrs.frozen(kw_only=True)
class Comparison:
    """One figure of ours beside the reference's, over rounds in which both took turns."""

    figure: str
    unit: str
    better: Better
    theirs: float
    """The median of the rounds, like the figure of ours."""
    ours: float
    ratio: float
    """The median of the rounds' ratios."""
    lowest: float
    highest: float
    target: float
    """The target of the ratio: at least this if higher is better, otherwise at most."""
    met: bool

    @classmethod
    def of(
        cls, theirs: Sequence[float], ours: Sequence[float], *, better: Better, target: float, **about: Any
    ) -> Self:
        """Compare round by round; `about` are the fields that name the figure."""
        ratios = [mine / other if other else float("inf") for other, mine in zip(theirs, ours, strict=True)]
        ratio = statistics.median(ratios)
        return cls(
            better=better,
            theirs=statistics.median(theirs),
            ours=statistics.median(ours),
            ratio=ratio,
            lowest=min(ratios),
            highest=max(ratios),
            target=target,
            met=ratio >= target if better == "higher" else ratio <= target,
            **about,
        )

    @property
    def spread(self) -> str:
        """The lowest and the highest ratio."""
        return f"{self.lowest:.2f} to {self.highest:.2f}"

    @property
    def wanted(self) -> str:
        """The ratio wanted, with its sign."""
        return f"{'≥' if self.better == 'higher' else '≤'} {self.target:g}"

    @property
    def cells(self) -> str:
        """Return both figures, the ratio (bold if it misses the target) and the target, as cells of a
        table."""
        ratio = f"{self.ratio:.2f} ({self.spread})"
        marked = ratio if self.met else f"**{ratio}**"
        return f"{number(self.theirs)} | {number(self.ours)} | {marked} | {self.wanted}"


def number(value: float) -> str:
    """Return a figure with three digits, or as a whole number."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def misses(rows: Sequence[Comparison]) -> str:
    """The last line of a run."""
    return f"{sum(not row.met for row in rows)} of {len(rows)} ratios are not what they should be"


def node_command(script: Path) -> list[str]:
    """The command that starts a script of the reference. Exits if Node is not installed."""
    node = shutil.which("node")
    if node is None:
        raise SystemExit("benchmarks: Node is needed for the reference")
    return [node, "--expose-gc", str(script)]


def replace_figures(page: Path, name: str, lines: Iterable[str]) -> None:
    """Replace the lines between the marks of that name in a page of the documentation.

    Exits if the page has no such marks.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, _, rest = page.read_text().partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise SystemExit(f"benchmarks: {page} has no place for the {name}")
    page.write_text(before + begin + "\n".join(lines) + "\n" + mark + after)
