"""`Swarm`: decides, without I/O, which peers to look for, dial, retry and leave alone.

It uses a `HyperDht`, whose datagrams pass through it. Source: hyperswarm 4.17.2, `index.js`.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Mapping

from ..address import SocketAddress
from ..dht.dialing import Dial
from ..dht.events import (
    DialFailed,
    HyperDhtEvent,
    Listening,
    PeersFound,
    PunchFailed,
    SearchFinished,
    ValueFound,
)
from ..dht.hyperdht import HyperDht
from ..dht.messages import Peer
from ..dht.rpc.address import ID_SIZE
from ..dht.rpc.events import BecamePersistent, Bootstrapped, NetworkChanged
from ..dht.rpc.requests import Socket
from ..dht.signing import is_key
from ..dht.topics import TopicSearch
from ..errors import LocalProtocolError
from ..keys import Entropy
from .book import PeerBook
from .discovery import Discovery, TopicDiscovery
from .events import Announced, Flushed, PeerFound, SwarmEvent
from .limits import DEFAULT_SWARM_LIMITS, SwarmLimits
from .peers import PeerSignal, PeerState, SwarmPeer


class Swarm:
    """The swarm of one identity."""

    def __init__(
        self,
        dht: HyperDht,
        entropy: Entropy,
        *,
        open_stream: Callable[[bytes], int],
        relay_through: bytes | None = None,
        limits: SwarmLimits = DEFAULT_SWARM_LIMITS,
    ) -> None:
        """Begin. The swarm calls `open_stream` with each key before it dials that key; the function opens a
        UDX stream and returns its local id.

        `relay_through` is the key of a blind relay. The swarm meets a peer there if its own NAT is random, or
        if hole punching with the peer has failed before. That holds for peers that dial it, too.
        """
        self.dht = dht
        """The HyperDHT node that the swarm uses."""
        self.book = PeerBook(limits.known_peers)
        self._entropy = entropy
        self._open_stream = open_stream
        self._relay_through = relay_through
        self._unpunched: dict[bytes, None] = {}
        """An ordered set of the keys with which hole punching has failed, on either side's dial."""
        self._limits = limits
        self.topics: dict[bytes, TopicDiscovery] = {}
        # A heap, in which an entry is stale once its topic is searched at another time.
        self._searches: list[tuple[float, int, TopicDiscovery]] = []
        self._count = itertools.count()
        self._unflushed: dict[Discovery, None] = {}
        self.dials: dict[bytes, Dial] = {}
        self.pending_events: list[SwarmEvent] = []
        self._suspended = False
        self._withdrawals: set[TopicSearch] = set()

    @property
    def peers(self) -> Mapping[bytes, SwarmPeer]:
        """The known peers by public key."""
        return self.book.peers

    # The datagram pattern

    def receive_datagrams(
        self,
        buffer: bytes | bytearray | memoryview,
        segment_size: int,
        source: SocketAddress,
        now: float,
        *,
        socket: int = Socket.MAIN,
    ) -> list[SwarmEvent]:
        """Take in datagrams of the DHT, of `segment_size` bytes each, that have arrived at a socket; returns
        the events that they cause.
        """
        return self._process(
            self.dht.receive_datagrams(buffer, segment_size, source, now, socket=socket), now
        )

    def datagrams_to_send(
        self, now: float, *, socket: int = Socket.MAIN
    ) -> list[tuple[SocketAddress, list[bytes], int]]:
        """Return the datagrams to send from a socket: the destination, a list that holds the datagram, and
        its size.
        """
        return self.dht.datagrams_to_send(now, socket=socket)

    def next_deadline(self) -> float:
        """Return the latest time at which to call `handle_deadline`; minus infinity if events are waiting."""
        if self.pending_events:
            return -math.inf
        return min(self.dht.next_deadline(), self.book.next_retry(), self._next_search())

    def handle_deadline(self, now: float) -> list[SwarmEvent]:
        """Do whatever has become due by `now`, and return the events that it causes."""
        while self._next_search() <= now:
            heapq.heappop(self._searches)[2].search(now)
        self.book.queue_due(now)
        self.dial_queued(now)
        return self._process(self.dht.handle_deadline(now), now)

    # Topics

    def join(self, topic: bytes, now: float, *, announce: bool = True, lookup: bool = True) -> Discovery:
        """Announce ourselves under a 32-byte topic, look up its peers, or both.

        `Announced`, `PeerFound` and `Flushed` events follow. Raises `ValueError` if the topic does not
        have 32 bytes, or if both arguments are False.
        """
        if len(topic) != ID_SIZE:
            raise ValueError(f"topic must be {ID_SIZE} bytes, not {len(topic)}")
        if not announce and not lookup:
            raise ValueError("announce and lookup must not both be False")
        joined = self.topics.get(topic)
        if joined is None:
            joined = self.topics[topic] = TopicDiscovery(topic, self.dht, self.chance)
        discovery = Discovery(topic, announce, lookup)
        joined.discoveries.append(discovery)
        self._unflushed[discovery] = None
        self._start_search(joined, now)
        return discovery

    def leave(self, discovery: Discovery, now: float) -> None:
        """End a discovery, and withdraw the announcement after the last one that announces. Calling it twice
        is fine.
        """
        if discovery.closed:
            return
        discovery.closed = True
        self._unflushed.pop(discovery, None)
        topic = self.topics[discovery.topic]
        topic.discoveries.remove(discovery)
        if not topic.announces:
            self._withdraw(topic, now)
        if not topic.discoveries:
            topic.stop()
            del self.topics[topic.topic]
            for peer in self.book.peers.values():
                peer.topics.discard(topic.topic)
        if not any(joined.announces for joined in self.topics.values()):
            self.dht.stop_listening(now)

    def refresh(self, discovery: Discovery, now: float) -> None:
        """Announce and look up once more. Raises `LocalProtocolError` if the discovery is closed."""
        if discovery.closed:
            raise LocalProtocolError("the discovery is closed")
        self._start_search(self.topics[discovery.topic], now)

    @property
    def topic_count(self) -> int:
        """The number of topics that are announced or looked up."""
        return len(self.topics)

    @property
    def withdrawing(self) -> bool:
        """Whether some nodes have not yet confirmed that they have removed our announcements."""
        return bool(self._withdrawals) or self.dht.withdrawing

    # Connections

    def connect(self, public_key: bytes, now: float, *, relays: Iterable[SocketAddress] = ()) -> Dial:
        """Dial a key at once, regardless of the limits. A `Dialled` or `DialFailed` event follows.

        Raises `ValueError` for an invalid key, and `LocalProtocolError` for our own key or one that is
        already being dialled.
        """
        if public_key in self.dials:
            raise LocalProtocolError("public_key is already being dialled")
        peer = self._peer(public_key, tuple(relays))
        dial = self._dial(peer, self._open_stream(public_key), now)
        if peer.state is not PeerState.CONNECTED:
            peer.signal(PeerSignal.DIAL)
        self.dials[public_key] = dial
        return dial

    def _dial(self, peer: SwarmPeer, stream_id: int, now: float) -> Dial:
        relay = self.relay_for(peer.public_key)
        return self.dht.dial(peer.public_key, stream_id, now, relays=peer.relays, relay_through=relay)

    def relay_for(self, public_key: bytes) -> bytes | None:
        """Return the key of the blind relay at which to meet a peer from the first, no matter which side
        dials, or None for none: hole punching passes most NATs, but a random one often only by chance.
        """
        nat = self.dht.node.nat
        random_port = nat.host is not None and not nat.port
        needed = random_port or public_key in self._unpunched
        return self._relay_through if needed and public_key != self._relay_through else None

    def cancel_dial(self, public_key: bytes, now: float) -> None:
        """Cancel a dial; no event follows. The key counts as one that could not be reached."""
        dial = self.dials.get(public_key)
        if dial is not None:
            self.dht.cancel(dial, now)
            self.connection_lost(public_key, now)

    def connection_opened(self, public_key: bytes, now: float) -> None:
        """Note that a connection with a key exists, no matter which side dialled and on which transport."""
        self.dials.pop(public_key, None)
        self._peer(public_key).connected(now)
        self.settle(public_key)
        self.dial_queued(now)

    def connection_lost(self, public_key: bytes, now: float) -> None:
        """Note that the last connection with a key has ended, or that a `Dialled` one never came to life."""
        dial = self.dials.pop(public_key, None)
        peer = self._peer(public_key)
        if peer.state is PeerState.DIALLING and dial is not None and self._is_postponed(peer, dial):
            spread = self.chance() * self.dht.limits.punches.random_pause / 2  # others may wait as well
            peer.postponed(dial.postponed_until + spread)
        elif peer.state in (PeerState.DIALLING, PeerState.CONNECTED):
            peer.failed(now, self._is_wanted(peer), self.chance())
        self.settle(public_key)
        self.dial_queued(now)

    # The network

    def network_changed(self, now: float) -> None:
        """Announce, look up and dial again, because our address has changed or the network is back.

        The swarm notices by itself if it was not called for a while, or if others answer again after a
        silence.
        """
        self.dht.network_changed(now)

    @property
    def suspended(self) -> bool:
        """Whether it is between `suspend` and `resume`."""
        return self._suspended

    def suspend(self, now: float) -> None:
        """Withdraw all announcements, cancel all dials, and stop searching and dialling until `resume`.

        A `DialFailed` follows for each dial. Connections stay; the caller ends them. Once the swarm is no
        longer `withdrawing`, it needs no call before `resume`.
        """
        self._suspended = True
        for topic in self.topics.values():
            topic.stop()
            self._withdraw(topic, now)
        self.dht.stop_listening(now)
        for dial in list(self.dials.values()):
            self.dht.cancel(dial, now)
            self.pending_events.append(DialFailed(dial, "the swarm was suspended"))
            self.connection_lost(dial.public_key, now)

    def resume(self, now: float) -> None:
        """Continue after `suspend`."""
        if self._suspended:
            self._suspended = False
            self.network_changed(now)

    def chance(self) -> float:
        """Return a random number from 0 to 1."""
        return int.from_bytes(self._entropy(2)) / 65536

    # Inside

    def _next_search(self) -> float:
        """Return the time of the next search of any topic."""
        searches = self._searches
        while searches and searches[0][0] != searches[0][2].next_search:
            heapq.heappop(searches)
        return searches[0][0] if searches else math.inf

    def _start_search(self, topic: TopicDiscovery, now: float) -> None:
        """Search as soon as it makes sense. An announcement names our relays, so it waits until those are
        known.
        """
        if self._suspended:
            return
        if topic.announces and not self.dht.listening:
            self.dht.listen(now)
        if self.dht.node.bootstrapped and (not topic.announces or self.dht.findable):
            topic.search(now)
        else:
            topic.waits = True

    def _withdraw(self, topic: TopicDiscovery, now: float) -> None:
        if topic.announced:
            topic.announced = False
            self._withdrawals.add(self.dht.withdraw(topic.topic, now))

    def _process(self, events: list[HyperDhtEvent], now: float) -> list[SwarmEvent]:
        while events:
            for event in events:
                self.handle(event, now)
            events = self.dht.take_events(now)  # events of the requests that these have caused
        caused, self.pending_events = self.pending_events, []
        return caused

    def handle(self, event: HyperDhtEvent, now: float) -> None:
        match event:
            case PeersFound(search, peers):
                self._peers_found(search.target, search, peers, now)
            case SearchFinished(search) if search in self._withdrawals:
                self._withdrawals.discard(search)
            case SearchFinished(search, announced):
                self._search_finished(search.target, search, announced, now)
            case DialFailed(dial, _, unpunched=True) if self._redials(dial, now):
                pass
            case DialFailed(dial):
                if self.dials.get(dial.public_key) is dial:
                    self.connection_lost(dial.public_key, now)
                self.pending_events.append(event)
            case Bootstrapped() | Listening() | BecamePersistent():
                moved = isinstance(event, BecamePersistent)  # our records name an old address
                for topic in self.topics.values():
                    if topic.waits or (moved and topic.announces):
                        self._start_search(topic, now)
                self.pending_events.append(event)
            case PunchFailed(punch):
                self._note_unpunched(punch.public_key)
                self.pending_events.append(event)
            case NetworkChanged():
                self._unpunched.clear()
                for topic in self.topics.values():
                    topic.begin_anew()
                    self._start_search(topic, now)
                for peer in self.book.peers.values():
                    peer.network_changed()
                self.dial_queued(now)
                self.pending_events.append(event)
            case ValueFound():
                pass  # the swarm never asks for values
            case _:
                self.pending_events.append(event)

    def _redials(self, dial: Dial, now: float) -> bool:
        """Dial a peer once more, with the same stream and through our blind relay, after a failed punch.
        Returns whether that is possible.
        """
        peer = self.book.peers.get(dial.public_key)
        possible = self._relay_through not in (None, dial.public_key) and not dial.relayed
        if not possible or peer is None or self.dials.get(dial.public_key) is not dial:
            return False
        self._note_unpunched(dial.public_key)
        self.dials[dial.public_key] = self._dial(peer, dial.stream_id, now)
        return True

    def _note_unpunched(self, public_key: bytes) -> None:
        """Remember that hole punching with a peer has failed."""
        self._unpunched.pop(public_key, None)
        self._unpunched[public_key] = None
        if len(self._unpunched) > self._limits.unpunched_peers:
            del self._unpunched[next(iter(self._unpunched))]

    def _peers_found(self, topic: bytes, search: TopicSearch, peers: tuple[Peer, ...], now: float) -> None:
        discovery = self.topics.get(topic)
        if discovery is None or not discovery.concerns(search):
            return
        for found in peers:
            if not is_key(found.public_key) or not discovery.found(found.public_key):
                continue  # made up by the node that answered, or not wanted
            peer = self._peer(found.public_key, found.relays)
            if topic not in peer.topics:
                peer.topics.add(topic)
                self.pending_events.append(PeerFound(topic, found.public_key))
            peer.found_again()
            if peer.state is PeerState.IDLE:
                peer.signal(PeerSignal.QUEUE)
        self.dial_queued(now)

    def _search_finished(self, topic: bytes, search: TopicSearch, announced: int, now: float) -> None:
        discovery = self.topics.get(topic)
        if discovery is None or not discovery.concerns(search):
            return
        discovery.finished(announced, now)
        heapq.heappush(self._searches, (discovery.next_search, next(self._count), discovery))
        if announced:
            self.pending_events.append(Announced(topic, announced))
        for joined in discovery.discoveries:
            assert joined.awaited is not None
            joined.awaited = {key for key in joined.awaited if not self._is_settled(key)}
            self._flush(joined)

    def _peer(self, public_key: bytes, relays: tuple[SocketAddress, ...] = ()) -> SwarmPeer:
        peer = self.book.note(public_key)
        if relays:
            peer.relays = relays
        return peer

    def dial_queued(self, now: float) -> None:
        while (
            not self._suspended
            and len(self.dials) < self._limits.parallel_dials
            and self.book.connected + len(self.dials) < self._limits.max_peers
            and (peer := self.book.first_queued()) is not None
        ):
            self.connect(peer.public_key, now)

    def _is_wanted(self, peer: SwarmPeer) -> bool:
        return any(topic in self.topics for topic in peer.topics)

    def _is_postponed(self, peer: SwarmPeer, dial: Dial) -> bool:
        return dial.postponed and self._is_wanted(peer) and peer.postponements < self._limits.postponed_dials

    def _is_settled(self, public_key: bytes) -> bool:
        """Return whether a peer has been connected, or has failed at least once."""
        peer = self.book.peers.get(public_key)
        return peer is None or peer.state in (PeerState.CONNECTED, PeerState.WAITING, PeerState.IDLE)

    def settle(self, public_key: bytes) -> None:
        for discovery in list(self._unflushed):
            if discovery.awaited is not None:
                discovery.awaited.discard(public_key)
                self._flush(discovery)

    def _flush(self, discovery: Discovery) -> None:
        if not discovery.awaited and not discovery.flushed:
            discovery.flushed = True
            del self._unflushed[discovery]
            self.pending_events.append(Flushed(discovery))
