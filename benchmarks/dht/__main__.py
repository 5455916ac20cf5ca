"""Run the benchmarks of HyperDHT: `python -m benchmarks.dht` (`--help` for the options).

Every figure is the median over rounds in which both implementations take turns; a ratio is the median of the
rounds' ratios, with their spread.
"""

from __future__ import annotations

import argparse

from .runner import SCENARIOS, compare

HEAD = "| | hyperdht | this | ratio (spread) | wanted |\n|---|--:|--:|--:|--:|"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dht", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default 5)")
    parser.add_argument("--only", choices=SCENARIOS, help="only this scenario")
    options = parser.parse_args()
    print(HEAD, flush=True)
    for name in SCENARIOS:
        if options.only in (None, name):
            for row in compare(name, options.rounds):
                print(f"| {row.figure}, {row.unit} | {row.cells} |", flush=True)


if __name__ == "__main__":
    main()
