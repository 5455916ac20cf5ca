"""Run the benchmarks: `python -m benchmarks` (`--help` for the options).

Every figure is the median over rounds in which the reference and ours take turns; a ratio is the median of
the rounds' ratios, with their spread. Absolute numbers say little: compare within one run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from . import core, report
from .comparison import misses
from .runner import compare, grow
from .scenarios import SCENARIOS, SERIES, WIRES

_QUICK_SHRINK = 2
_FLIGHTS = {False: 20, True: 3}  # of the core, by whether it is to be quick


def measure(results: report.Results, *, quick: bool, only: str) -> None:
    """Fill in the results, and print them as they come."""
    report.say(report.ROW_HEAD)
    for scenario in SCENARIOS:
        if not any(only in figure.name for figure in scenario.figures) or (quick and not scenario.quick):
            continue
        for wire in WIRES:
            for row in compare(scenario, wire, results.rounds, _QUICK_SHRINK if quick else 1):
                results.rows.append(row)
                report.say(report.row_line(row))
    if only in "core":
        report.say("\n" + report.CORE_HEAD)
        for core_row in core.measure(results.rounds, _FLIGHTS[quick]):
            results.core.append(core_row)
            report.say(report.core_line(core_row))
    report.say("")
    for series in SERIES:
        for wire in WIRES if only in series.name else ():
            for point in grow(series, wire, min(results.rounds, 3), quick=quick):
                results.points.append(point)
                report.say(report.point_line(point))
    report.say("\n" + misses(results.rows))


def main() -> None:
    """Measure, print, and write what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round of the most telling, in two minutes")
    parser.add_argument("--rounds", type=int, help="how often each is measured (default 5, quick 1)")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only figures and series with TEXT in the name"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw them there, as FILE.png and FILE.svg")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the tables into that page")
    parser.add_argument(
        "--of", type=Path, metavar="FILE", help="measure nothing: take the figures of a JSON file"
    )
    options = parser.parse_args()
    if options.of is not None:
        results = report.Results.read(options.of)
    else:
        results = report.Results(rounds=options.rounds or (1 if options.quick else 5))
        measure(results, quick=options.quick, only=options.only)
    if options.json is not None:
        results.write(options.json)
    if options.page is not None:
        report.write_tables(results, options.page)
    if options.plot is not None:
        from .plot import draw  # its library is an optional one

        draw(results, options.plot)


if __name__ == "__main__":
    main()
