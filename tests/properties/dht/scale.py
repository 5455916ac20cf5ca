"""A large network of DHT nodes in virtual time: how it grows, how it survives churn, and its costs."""

from __future__ import annotations

import math
import statistics
from random import Random
from typing import Any, Final

import attrs

from core.dht.support import FIRST, PORT, entropy
from peersockets_core import KeyPair
from peersockets_core.address import SocketAddress
from peersockets_core.dht import HyperDht
from peersockets_core.dht.events import PeersFound, SearchFinished
from peersockets_core.dht.rpc.messages import REQUEST
from peersockets_core.dht.topics import TopicSearch
from simulation import Datagram, Host, Link, Network
from simulation.support import Recorder

DELAY: Final = 0.02
STEP: Final = 2.0
"""Seconds of virtual time between two rounds in which nodes come, go and search."""

ANNOUNCE_AGAIN: Final = 600.0
ANNOUNCING: Final = 5
"""One of this many nodes announces itself."""

ON_A_TOPIC: Final = 5
"""The average number of announcing nodes of a topic."""

SEEKERS: Final = 8
"""Ephemeral nodes, which look up topics in turn."""


@attrs.define(eq=False)
class Life:
    """One node, from its start to its end."""

    machine: HyperDht
    host: Host
    topic: int | None = None
    announced: bool = False
    next_announcement: float = math.inf
    search: TopicSearch | None = None
    found: set[bytes] = attrs.field(factory=set)
    expected: set[bytes] = attrs.field(factory=set)
    requests: int = 0
    """The number of requests that it has sent since the last look."""

    @property
    def key(self) -> bytes:
        """Its public key."""
        return self.machine.key_pair.ed25519_public_key


@attrs.frozen
class Period:
    """The costs of some minutes of churn, and the results of lookups in that time."""

    nodes: int
    minutes: float
    came: int
    """The number of nodes that replaced others."""
    messages: float
    """The datagrams that a node sent in a minute: requests, answers and all repetitions."""
    lookups: int
    expected: int
    """The live announcements that the lookups should have found."""
    found: int
    requests: float
    """The requests of a lookup, with repetitions: the median."""
    most_requests: int
    seconds: float
    """The virtual time until a lookup ended: the median."""
    table: float
    """The nodes in a table at the end: the median."""

    @property
    def recall(self) -> float:
        """The part of the live announcements that was found."""
        return self.found / self.expected


def measure(nodes: int) -> float:
    """Return 20·log2(n), the allowed cost of a lookup and of a join."""
    return 20 * math.log2(nodes)


