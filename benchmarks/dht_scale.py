"""Simulate a DHT of a thousand nodes with churn, in virtual time: `python -m benchmarks.dht_scale`.

All nodes come within a minute. Then, minute after minute, a tenth of them vanish and others take their
place, while lookups go on for topics under which a fifth of the nodes have announced themselves.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from properties.dht.scale import Period, Scale, measure

WANTED: Final = 0.99
HEAD: Final = (
    "| minutes | nodes | came | messages a node and minute | lookups | found of live"
    " | requests a lookup (most) | time of one | in a table |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def line(minutes: float, period: Period) -> str:
    """One line of the table."""
    return (
        f"| {minutes:g} | {period.nodes:,} | {period.came:,} | {period.messages:.0f} | {period.lookups:,} |"
        f" {period.found:,} of {period.expected:,} ({period.recall:.2%}) |"
        f" {period.requests:.0f} ({period.most_requests}) | {period.seconds:.1f} s | {period.table:.0f} |"
    )


def main() -> None:
    """Simulate, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dht_scale", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--storm", type=float, default=60.0, help="seconds in which all come (default 60)")
    parser.add_argument("--minutes", type=int, default=60, help="virtual minutes of churn (default 60)")
    parser.add_argument(
        "--churn", type=float, default=0.1, help="the part replaced in a minute (default 0.1)"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    scale = Scale(options.nodes, options.seed)
    joined = scale.storm(options.storm)
    print(f"{options.nodes:,} nodes have come within {options.storm:g} s: {joined:.0f} datagrams for each")
    print(f"20 log2(n) is {measure(options.nodes):.0f}\n\n{HEAD}", flush=True)
    periods = []
    for minutes in range(0, options.minutes, 10):
        length = min(10, options.minutes - minutes)
        periods.append(scale.churn(length, options.churn))
        print(line(minutes + length, periods[-1]), flush=True)
    recall = sum(period.found for period in periods) / sum(period.expected for period in periods)
    most = max(period.requests for period in periods)
    ratio = most / measure(options.nodes)
    met = recall >= WANTED and ratio <= 1
    print(
        f"\n{recall:.2%} of the live announcements were found; {WANTED:.0%} are wanted. A lookup took"
        f" {most:.0f} requests at most in the median of ten minutes, {ratio:.2f} x 20 log2(n)."
    )
    sys.exit(not met)


if __name__ == "__main__":
    main()
