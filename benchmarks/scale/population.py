"""Simulates DHT nodes and members of a drive, which come, work and leave.

Each one that leaves is replaced at once, so that the numbers stay the same. Sessions have the Weibull
distribution that M. Steiner, T. En-Najjary and E. W. Biersack found in a DHT of the same kind ("Long term
study of peer behavior in the KAD DHT", IEEE/ACM Transactions on Networking 17(5), 2009): many are short, a
few last for days. Our shape is 0.5; half of the nodes stay for longer than two hours, half of the members for
longer than one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from random import Random
from typing import Any, Final

import attrs

from peersockets_core import KeyPair
from peersockets_core.address import SocketAddress
from peersockets_core.dht import (
    ConnectionRequested,
    Dialled,
    HyperDht,
    PeersFound,
    SearchFinished,
    TopicSearch,
)
from peersockets_core.dht.rpc.address import distance, node_id
from peersockets_core.swarm import PeerFound, Swarm

from .network import Host, Network

PORT: Final = 49737
FIRST: Final[SocketAddress] = ("10.0.0.1", PORT)

SHAPE: Final = 0.5
NODE_SESSION: Final = 2 * 3600.0
MEMBER_SESSION: Final = 3600.0
"""Medians in seconds."""

IN_GOOD_ORDER: Final = 0.5
"""The part of the members that withdraw their announcements as they go. The others vanish, and so do all
nodes."""

NOTICED: Final = 15.0
"""Seconds until the members notice that a connected one has vanished."""

WITHDRAWING: Final = 3.0
"""Seconds that a member takes to go in good order."""

ANNOUNCING: Final = 20
"""Every so many-th node announces itself, five under a topic; others look these topics up."""

ANNOUNCE_AGAIN: Final = 600.0
LOOK_UP: Final = 30.0
"""Seconds between the lookups of these topics."""

OBSERVERS: Final = 20

DRIVE: Final = hashlib.blake2b(b"a drive", digest_size=32).digest()


@attrs.define(eq=False)
class Member:
    """One member of the drive."""

    machine: Swarm
    host: Host
    key: bytes
    came: float
    known: set[bytes] = attrs.field(factory=set)
    """The keys that it has heard of: through the DHT, or because they have connected."""
    neighbours: set[Member] = attrs.field(factory=set)
    streams: int = 0


@attrs.define(eq=False)
class Announcer:
    """A node that announces itself under one of the small topics."""

    host: Host
    key: bytes
    topic: bytes
    announced: bool = False


@attrs.define(eq=False)
class Lookup:
    """One lookup of a small topic, by a node that has nothing to do with it."""

    search: TopicSearch
    expected: set[bytes]
    found: set[bytes] = attrs.field(factory=set)


class Population:
    """All nodes and members, from their arrival to their departure."""

    def __init__(
        self, network: Network, nodes: int, members: int, seed: object, observers: int = OBSERVERS
    ) -> None:
        self.network = network
        self.nodes = nodes
        self.members = members
        """The members that come and go, besides the observers."""
        self.random = Random(f"population {seed}")
        self.present: dict[bytes, Member] = {}
        """The members by key."""
        self.hosts: dict[SocketAddress, Host] = {}
        """The nodes by address."""
        self.came = self.gone = 0
        self.dials = 0
        self.lookups: list[tuple[int, int]] = []
        """For each lookup of a small topic: the live announcements, and those among them that it found."""
        self.announcers: dict[bytes, Announcer] = {}
        self._topics = [self.random.randbytes(32) for _ in range(max(1, nodes // ANNOUNCING // 5))]
        self.observers: list[Member] = []
        """Members that stay; they show how long it takes to hear of all others."""
        self._observing = observers
        self._lookup: Lookup | None = None
        self._seeker: Host
        """An ephemeral node that looks up the small topics."""
        self._bootstrap: tuple[SocketAddress, ...] = ()
        self._count = 0

    # Coming and going

    def assemble(self, seconds: float) -> None:
        """Let all nodes come within some seconds, and then the members within as many."""
        self._add_node()
        self._bootstrap = (FIRST,)
        for number in range(1, self.nodes):
            self.network.run_until(number * seconds / self.nodes)
            self._add_node()
        self.network.run_until(seconds + 30)
        for number in range(self.members):
            self.network.run_until(seconds + 30 + number * seconds / self.members)
            self._add_member()
        for _ in range(self._observing):
            self.observers.append(self._add_member(stays=True))
        address = self._address()
        machine = self._dht(address, KeyPair.from_seed(self._count.to_bytes(32)), persistent=False)
        self._seeker = Host(address, machine, self._see_seeker, self.network.now)
        self.network.add(self._seeker)
        self.network.call_at(self.network.now + 20 + LOOK_UP, self._look_up)

    def _session(self, median: float) -> float:
        return self.random.weibullvariate(median / math.log(2) ** (1 / SHAPE), SHAPE)

    def _address(self) -> SocketAddress:
        self._count += 1
        number = self._count
        return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", PORT

    def _dht(self, address: SocketAddress, key_pair: KeyPair, *, persistent: bool) -> HyperDht:
        return HyperDht(
            key_pair=key_pair,
            entropy=Random(str(address)).randbytes,
            now=self.network.now,
            bootstrap=self._bootstrap,
            persistent=persistent,
            address=None if self._bootstrap else address,
            open_address=address,  # nobody is behind a NAT
        )

    def _add_node(self) -> None:
        address = self._address()
        key_pair = KeyPair.from_seed(self._count.to_bytes(32))
        machine = self._dht(address, key_pair, persistent=True)
        announcer: Announcer | None = None
        host = Host(
            address,
            machine,
            lambda event: self._see_node(announcer, event),
            self.network.now,
        )
        self.hosts[address] = host
        self.network.add(host)
        if address == FIRST:
            return  # it stays
        self.network.call_at(
            self.network.now + self._session(NODE_SESSION),
            lambda: self.leave(host),
        )
        if self._count % ANNOUNCING == 0:
            topic = self._topics[self.random.randrange(len(self._topics))]
            announcer = Announcer(host, key_pair.ed25519_public_key, topic)
            self.announcers[announcer.key] = announcer
            self.network.call_at(self.network.now + 20, lambda: self._announce(announcer))

    def leave(self, host: Host) -> None:
        """Remove a node without notice, and add another one."""
        if host.address not in self.hosts:
            return
        self.gone += 1
        del self.hosts[host.address]
        self.network.remove(host)
        self.announcers.pop(host.machine.key_pair.ed25519_public_key, None)
        self._add_node()

    def _add_member(self, *, stays: bool = False) -> Member:
        self.came += 1
        address, now = self._address(), self.network.now
        key_pair = KeyPair.from_seed(self._count.to_bytes(32))

        def open_stream(key: bytes) -> int:
            member.streams += 1
            return member.streams

        machine = Swarm(
            self._dht(address, key_pair, persistent=False),
            Random(f"swarm {address}").randbytes,
            open_stream=open_stream,
        )
        host = Host(address, machine, lambda event: self._see_member(member, event), now)
        member = Member(machine, host, key_pair.ed25519_public_key, now)
        self.present[member.key] = member
        discovery = machine.join(DRIVE, now)
        self.network.add(host)
        if not stays:
            until = now + self._session(MEMBER_SESSION)
            self.network.call_at(until, lambda: self._remove_member(member, discovery))
        return member

    def _remove_member(self, member: Member, discovery: Any) -> None:
        self.gone += 1
        del self.present[member.key]
        neighbours, member.neighbours = member.neighbours, set()
        for neighbour in neighbours:
            neighbour.neighbours.discard(member)
        now = self.network.now
        if self.random.random() < IN_GOOD_ORDER:
            member.machine.leave(discovery, now)
            self.network.settle(member.host)
            self.network.call_at(now + WITHDRAWING, lambda: self.network.remove(member.host))
            noticed = now
        else:
            self.network.remove(member.host)
            noticed = now + NOTICED
        self.network.call_at(noticed, lambda: self._lose(neighbours, member.key))
        self._add_member()

    def _lose(self, neighbours: Iterable[Member], key: bytes) -> None:
        for neighbour in neighbours:
            if neighbour.key in self.present:
                neighbour.machine.connection_lost(key, self.network.now)
                self.network.settle(neighbour.host)

    # The members

    def _see_member(self, member: Member, event: Any) -> None:
        match event:
            case PeerFound(_, key):
                member.known.add(key)
            case ConnectionRequested(incoming):
                member.streams += 1
                member.machine.dht.accept(incoming, member.streams, self.network.now)
            case Dialled(dial):
                self.dials += 1
                self._connect(member, self.present.get(dial.public_key), dial.public_key)

    def _connect(self, member: Member, other: Member | None, key: bytes) -> None:
        now = self.network.now
        if other is None or member.key not in self.present:
            member.machine.connection_lost(key, now)
            return
        for one, two in ((member, other), (other, member)):
            one.neighbours.add(two)
            one.known.add(two.key)
            one.machine.connection_opened(two.key, now)
        self.network.settle(other.host)

    # The nodes, and lookups of small topics

    def _announce(self, announcer: Announcer) -> None:
        if announcer.key not in self.announcers:
            return
        now = self.network.now
        announcer.host.machine.announce(announcer.topic, now)
        self.network.settle(announcer.host)
        self.network.call_at(now + ANNOUNCE_AGAIN, lambda: self._announce(announcer))

    def _look_up(self) -> None:
        """Let a node look up a topic, unless an earlier lookup is still going on."""
        now = self.network.now
        self.network.call_at(now + LOOK_UP, self._look_up)
        if self._lookup is not None:
            return
        topic = self.random.choice(self._topics)
        expected = {each.key for each in self.announcers.values() if each.topic == topic and each.announced}
        self._lookup = Lookup(self._seeker.machine.lookup(topic, now), expected)
        self.network.settle(self._seeker)

    def _see_seeker(self, event: Any) -> None:
        lookup = self._lookup
        if lookup is None:
            return
        match event:
            case PeersFound(_, peers):
                lookup.found |= {peer.public_key for peer in peers}
            case SearchFinished():
                live = lookup.expected & self.announcers.keys()
                self.lookups.append((len(live), len(live & lookup.found)))
                self._lookup = None

    def _see_node(self, announcer: Announcer | None, event: Any) -> None:
        if announcer is not None and isinstance(event, SearchFinished):
            announcer.announced |= event.announced > 0

    def nearest(self, count: int = 20) -> list[Host]:
        """Return the nodes nearest to the drive, which keep the announcements of its members."""
        return sorted(self.hosts.values(), key=lambda host: distance(node_id(host.address), DRIVE))[:count]
