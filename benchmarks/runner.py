"""Runs scenarios. Ours and the reference take turns, because only figures of one run can be compared."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from .comparison import Comparison, node_command
from .process import Report, RoleProcess
from .scenarios import Figure, Run, Scenario, Series, Variant

_CROWD_ROLES = ("half-open", "members", "sink")
_OURS: Variant = ("", "ours")


@attrs.frozen(kw_only=True)
class Row(Comparison):
    """One figure beside the reference's."""

    wire: str
    reference: str


@attrs.frozen
class Point:
    """One figure of ours at one size of a series."""

    series: str
    size: int
    wire: str
    figure: str
    unit: str
    median: float
    lowest: float
    highest: float


def commands() -> dict[str, list[str]]:
    """The commands that start a process of each implementation."""
    return {
        "ours": [sys.executable, "-m", "benchmarks.ours"],
        "reference": node_command(Path(__file__).with_name("reference.js")),
        "crowd": [sys.executable, "-m", "benchmarks.crowd"],
    }


def run(scenario: Scenario, implementation: str, options: Mapping[str, Any]) -> Run:
    """Let two processes play a scenario once."""
    command = commands()

    def start(role: str, **more: Any) -> RoleProcess:
        player = "crowd" if role in _CROWD_ROLES else implementation
        return RoleProcess(command[player], role, {**options, **more})

    with start(scenario.server) as server:
        port = server.next()["port"]
        before = server.ask("resident")
        with start(scenario.client, port=port) as client:
            ready = client.next()
            held = server.ask("resident")
            result = server.ask("result") | client.ask("result")
            after = server.ask("resident")
    return Run(options, before, held, ready, result, after)


def compare(scenario: Scenario, wire: str, rounds: int, shrink: int) -> Iterator[Row]:
    """Measure ours and every variant of the reference on one wire, in turns."""
    variants = [variant for variant in scenario.variants if variant[0] == wire]
    options: Report = {**scenario.options, "wire": wire}
    options["count"] //= shrink
    runs: dict[Variant, list[Run]] = {variant: [] for variant in (*variants, _OURS)}
    for _ in range(rounds):
        for variant in variants:
            runs[variant].append(run(scenario, "reference", {**options, "style": variant[1]}))
        runs[_OURS].append(run(scenario, "ours", options))
    for figure in scenario.figures:
        mine = [figure.value(each) for each in runs[_OURS]]
        for variant in variants:
            theirs = [figure.value(each) for each in runs[variant]]
            yield _row(figure, variant, theirs, mine)


def _row(figure: Figure, variant: Variant, theirs: list[float], mine: list[float]) -> Row:
    wire, reference = variant
    return Row.of(
        theirs,
        mine,
        figure=figure.name,
        unit=figure.unit,
        better=figure.better,
        target=figure.targets[variant],
        wire=wire,
        reference=reference,
    )


def grow(series: Series, wire: str, rounds: int, *, quick: bool) -> Iterator[Point]:
    """Measure ours at every size of a series."""
    for size in series.quick_values if quick else series.values:
        options = {**series.scenario.options, "wire": wire, series.option: size}
        runs = [run(series.scenario, "ours", options) for _ in range(rounds)]
        for figure in series.scenario.figures:
            yield _point(series, size, wire, figure, [figure.value(each) for each in runs])


def _point(series: Series, size: int, wire: str, figure: Figure, values: list[float]) -> Point:
    middle = statistics.median(values)
    return Point(series.name, size, wire, figure.name, figure.unit, middle, min(values), max(values))
