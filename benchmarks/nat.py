"""Meet through real NATs, by our software and the original in one run: `python -m benchmarks.nat`.

Hosts, routers and the nodes of a DHT are in network namespaces (`tests/nat/world.py`). Each try is a dial
with new sockets and keys on both sides. The time is that until the first bytes of the other side.

All cells and both kinds of software take turns, so that a busy minute of the machine falls on all of them.
Cells in which a side has to guess ports come last, and more of them at once, since they mostly wait. Ctrl-C
ends the run with the figures so far; with `--log`, the same command goes on where it ended.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import attrs
import trio

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from nat.matrix import CELLS, PAIRINGS, Cell, Matrix, Outcome, Pair, Pairing, Try, dial, open_matrix
from nat.world import open_world

from .comparison import number, replace_figures

Job = tuple[Cell, Pairing]

_NAMES: Final = {pairing: "-".join(pairing) for pairing in PAIRINGS}
_CELLS: Final = {cell.name: cell for cell in CELLS}


@attrs.define
class Table:
    """The outcomes, of every cell and pairing."""

    outcomes: dict[Job, Outcome]

    @property
    def pairings(self) -> list[Pairing]:
        """The columns."""
        return list(dict.fromkeys(pairing for _, pairing in self.outcomes))

    def head(self) -> Iterator[str]:
        """The head of the table."""
        titles = "".join(f" {' to '.join(pairing)} |" for pairing in self.pairings)
        yield f"| dialler | listener |{titles}"
        yield "|---|---|" + "--:|" * len(self.pairings)

    def lines(self) -> Iterator[str]:
        """The lines of those cells that all pairings have tried."""
        for cell in dict.fromkeys(cell for cell, _ in self.outcomes):
            if all(self.outcomes[cell, pairing].tries for pairing in self.pairings):
                yield self.line(cell)

    def line(self, cell: Cell) -> str:
        """One line; bold where ours succeeds less often than the original."""
        cells = [self._shown(cell, pairing) for pairing in self.pairings]
        return f"| {cell.dialler} | {cell.alike or cell.listener} | " + " | ".join(cells) + " |"

    def worse(self, cell: Cell, pairing: Pairing) -> bool:
        """Whether a pairing succeeds less often than the original with itself."""
        theirs = self.outcomes.get((cell, ("Node", "Node")))
        ours = self.outcomes[cell, pairing]
        return theirs is not None and bool(theirs.tries and ours.tries) and ours.rate < theirs.rate

    def verdict(self) -> str:
        """The last line of a run."""
        worse = [
            f"{cell.name}, {_NAMES[pairing]}" for cell, pairing in self.outcomes if self.worse(cell, pairing)
        ]
        return f"less often than the original: {'; '.join(worse) or 'none'}"

    def _shown(self, cell: Cell, pairing: Pairing) -> str:
        outcome = self.outcomes[cell, pairing]
        met = f"{len(outcome.met)} of {len(outcome.tries)}"
        shown = f"{met}, {time_of(outcome.median)}" if outcome.met else met
        return f"**{shown}**" if self.worse(cell, pairing) else shown


def time_of(seconds: float) -> str:
    """A time, in a unit that suits it."""
    return f"{number(seconds)} s" if seconds >= 1 else f"{number(seconds * 1000)} ms"


@attrs.frozen
class Run:
    """The tries that are wanted, and those that are done."""

    table: Table
    tries: int
    log: Path | None

    def resume(self) -> None:
        """Count the tries that an earlier run has written."""
        if self.log is None or not self.log.exists():
            return
        pairings = {name: pairing for pairing, name in _NAMES.items()}
        for text in self.log.read_text().splitlines():
            fields = json.loads(text)
            job = _CELLS[fields.pop("cell")], pairings[fields.pop("pairing")]
            if job in self.table.outcomes:
                self.table.outcomes[job].tries.append(Try(**fields))

    async def play(self, matrix: Matrix, at_once: int, guessing_at_once: int) -> None:
        """Do the tries that are left."""
        pairs = {job: await matrix.pair(*job) for job in self.table.outcomes}
        for guesses, workers in ((False, at_once), (True, guessing_at_once)):
            jobs = self._jobs(guesses=guesses)
            async with trio.open_nursery() as nursery:
                for _ in range(workers):
                    nursery.start_soon(self._work, jobs, pairs)

    def _jobs(self, *, guesses: bool) -> Iterator[Job]:
        """One of each cell and pairing in turn."""
        outcomes = {
            job: outcome
            for job, outcome in self.table.outcomes.items()
            if (job[0].chance or job[0].hopeless) == guesses
        }
        done = {job: len(outcome.tries) for job, outcome in outcomes.items()}
        for round_, job in itertools.product(range(self.tries), outcomes):
            if done[job] <= round_:
                yield job

    async def _work(self, jobs: Iterator[Job], pairs: dict[Job, Pair]) -> None:
        for job in jobs:
            self._note(*job, await dial(*pairs[job]))

    def _note(self, cell: Cell, pairing: Pairing, done: Try) -> None:
        outcomes = self.table.outcomes
        outcomes[cell, pairing].tries.append(done)
        if self.log is not None:
            with self.log.open("a") as log:
                fields = {"cell": cell.name, "pairing": _NAMES[pairing], **attrs.asdict(done)}
                log.write(json.dumps(fields) + "\n")
        if done.failure and not cell.hopeless:
            print(f"    {cell.name}, {_NAMES[pairing]}: {done.failure}", file=sys.stderr)
            for side, evidence in done.evidence.items():
                print(f"        {side}: {json.dumps(evidence)}", file=sys.stderr, flush=True)
        if all(len(outcomes[cell, each].tries) >= self.tries for each in self.table.pairings):
            print(self.table.line(cell), flush=True)


async def measure(run: Run, options: argparse.Namespace) -> None:
    """Play all cells until all tries are done, or until Ctrl-C or SIGTERM."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals, open_world() as world:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_end_with, signals, nursery.cancel_scope)
            async with open_matrix(world) as matrix:
                await run.play(matrix, options.at_once, options.guessing_at_once)
            nursery.cancel_scope.cancel()


async def _end_with(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()


def main() -> None:
    """Measure, print, and write what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.nat", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--tries", type=int, default=20, help="dials of each kind (default 20)")
    parser.add_argument("--at-once", type=int, default=4, help="dials under way at a time (default 4)")
    parser.add_argument(
        "--guessing-at-once", type=int, default=16, help="the same where a side guesses ports (default 16)"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only lines with TEXT in the name")
    parser.add_argument(
        "--pairing", action="append", choices=_NAMES.values(), help="only this pairing; repeat for several"
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="append every try there, and resume from it")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the table into that page")
    options = parser.parse_args()
    pairings = [each for each in PAIRINGS if options.pairing is None or _NAMES[each] in options.pairing]
    cells = [cell for cell in CELLS if options.only in cell.name]
    table = Table({job: Outcome() for job in itertools.product(cells, pairings)})
    run = Run(table, options.tries, options.log)
    run.resume()
    trio.run(measure, run, options)
    print("", *table.head(), *table.lines(), "", table.verdict(), sep="\n")
    if options.page is not None:
        replace_figures(options.page, "figures of NATs", [*table.head(), *table.lines()])


if __name__ == "__main__":
    main()
