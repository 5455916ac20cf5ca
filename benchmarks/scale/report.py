"""The figures of a period of virtual time, scaled to an hour."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterable
from random import Random
from typing import Final

import attrs

from .causes import Cause, Tally
from .mesh import Spread, average
from .network import Host
from .population import DRIVE, FIRST, Member, Population

HOPS: Final = 4

SAMPLED: Final = 60.0
"""Seconds between two looks at the members that the observers have heard of."""

ENOUGH: Final = 0.99
"""The share of the present members that counts as all, because some have only just arrived."""


WATCHED: Final = 200
"""The most hosts of a role whose packets are counted by cause."""


@attrs.frozen
class Cost:
    """The cost of one host in an hour: the mean over all hosts of its role that were present all the time."""

    packets: float
    bytes: float

    def __str__(self) -> str:
        return f"{self.packets:,.0f} ({self.bytes / 1024:,.0f} KiB)"


@attrs.frozen
class Period:
    """One period of the network."""

    minutes: float
    """The virtual minutes from the arrival of the last member to the end of the period."""
    gone: int
    """Nodes and members that were replaced."""
    node: Cost
    nearest: Cost
    """The cost of the twenty nodes nearest to the drive."""
    member: Cost
    bootstrap: Cost
    """The cost of the first node, at which all others begin."""
    lookups: int
    recall: float
    """The part of the live announcements of small topics that lookups found."""
    known: float
    """The part of the present members that an observer has heard of, in the end: the median."""
    connections: float
    """Connections of a member: the median."""
    most_connections: int
    spread: Spread
    records: int
    """Announcements of members at the node that keeps most of them."""
    datagrams: int
    """Datagrams that arrived."""
    processor: float
    """Seconds of a core that the simulation took."""
    causes: dict[str, dict[str, Cost]]
    """The cost of some hosts of each role, by cause."""


@attrs.frozen
class Run:
    """One simulated network, as far as it has come."""

    nodes: int
    members: int
    periods: list[Period]
    known: list[tuple[float, float]]
    """`Observer.known`."""


class Observer:
    """Measures a population period by period."""

    def __init__(self, population: Population) -> None:
        self._population = population
        self.began = population.network.now
        self.known: list[tuple[float, float]] = []
        """For each look: the seconds since the observers came, and the part of the members known to them."""

    def period(self, seconds: float) -> Period:
        """Let some seconds pass, and return their figures."""
        population, network = self._population, self._population.network
        before = {host: (host.packets, host.bytes) for host in network.hosts.values()}
        nearest = population.nearest()
        roles = {
            "node": [
                host for host in population.hosts.values() if host not in nearest and host.address != FIRST
            ],
            "nearest": nearest,
            "member": [member.host for member in population.present.values()],
        }
        watched = {role: _watch(hosts) for role, hosts in roles.items()}
        gone, population.lookups = population.gone, []
        delivered, began = network.delivered, time.process_time()
        end = network.now + seconds
        while network.now < end:
            network.run_until(min(end, network.now + SAMPLED))
            self.known.append((network.now - self.began, self._known()))
        expected = sum(live for live, _ in population.lookups)
        found = sum(found for _, found in population.lookups)
        here = set(network.hosts.values())
        nodes = {host for host in population.hosts.values() if host.address != FIRST}
        members = list(population.present.values())
        degrees = [len(member.neighbours) for member in members]
        scale = 3600.0 / seconds
        return Period(
            minutes=(end - self.began) / 60,
            gone=population.gone - gone,
            node=_cost(nodes.difference(nearest), before, scale),
            nearest=_cost(here.intersection(nearest), before, scale),
            member=_cost((member.host for member in members), before, scale),
            bootstrap=_cost([population.hosts[FIRST]], before, scale),
            lookups=len(population.lookups),
            recall=found / expected if expected else 1.0,
            known=self.known[-1][1],
            connections=statistics.median(degrees),
            most_connections=max(degrees),
            spread=average({each: each.neighbours for each in members}, population.random, HOPS),
            records=max(len(host.machine.storage.topics.get(DRIVE, ())) for host in nearest),
            datagrams=network.delivered - delivered,
            processor=time.process_time() - began,
            causes={role: self._causes(hosts, scale) for role, hosts in watched.items()},
        )

    def time_to_find_all(self) -> float | None:
        """Return the seconds until the observers had heard of all present members, or None."""
        return next((seconds for seconds, part in self.known if part >= ENOUGH), None)

    def _causes(self, hosts: list[Host], scale: float) -> dict[str, Cost]:
        """Return the cost of hosts by cause, of those that are still there, and stop counting it."""
        tallies = [
            host.tally for host in hosts if host.tally and host.address in self._population.network.hosts
        ]
        for host in hosts:
            host.tally = None
        count = max(1, len(tallies))
        return {
            cause.value: Cost(
                scale * sum(tally.packets[cause] for tally in tallies) / count,
                scale * sum(tally.bytes[cause] for tally in tallies) / count,
            )
            for cause in Cause
        }

    def _known(self) -> float:
        present = self._population.present.keys()
        return statistics.median(_part(observer, present) for observer in self._population.observers)


def _part(observer: Member, present: Iterable[bytes]) -> float:
    others = [key for key in present if key != observer.key]
    return sum(key in observer.known for key in others) / max(1, len(others))


def _watch(hosts: list[Host]) -> list[Host]:
    """Count the packets of some hosts by cause, which would slow the simulation down if it did so for all."""
    some = Random(0).sample(hosts, min(len(hosts), WATCHED))
    for host in some:
        host.tally = Tally()
    return some


def _cost(hosts: Iterable[Host], before: dict[Host, tuple[int, int]], scale: float) -> Cost:
    there = [(host, *before[host]) for host in hosts if host in before]
    return Cost(
        scale * statistics.fmean(host.packets - packets for host, packets, _ in there),
        scale * statistics.fmean(host.bytes - size for host, _, size in there),
    )


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


HEAD: Final = (
    "| minutes | replaced | a node | near the drive | a member | lookups found | members known |"
    " connections (most) | reached directly | after 2 hops | after 3 |\n"
    "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)


CAUSES_HEAD: Final = "| cause | a node | near the drive | a member |\n|---|--:|--:|--:|"


def causes_lines(period: Period) -> str:
    """Return the lines of the table of causes: packets (bytes) of each role, sent and received."""
    return "\n".join(
        f"| {cause.value} | {' | '.join(str(costs[cause.value]) for costs in period.causes.values())} |"
        for cause in Cause
    )


def line(period: Period) -> str:
    """Return one line of the table: packets (bytes) of each role, sent and received."""
    one, two, three, *_ = period.spread.reached
    return (
        f"| {period.minutes:g} | {period.gone:,} | {period.node} | {period.nearest} | {period.member} |"
        f" {period.recall:.2%} | {period.known:.1%} | {period.connections:.0f} ({period.most_connections}) |"
        f" {one:.1%} | {two:.1%} | {three:.1%} |"
    )
