"""Run a soak, print how it goes, and write what is asked for."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
import trio

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from interop.node_peer import NodePeerError
from nat.ledger import Ledger
from nat.matrix import Software, open_dht
from nat.members import Member
from nat.world import World, open_world

from ..comparison import replace_figures
from . import __doc__ as about
from .report import Mark, Report, grown, table

PLACES: Final = ("home", "home", "carrier", "carrier", "filtered", "filtered", "open", "open")
"""The kinds in turn, two of each, so that either software has it. The first two members are behind
random ports instead. They cannot meet each other, and are never restarted: a node guesses ports towards one
remote at a time, every twenty seconds, so that they need several minutes for all others."""

PATIENCE: Final = 300.0
"""Seconds for all to meet, or for the last messages to arrive."""
MARKS: Final = 10
"""The number of times that the processes are counted after the beginning."""


@attrs.define
class Soak:
    """A run."""

    members: list[Member]
    places: dict[str, str]
    """The place and software of each member, by its key."""
    ledger: Ledger
    pause: float
    rest: float
    """Seconds between a meeting of all and a count."""
    talking: bool = True
    restarts: Counter[str] = attrs.field(factory=Counter)
    broken: list[str] = attrs.field(factory=list)
    """The reasons of processes that ended by themselves."""
    marks: list[Mark] = attrs.field(factory=list)
    began: float = attrs.field(factory=trio.current_time)
    _scopes: dict[str, trio.CancelScope] = attrs.field(factory=dict)
    _turns: Iterator[tuple[bool, Member]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        steady = {member.key for member in self.steady}
        others = [member for member in self.members if member.key not in steady]
        self._turns = itertools.cycle([(kill, member) for kill in (False, True) for member in others])

    @property
    def steady(self) -> list[Member]:
        """Those that are never restarted: every other pair, so that all kinds of places are among them."""
        return [member for number, member in enumerate(self.members) if number // 2 % 2 == 0]

    @property
    def minutes(self) -> float:
        """Since the beginning."""
        return round((trio.current_time() - self.began) / 60, 1)

    @property
    def met(self) -> int:
        """How many others the members see, in all."""
        return sum(len(member.present) for member in self.members)

    @property
    def unseen(self) -> Counter[str]:
        """How many members do not see another one, by the places and software of both."""
        return Counter(
            f"{self.places[member.key]} does not see {self.places[other.key]}"
            for member in self.members
            for other in self.members
            if other is not member and other.key not in member.present
        )

    @property
    def pairs(self) -> int:
        """How many others they can see: all but the two behind random ports each other."""
        return len(self.members) * (len(self.members) - 1) - 2

    async def live(self, member: Member) -> None:
        """Run a member's process again and again."""
        while True:
            with trio.CancelScope() as scope:
                self._scopes[member.key] = scope
                try:
                    async with member.running(), trio.open_nursery() as nursery:
                        for other in self.members:
                            if other is not member:
                                nursery.start_soon(self._talk, member, other)
                except* NodePeerError as error:
                    self.broken += map(str, error.exceptions)
                    print("broken:", *error.exceptions, flush=True)

    async def restart(self, every: float, seconds: float) -> None:
        """Restart one member after the other for so long, by turns in good order and by SIGKILL."""
        end = trio.current_time() + seconds
        while trio.current_time() + every <= end:
            await trio.sleep(every)
            kill, member = next(self._turns)
            self.restarts["killed" if kill else "ended"] += 1
            if kill:
                await member.process.kill()
            self._scopes[member.key].cancel()

    async def count(self) -> None:
        """Wait until all see each other and what has ended is given up; then note what the processes hold."""
        seconds = await until(lambda: self.met >= self.pairs)
        print(f"{self.met} of {self.pairs} members seen after {seconds:.0f} seconds", flush=True)
        for kind, number in self.unseen.items():
            print(f"    {number} {kind}", flush=True)
        await trio.sleep(self.rest)
        processes: dict[str, list[Report]] = {"Python": [], "Node": []}
        for member in self.steady:
            processes[member.software].append(await member.figures())
        self.marks.append(Mark.of(self.minutes, self.met, self.restarts.total(), processes))
        delivered, lost = self.ledger.count(delivered=True), self.ledger.count(delivered=False)
        print(f"{self.marks[-1].line}. {delivered:,} delivered, {lost:,} not", flush=True)

    async def _talk(self, member: Member, other: Member) -> None:
        await trio.sleep(self.pause * int(other.key[:4], 16) / 0x10000)  # not all at once
        while True:
            if self.talking and other.key in member.present:
                await member.send(other)
            await trio.sleep(self.pause)