class Scale:
    """A network of `size` nodes that all know the first one."""

    def __init__(self, size: int, seed: object = 0) -> None:
        self.size = size
        self.random = Random(f"scale {seed}")
        self.network = Network(f"scale {seed}")
        self.lives: list[Life] = []
        self._site = self.network.add_site(up=Link(delay=DELAY))
        self._count = 0
        self._datagrams = 0
        self._topics = [self.random.randbytes(32) for _ in range(max(1, size // ANNOUNCING // ON_A_TOPIC))]
        self._seekers: dict[SocketAddress, Life] = {}
        self._results: list[tuple[int, int, int, float]] = []
        self._began: dict[int, float] = {}
        self._owed = 0.0  # nodes that will be replaced
        self.network.taps.append(self._tap)

    def storm(self, seconds: float) -> float:
        """Start all nodes. Return the datagrams of each node until half a minute after the last start."""
        began = self.network.now
        self._add()
        while len(self.lives) < self.size:
            due = int((self.network.now - began) / seconds * self.size) + 1
            while len(self.lives) < min(due, self.size):
                self._add()
            self.network.run_for(min(STEP, seconds / self.size))
        self.network.run_for(30)
        messages = self._datagrams / self.size
        for _ in range(SEEKERS):
            self._add(persistent=False)
        for life in self.lives:
            self._plan_announcement(life, within=20.0)
        self._pass(40.0)
        return messages

    def churn(self, minutes: float, part: float) -> Period:
        """Replace a part of the nodes each minute, while others look up topics."""
        datagrams, came, self._results = self._datagrams, 0, []
        until = self.network.now + 60 * minutes
        while self.network.now < until:
            self._owed += self.size * part * STEP / 60
            while self._owed >= 1:
                self._owed -= 1
                came += 1
                self._remove(self.random.randrange(1, len(self.lives)))
                self._plan_announcement(self._add(), within=20.0)
            self._look_up()
            self._pass(STEP)
        messages = (self._datagrams - datagrams) / self.size / minutes
        while any(seeker.search is not None for seeker in self._seekers.values()):
            self._pass(STEP)
        expected, found, requests, seconds = zip(*self._results, strict=True)
        return Period(
            nodes=self.size,
            minutes=minutes,
            came=came,
            messages=messages,
            lookups=len(self._results),
            expected=sum(expected),
            found=sum(found),
            requests=statistics.median(requests),
            most_requests=max(requests),
            seconds=statistics.median(seconds),
            table=statistics.median(len(life.machine.node.upkeep.table) for life in self.lives),
        )

    def _add(self, persistent: bool = True) -> Life:
        self._count += 1
        number = self._count
        address = FIRST if number == 1 else (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", PORT)
        machine = HyperDht(
            key_pair=KeyPair.from_seed(number.to_bytes(32)),
            entropy=entropy(address),
            now=self.network.now,
            bootstrap=() if number == 1 else (FIRST,),
            persistent=persistent,
            address=address if number == 1 else None,
        )
        host = self._site.add_host(address, machine, on_event=lambda event: self._see(life, event))
        life = Life(machine, host)
        if persistent:
            self.lives.append(life)
            if number % ANNOUNCING == 0:
                life.topic = self.random.randrange(len(self._topics))
        else:
            self._seekers[address] = life
        host.settle()
        return life

    def _remove(self, index: int) -> None:
        """Remove a node without any farewell. The first one stays."""
        life = self.lives.pop(index)
        self.network.forget_address(life.host)
        life.host.machine = Recorder()

    def _plan_announcement(self, life: Life, within: float) -> None:
        if life.topic is not None:
            life.next_announcement = self.network.now + self.random.uniform(within / 2, within)

    def _pass(self, seconds: float) -> None:
        """Let time pass, with the announcements due in it."""
        until = self.network.now + seconds
        while self.network.now < until:
            now = self.network.now
            for life in self.lives:
                if life.topic is not None and life.next_announcement <= now:
                    life.next_announcement = now + ANNOUNCE_AGAIN
                    life.search = life.machine.announce(self._topics[life.topic], now)
            self.network.run_for(min(STEP, until - self.network.now))

    def _look_up(self) -> None:
        """Let an idle node look up a topic."""
        idle = next((life for life in self._seekers.values() if life.search is None), None)
        if idle is None:
            return
        topic = self.random.randrange(len(self._topics))
        idle.expected = {life.key for life in self.lives if life.topic == topic and life.announced}
        idle.found, idle.requests = set(), 0
        self._began[id(idle)] = self.network.now
        idle.search = idle.machine.lookup(self._topics[topic], self.network.now)

    def _see(self, life: Life, event: Any) -> None:
        if isinstance(event, PeersFound):
            if event.search is life.search:
                life.found |= {peer.public_key for peer in event.peers}
        elif isinstance(event, SearchFinished) and event.search is life.search:
            life.search = None
            if life.host.address not in self._seekers:
                life.announced |= event.announced > 0
                return
            live = life.expected & {other.key for other in self.lives if other.announced}
            took = self.network.now - self._began[id(life)]
            self._results.append((len(live), len(live & life.found), life.requests, took))

    def _tap(self, _: float, datagram: Datagram) -> None:
        self._datagrams += 1
        seeker = self._seekers.get(datagram.source)
        if seeker is not None and datagram.payload[0] == REQUEST:
            seeker.requests += 1
