"""Chat for an hour through NATs, with losses and restarts: `python -m benchmarks.soak`.

Members of one drive, half of them ours and half Hyperswarm applications, are at all kinds of places
(`tests/nat/kinds.py`). All of them say something to all others every few seconds. One half of them is
restarted in turn, in good order or by SIGKILL. The other half goes on, and its processes are measured.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import trio

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from interop.node_peer import NodePeerError
from nat.ledger import Ledger
from nat.matrix import Software, open_dht
from nat.members import Member
from nat.world import World, open_world

from .comparison import replace_figures

PLACES: Final = ("home", "home", "carrier", "carrier", "filtered", "filtered", "open", "open", "home", "home")
"""The kinds in turn, two of each, so that either software has it. The last two members are behind random
ports; they cannot meet each other."""

SETTLING: Final = 60.0
"""Seconds for all to meet at the beginning, and for the last messages at the end."""
LINES: Final = 10
"""The number of lines that report progress."""

MIB: Final = 1 << 20

Figures = dict[str, float]
Held = dict[str, Figures]
"""By software."""

Report = dict[str, Any]


@attrs.define
class Soak:
    """A run."""

    members: list[Member]
    ledger: Ledger
    pause: float
    talking: bool = True
    restarts: Counter[str] = attrs.field(factory=Counter)
    broken: list[str] = attrs.field(factory=list)
    """The reasons of processes that ended by themselves."""
    _scopes: dict[str, trio.CancelScope] = attrs.field(factory=dict)

    @property
    def steady(self) -> list[Member]:
        """Those that are never restarted: every other pair, so that all kinds of places are among them."""
        return [member for number, member in enumerate(self.members) if number // 2 % 2 == 0]

    @property
    def met(self) -> int:
        """How many others the members see, in all."""
        return sum(len(member.present) for member in self.members)

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

    async def restart(self, every: float) -> None:
        """Restart one member after the other, by turns in good order and by SIGKILL."""
        steady = {member.key for member in self.steady}
        others = [member for member in self.members if member.key not in steady]
        for number, member in enumerate(itertools.cycle(others)):
            await trio.sleep(every)
            if number // len(others) % 2:
                self.restarts["killed"] += 1
                await member.process.kill()
            else:
                self.restarts["ended"] += 1
            self._scopes[member.key].cancel()

    async def figures(self) -> Held:
        """Return the medians of what the steady processes hold, for each software."""
        found: dict[str, list[Figures]] = {"Python": [], "Node": []}
        for member in self.steady:
            found[member.software].append(await member.figures())
        return {
            software: {name: statistics.median(each[name] for each in processes) for name in processes[0]}
            for software, processes in found.items()
        }

    async def _talk(self, member: Member, other: Member) -> None:
        await trio.sleep(self.pause * int(other.key[:4], 16) / 0x10000)  # not all at once
        while True:
            if self.talking and other.key in member.present:
                await member.send(other)
            await trio.sleep(self.pause)


def populate(world: World, options: argparse.Namespace) -> Soak:
    """Make the places and their members."""
    ledger, drive = Ledger(), os.urandom(32).hex()
    kinds = [PLACES[number % len(PLACES)] for number in range(options.members - 2)] + ["random"] * 2
    software: itertools.cycle[Software] = itertools.cycle(("Python", "Node"))
    members = [Member(world.add_place(kind).hosts[0], next(software), drive, ledger) for kind in kinds]
    return Soak(members, ledger, options.pause)


async def measure(options: argparse.Namespace) -> Report:
    """Run the soak, and print how it goes."""
    with open_world() as world:
        soak = populate(world, options)
        everybody = len(soak.members) * (len(soak.members) - 1)
        world.lose(options.loss)
        async with open_dht(world), trio.open_nursery() as nursery:
            for member in soak.members:
                nursery.start_soon(soak.live, member)
            seconds = await until(lambda: soak.met == everybody)
            print(f"{soak.met} of {everybody} members seen after {seconds:.0f} seconds", flush=True)
            await trio.sleep(SETTLING)
            before = await soak.figures()
            await go_on(soak, options, before)
            soak.talking = False
            await until(lambda: not soak.ledger.waiting)
            await trio.sleep(SETTLING)
            after = await soak.figures()
            nursery.cancel_scope.cancel()
    return summary(soak, options, options.minutes, before, after)


def summary(soak: Soak, options: argparse.Namespace, minutes: float, before: Held, after: Held) -> Report:
    """The report, also of a part of the run. Messages that are under way then count as not reported."""
    return {
        "members": options.members,
        "minutes": minutes,
        "loss": options.loss,
        "restarts": soak.restarts,
        "broken": soak.broken,
        "delivered": soak.ledger.count(delivered=True),
        "not delivered": soak.ledger.count(delivered=False),
        "not reported": len(soak.ledger.waiting),
        "faults": soak.ledger.faults,
        "before": before,
        "after": after,
    }


async def go_on(soak: Soak, options: argparse.Namespace, before: Held) -> None:
    """Restart members while all talk, and print a line and write the figures now and then."""
    began = trio.current_time()
    with trio.move_on_after(options.minutes * 60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(soak.restart, options.restart)
            for _ in range(LINES):
                await trio.sleep(options.minutes * 60 / LINES)
                minutes = round((trio.current_time() - began) / 60, 1)
                figures = await soak.figures()
                progress(soak, minutes, figures)
                write(summary(soak, options, minutes, before, figures), options.json)


async def until(condition: Callable[[], bool]) -> float:
    """Wait for a condition for a limited time; returns the seconds."""
    began = trio.current_time()
    with trio.move_on_after(SETTLING):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(1)
    return trio.current_time() - began


def progress(soak: Soak, minutes: float, figures: Held) -> None:
    """Print a line."""
    resident = {software: f"{found['resident'] / MIB:.1f}" for software, found in figures.items()}
    print(
        f"{minutes:g} minutes: {soak.met} seen, {soak.ledger.count(delivered=True):,} delivered, "
        f"{soak.ledger.count(delivered=False):,} not, MiB {resident}, {dict(soak.restarts)}",
        flush=True,
    )


def write(report: Report, path: Path | None) -> None:
    """Write the figures, if a file is given."""
    if path is not None:
        path.write_text(json.dumps(report, indent=1) + "\n")


def table(report: Report) -> Iterator[str]:
    """The figures as tables."""
    lost = report["not delivered"] - report["not reported"]
    yield (
        "| members | minutes | loss | restarts in good order | by SIGKILL | delivered "
        "| lost, reported | lost silently |"
    )
    yield "|--:|--:|--:|--:|--:|--:|--:|--:|"
    restarts = report["restarts"]
    yield (
        f"| {report['members']} | {report['minutes']:g} | {report['loss']:g} % | {restarts.get('ended', 0)} "
        f"| {restarts.get('killed', 0)} | {report['delivered']:,} | {lost:,} | {report['not reported']:,} |"
    )
    yield "\n| a process, median | before | after |"
    yield "|---|--:|--:|"
    for software in report["before"]:
        for name, before in report["before"][software].items():
            after = report["after"][software][name]
            if name == "resident":
                yield f"| {software}: memory, MiB | {before / MIB:.1f} | {after / MIB:.1f} |"
            else:
                yield f"| {software}: {name} | {before:g} | {after:g} |"


def main() -> None:
    """Run, print, and write what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--minutes", type=float, default=60, help="of talk (default 60)")
    parser.add_argument("--members", type=int, default=20, help="half of them ours (default 20)")
    parser.add_argument("--loss", type=float, default=1, help="percent of packets that are lost (default 1)")
    parser.add_argument("--pause", type=float, default=5, help="seconds between two messages (default 5)")
    parser.add_argument("--restart", type=float, default=30, help="seconds between two restarts (default 30)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the tables into that page")
    options = parser.parse_args()
    report = trio.run(measure, options)
    print("\n".join(table(report)))
    for fault in (*report["faults"], *report["broken"]):
        print(fault)
    write(report, options.json)
    if options.page is not None:
        replace_figures(options.page, "figures of the soak", table(report))


if __name__ == "__main__":
    main()