def populate(world: World, options: argparse.Namespace) -> Soak:
    """Make the places and their members."""
    ledger, drive = Ledger(), os.urandom(32).hex()
    kinds = ["random"] * 2 + [PLACES[number % len(PLACES)] for number in range(options.members - 2)]
    software: itertools.cycle[Software] = itertools.cycle(("Python", "Node"))
    members = [Member(world.add_place(kind).hosts[0], next(software), drive, ledger) for kind in kinds]
    places = {member.key: f"{kind}/{member.software}" for member, kind in zip(members, kinds, strict=True)}
    return Soak(members, places, ledger, options.pause, options.rest)


async def measure(options: argparse.Namespace) -> Report:
    """Run the soak, and print how it goes."""
    with open_world() as world:
        soak = populate(world, options)
        world.lose(options.loss)
        async with open_dht(world), trio.open_nursery() as nursery:
            for member in soak.members:
                nursery.start_soon(soak.live, member)
            with cancelled_by_signals():
                await soak.count()
                for number in range(MARKS):
                    left = options.minutes * 60 - (trio.current_time() - soak.began)
                    await soak.restart(options.restart, left / (MARKS - number) - options.rest)
                    await soak.count()
                    write(summary(soak, options), options.json)
            soak.talking = False
            await until(lambda: not soak.ledger.waiting)
            nursery.cancel_scope.cancel()
    return summary(soak, options)


def summary(soak: Soak, options: argparse.Namespace) -> Report:
    """The report, also of a part of the run. Messages that are under way then count as not reported."""
    return {
        "members": options.members,
        "minutes": soak.minutes,
        "loss": options.loss,
        "pairs": soak.pairs,
        "restarts": soak.restarts,
        "broken": soak.broken,
        "delivered": soak.ledger.count(delivered=True),
        "not delivered": soak.ledger.count(delivered=False),
        "not reported": len(soak.ledger.waiting),
        "faults": soak.ledger.faults,
        "marks": soak.marks,
    }


@contextmanager
def cancelled_by_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the block, so that a run that is cut short reports what it has."""
    token = trio.lowlevel.current_trio_token()
    with trio.CancelScope() as scope:
        handlers = {
            number: signal.signal(number, lambda *_: token.run_sync_soon(scope.cancel))
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


async def until(condition: Callable[[], bool]) -> float:
    """Wait for a condition for a limited time; returns the seconds."""
    began = trio.current_time()
    with trio.move_on_after(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(1)
    return trio.current_time() - began


def write(report: Report, path: Path | None) -> None:
    """Write the figures, if a file is given."""
    if path is not None:
        path.write_text(json.dumps(report, indent=1, default=attrs.asdict) + "\n")


def main() -> None:
    """Run, print, and write what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description=(about or "").splitlines()[0]
    )
    parser.add_argument("--minutes", type=float, default=60, help="of talk (default 60)")
    parser.add_argument("--members", type=int, default=20, help="half of them ours (default 20)")
    parser.add_argument("--loss", type=float, default=1, help="percent of packets that are lost (default 1)")
    parser.add_argument("--pause", type=float, default=5, help="seconds between two messages (default 5)")
    parser.add_argument("--restart", type=float, default=30, help="seconds between two restarts (default 30)")
    parser.add_argument("--rest", type=float, default=60, help="seconds before each count (default 60)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the tables into that page")
    options = parser.parse_args()
    report = trio.run(measure, options)
    if not report["marks"]:
        parser.exit(1, "stopped before the first count: there is nothing to report\n")
    print("\n".join(table(report)))
    for fault in (*report["faults"], *report["broken"]):
        print(fault)
    print("kinds of objects that grew:", ", ".join(grown(report["marks"])) or "none")
    write(report, options.json)
    if options.page is not None:
        replace_figures(options.page, "figures of the soak", table(report))


if __name__ == "__main__":
    main()
