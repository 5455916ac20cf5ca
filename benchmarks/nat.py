"""Meet through real NATs, by our software and the original in one run: `python -m benchmarks.nat`.

Hosts, routers and the nodes of a DHT are in network namespaces (`tests/nat/world.py`). Each try is a dial
with new sockets and keys on both sides. The time is that until the first bytes of the other side.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
import trio

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from nat.matrix import CELLS, PAIRINGS, Cell, Outcome, Pairing, open_matrix, play
from nat.world import open_world

from .comparison import number, replace_figures

Row = dict[Pairing, Outcome]

_NAMES: Final = {pairing: "-".join(pairing) for pairing in PAIRINGS}


def head(pairings: list[Pairing]) -> Iterator[str]:
    """The head of the table."""
    yield "| dialler | listener |" + "".join(f" {' to '.join(pairing)} |" for pairing in pairings)
    yield "|---|---|" + "--:|" * len(pairings)


def line(cell: Cell, row: Row) -> str:
    """One line of the table; bold where ours succeeds less often than the original."""
    listener = cell.alike or cell.listener
    theirs = row.get(("Node", "Node"))
    cells = []
    for outcome in row.values():
        met = f"{len(outcome.met)} of {len(outcome.tries)}"
        shown = f"{met}, {time_of(outcome.median)}" if outcome.met else met
        cells.append(f"**{shown}**" if theirs and outcome.rate < theirs.rate else shown)
    return f"| {cell.dialler} | {listener} | " + " | ".join(cells) + " |"


def time_of(seconds: float) -> str:
    """A time, in a unit that suits it."""
    return f"{number(seconds)} s" if seconds >= 1 else f"{number(seconds * 1000)} ms"


async def measure(options: argparse.Namespace, pairings: list[Pairing]) -> dict[Cell, Row]:
    """Play all cells, and print each line as it comes."""
    rows: dict[Cell, Row] = {}
    with open_world() as world:
        async with open_matrix(world) as matrix:
            for cell in CELLS:
                if options.only not in cell.name:
                    continue
                rows[cell] = {
                    pairing: await play(await matrix.pair(cell, pairing), options.tries, options.at_once)
                    for pairing in pairings
                }
                print(line(cell, rows[cell]), flush=True)
                for pairing, outcome in rows[cell].items():
                    for failure in sorted(set(outcome.failures)):
                        count = outcome.failures.count(failure)
                        print(f"    {_NAMES[pairing]}: {count} times {failure}", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Measure, print, and write what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.nat", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--tries", type=int, default=20, help="dials of each kind (default 20)")
    parser.add_argument("--at-once", type=int, default=4, help="dials under way at a time (default 4)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only lines with TEXT in the name")
    parser.add_argument(
        "--pairing", action="append", choices=_NAMES.values(), help="only this pairing; repeat for several"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every try there")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the table into that page")
    options = parser.parse_args()
    pairings = [each for each in PAIRINGS if options.pairing is None or _NAMES[each] in options.pairing]
    print("\n".join(head(pairings)), flush=True)
    rows = trio.run(measure, options, pairings)
    if options.json is not None:
        report = {
            cell.name: {_NAMES[pairing]: attrs.asdict(outcome)["tries"] for pairing, outcome in row.items()}
            for cell, row in rows.items()
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.page is not None:
        replace_figures(
            options.page, "figures of NATs", [*head(pairings), *(line(*row) for row in rows.items())]
        )


if __name__ == "__main__":
    main()
