"""Run the benchmarks of HyperDHT: `python -m benchmarks.dht` (`--help` for the options).

Every figure is the median over rounds in which both implementations take turns; a ratio is the median of the
rounds' ratios, with their spread.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..comparison import replace_figures
from .runner import SCENARIOS, compare

HEAD = "| | hyperdht | this | ratio (spread) | wanted |\n|---|--:|--:|--:|--:|"


def main() -> None:
    """Measure, print, and write what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dht", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default 5)")
    parser.add_argument("--only", choices=SCENARIOS, help="only this scenario")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the table into that page")
    options = parser.parse_args()
    print(HEAD, flush=True)
    lines = [HEAD]
    for name in SCENARIOS:
        if options.only in (None, name):
            for row in compare(name, options.rounds):
                lines.append(f"| {row.figure}, {row.unit} | {row.cells} |")
                print(lines[-1], flush=True)
    if options.page is not None:
        replace_figures(options.page, "figures of HyperDHT", lines)


if __name__ == "__main__":
    main()
