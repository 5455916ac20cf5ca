"""Run the benchmarks of UDX: `python -m benchmarks.udx` (`--help` for the options).

Every figure is the median over rounds in which all pairings take turns; a ratio is the median of the rounds'
ratios to udx-native with itself, with their spread.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..comparison import misses
from . import report
from .runner import Row, compare
from .scenarios import SCENARIOS

_QUICK_SHRINK = 4


def main() -> None:
    """Measure, print, and write what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.udx", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="one short round of the most telling")
    parser.add_argument("--rounds", type=int, help="how often each is measured (default 5, quick 1)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only figures with TEXT in the name")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the table into that page")
    options = parser.parse_args()
    rows: list[Row] = []
    print(report.HEAD, flush=True)
    for scenario in SCENARIOS:
        if not any(options.only in figure.name for figure in scenario.figures):
            continue
        if options.quick and not scenario.quick:
            continue
        rounds = options.rounds or (1 if options.quick else 5)
        for row in compare(scenario, rounds, _QUICK_SHRINK if options.quick else 1):
            rows.append(row)
            print(report.line(row), flush=True)
    print("\n" + misses(rows))
    if options.page is not None:
        report.write_table(rows, options.page)


if __name__ == "__main__":
    main()
