"""The figures of a soak, mark by mark, and as tables for the documentation."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import attrs

MIB: Final = 1 << 20
NOISE: Final = 1.05
"""A kind of object has grown if there are more than so many times as many as before."""
ALL: Final = 0.99
"""The part of the connections at the end with which an earlier mark is comparable."""

Figures = dict[str, float]
Report = dict[str, Any]


@attrs.frozen
class Mark:
    """Everything that the steady processes hold at one moment."""

    minutes: float
    seen: int
    """The number of others that the members see, in all."""
    restarts: int
    held: dict[str, Figures]
    """The means of one process, by software."""
    kinds: Counter[str]
    """The objects of ours, by type, in all processes of ours."""

    @classmethod
    def of(cls, minutes: float, seen: int, restarts: int, processes: dict[str, list[Report]]) -> Mark:
        """Sum up the figures of each process."""
        kinds: Counter[str] = Counter()
        held: dict[str, Figures] = {}
        for software, figures in processes.items():
            for each in figures:
                kinds.update(each.pop("kinds", {}))
            held[software] = {name: statistics.fmean(each[name] for each in figures) for name in figures[0]}
        return cls(minutes, seen, restarts, held, kinds)

    @property
    def line(self) -> str:
        """One line for the terminal."""
        held = "; ".join(
            f"{software}: " + ", ".join(f"{name} {shown(name, value)}" for name, value in figures.items())
            for software, figures in self.held.items()
        )
        return f"{self.minutes:g} minutes, {self.restarts} restarts, {self.seen} seen. {held}"


def shown(name: str, value: float) -> str:
    """A figure, memory in MiB."""
    return f"{value / MIB:.1f}" if name == "resident" else f"{value:,.0f}"


def grown(marks: list[Mark]) -> list[str]:
    """The kinds of which the last mark has more than the first one at which as many others were seen."""
    first = next(mark for mark in marks if mark.seen >= ALL * marks[-1].seen)
    kinds = sorted(marks[-1].kinds)
    return [kind for kind in kinds if marks[-1].kinds[kind] > NOISE * first.kinds[kind]]


def table(report: Report) -> Iterator[str]:
    """The figures as tables."""
    marks: list[Mark] = report["marks"]
    lost = report["not delivered"] - report["not reported"]
    yield (
        "| members | minutes | loss | restarts in good order | by SIGKILL | delivered "
        "| lost, reported | lost silently |"
    )
    yield "|--:|--:|--:|--:|--:|--:|--:|--:|"
    restarts = report["restarts"]
    yield (
        f"| {report['members']} | {report['minutes']:g} | {report['loss']:g} % | {restarts.get('ended', 0)} "
        f"| {restarts.get('killed', 0)} | {report['delivered']:,} | {lost:,} | {report['not reported']:,} |"
    )
    yield "\n| after minutes |" + "".join(f" {mark.minutes:.0f} |" for mark in marks)
    yield "|---|" + "--:|" * len(marks)
    yield _row("restarts", [f"{mark.restarts}" for mark in marks])
    yield _row("others seen, of all", [f"{mark.seen} of {report['pairs']}" for mark in marks])
    for software in marks[0].held:
        for name in marks[0].held[software]:
            title = "memory, MiB" if name == "resident" else name
            values = [shown(name, mark.held[software][name]) for mark in marks]
            yield _row(f"{software}: {title}", values)
    for kind in grown(marks):
        yield _row(f"`{kind}`, in all", [f"{mark.kinds[kind]}" for mark in marks])


def _row(title: str, values: list[str]) -> str:
    return f"| {title} | " + " | ".join(values) + " |"
