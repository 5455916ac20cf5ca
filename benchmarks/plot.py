"""Draws the picture for the documentation: ratios beside their targets, and the growth of the cost.

Needs matplotlib: `pip install 'peersockets[bench]'`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from .report import Results
from .runner import Point, Row

_COLOURS = {
    ("hypercore9", "plain"): "#1f77b4",
    ("hypercore11", "plain"): "#d95f02",
    ("hypercore11", "corked"): "#7f7f7f",
}
_FLOOR = 0.01  # a logarithmic axis has no place for zero


def draw(results: Results, path: Path) -> None:
    """Draw the results into `path`.png and `path`.svg."""
    series = _grouped(results.points)
    figure = plt.figure(
        figsize=(12, 0.34 * len(results.rows) + 3.2 * len(series) / 2 + 2), layout="constrained"
    )
    upper, lower = figure.subfigures(
        2, 1, height_ratios=(0.34 * len(results.rows) + 1, 1.6 * len(series) + 0.1)
    )
    _draw_ratios(upper.subplots(), results.rows)
    for axes, (name, points) in zip(
        lower.subplots(-(-len(series) // 2), 2).flat, series.items(), strict=False
    ):
        _draw_series(axes, name, points)
    for suffix in (".png", ".svg"):
        figure.savefig(
            path.with_suffix(suffix), dpi=110, metadata=None if suffix == ".png" else {"Date": None}
        )


def _draw_ratios(axes: Any, rows: list[Row]) -> None:
    """Draw one bar for each ratio, longer for better, with its spread. A black mark shows the target."""
    seen = set()
    for index, row in enumerate(rows):
        variant = (row.wire, row.reference)
        value, low, high, target = (
            _advantage(row, ratio) for ratio in (row.ratio, row.lowest, row.highest, row.target)
        )
        axes.barh(
            index,
            value,
            color=_COLOURS[variant],
            label=None if variant in seen else " against ".join((row.wire, row.reference)),
        )
        axes.plot(sorted((low, high)), (index, index), color="#00000080", linewidth=1)
        axes.plot((target, target), (index - 0.45, index + 0.45), color="black", linewidth=2)
        seen.add(variant)
    axes.set_yticks(range(len(rows)), [row.figure for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color="#00000040", linewidth=1)
    axes.set_xlabel("times better than the reference in the same run (black mark: wanted; thin line: spread)")
    axes.legend(loc="lower right", fontsize=8)


def _advantage(row: Row, ratio: float) -> float:
    bounded = max(ratio, _FLOOR)
    return bounded if row.better == "higher" else 1 / bounded


def _draw_series(axes: Any, name: str, points: list[Point]) -> None:
    """Draw one line for each figure and wire."""
    for (wire, figure, unit), line in groupby(
        sorted(points, key=_line), key=lambda point: (point.wire, point.figure, point.unit)
    ):
        marks = list(line)
        axes.plot(
            [point.size for point in marks],
            [point.median for point in marks],
            marker="o",
            linestyle="-" if wire == "hypercore9" else "--",
            label=f"{figure} ({unit}), {wire}",
        )
    axes.set_title(name, fontsize=9)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.legend(fontsize=6)


def _line(point: Point) -> tuple[str, str, str, int]:
    return (point.figure, point.unit, point.wire, point.size)


def _grouped(points: Iterable[Point]) -> dict[str, list[Point]]:
    grouped: dict[str, list[Point]] = {}
    for point in points:
        grouped.setdefault(point.series, []).append(point)
    return grouped
