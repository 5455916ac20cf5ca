"""Simulate a DHT and the members of one drive in virtual time: `python -m benchmarks.scale` (`--help` for
the options).
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import time
from pathlib import Path
from random import Random
from typing import Final

import attrs

from .network import Network, remember_all_addresses
from .population import OBSERVERS, Population
from .report import CAUSES_HEAD, HEAD, Observer, Period, Run, causes_lines, line, resident

MIB: Final = 1 << 20


def simulate(options: argparse.Namespace, members: int, earlier: list[Run]) -> Run:
    """Simulate one network; print its table, and save its figures after those of `earlier` runs."""
    nodes = options.nodes
    began, empty = time.process_time(), resident()
    remember_all_addresses()
    gc.disable()  # there is no garbage yet, and a collection looks at every node
    network = Network(Random(f"network {options.seed}"), options.loss)
    population = Population(network, nodes, members, options.seed, options.observers)
    population.assemble(options.storm)
    gc.collect()
    count, minutes = nodes + members + options.observers, network.now / 60
    print(
        f"{nodes:,} nodes, {members:,} members and {options.observers} observers have come within"
        f" {minutes:.0f} minutes, with {network.delivered / count:,.0f} datagrams for each; one takes"
        f" {(resident() - empty) / count / 1024:.0f} KiB.\n\n{HEAD}",
        flush=True,
    )
    observer, table = Observer(population), list[Period]()
    run = Run(nodes, members + options.observers, table, observer.known)
    left = options.hours * 3600
    while left > 0 and time.process_time() - began < options.processor * 60:
        table.append(observer.period(min(options.period * 60, left)))
        left -= options.period * 60
        gc.collect()
        print(line(table[-1]), flush=True)
        if options.save:
            figures = {"runs": [attrs.asdict(each) for each in (*earlier, run)]}
            options.save.write_text(json.dumps(figures) + "\n")
    all_found, minutes = observer.time_to_find_all(), (time.process_time() - began) / 60
    print(
        f"\n99 % of the members were known after"
        f" {'more than the time simulated' if all_found is None else f'{all_found / 60:.0f} minutes'};"
        f" {network.delivered:,} datagrams, {population.dials:,} dials and {population.gone:,} replacements"
        f" took {minutes:.0f} minutes of one core and {resident() / MIB:,.0f} MiB.\n",
        flush=True,
    )
    if table:
        print(f"The last period by cause:\n\n{CAUSES_HEAD}\n{causes_lines(table[-1])}\n", flush=True)
    return run


def main() -> None:
    """Simulate, and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=(__doc__ or "").split(":")[0]
    )
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument(
        "--observers", type=int, default=OBSERVERS, help="members besides, who stay (default 20)"
    )
    parser.add_argument("--hours", type=float, default=24.0, help="virtual hours of churn (default 24)")
    parser.add_argument(
        "--period", type=float, default=15.0, help="virtual minutes for each line of the table (default 15)"
    )
    parser.add_argument(
        "--processor",
        type=float,
        default=math.inf,
        help="minutes of processor time after which no further period begins",
    )
    parser.add_argument(
        "--storm",
        type=float,
        default=600.0,
        help="seconds in which all nodes come, and then all members",
    )
    parser.add_argument("--loss", type=float, default=0.01, help="the part of all packets that is lost")
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        help="drives of these sizes, one after the other",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, help="write the figures to this JSON file, period by period")
    parser.add_argument(
        "--draw",
        type=Path,
        nargs="+",
        help="only draw the figures of such files into an SVG beside the first one",
    )
    options = parser.parse_args()
    if options.draw:
        from .plot import draw

        draw(options.draw)
        return
    runs: list[Run] = []
    for members in options.sizes or [options.members]:
        runs.append(simulate(options, members, runs))


if __name__ == "__main__":
    main()
