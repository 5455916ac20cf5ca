"""`HyperDht`: one node of HyperDHT, without I/O. It finds peers of topics, dials keys and answers dials.

It handles the datagrams of the DHT; `udx` handles those of UDX streams. Source: hyperdht 6.34.0,
`index.js`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..address import PathAddress, SocketAddress
from ..holepunch.nat import Firewall
from ..keys import Entropy, KeyPair, parse_public_key
from .acceptance import Acceptance
from .announcer import Announcer, AnnouncerState
from .dialing import Dial
from .dispatch import Dispatcher
from .events import HyperDhtEvent
from .exchange import Exchange
from .forwarding import Forwarding
from .limits import DEFAULT_HYPER_DHT_LIMITS, HyperDhtLimits
from .listening import Accepted, HandshakeServer, Incoming
from .messages import MOST_RELAYS, HandshakePayload, Peer, UdxInfo
from .outgoing import OutgoingDials
from .punching import FIRST_SOCKET, PunchDatagram, Punching
from .relaying import Pairing, Relaying
from .rpc.events import (
    BecamePersistent,
    DhtEvent,
    NetworkChanged,
)
from .rpc.node import DhtNode
from .rpc.requests import Socket
from .signing import key_hash, sign_mutable
from .storage import Storage
from .topics import TopicSearch
from .values import MOST_VALUE, ValueSearch


class HyperDht:
    """One node of HyperDHT under one identity."""

    def __init__(
        self,
        *,
        key_pair: KeyPair,
        entropy: Entropy,
        now: float,
        bootstrap: Iterable[SocketAddress] = (),
        persistent: bool | None = False,
        address: SocketAddress | None = None,
        first: bool | None = None,
        port: int | None = None,
        open_address: SocketAddress | None = None,
        local_addresses: Iterable[SocketAddress] = (),
        limits: HyperDhtLimits = DEFAULT_HYPER_DHT_LIMITS,
    ) -> None:
        """Begin to search the network from the `bootstrap` nodes; `persistent`, `address`, `first` and `port`
        are as for `DhtNode`.

        `open_address` is the address at which everyone can reach us, if it is known. `local_addresses`
        are those at which hosts of our own network can. Handshakes show both to remotes.
        """
        self.key_pair = key_pair
        self.limits = limits
        self.node = DhtNode(
            entropy=entropy,
            now=now,
            bootstrap=bootstrap,
            persistent=persistent,
            address=address,
            first=first,
            port=port,
            limits=limits.rpc,
        )
        """The dht-rpc node below."""
        self._known_open_address = open_address if open_address is not None else address
        self.local_addresses = tuple(local_addresses)
        self.pending_events: list[HyperDhtEvent] = []
        self.exchange: Exchange[HyperDhtEvent] = Exchange(self.node, self.pending_events.append)
        self.forwarding = Forwarding(self.node, limits)
        self.storage = Storage(self.node, self.forwarding, entropy, limits)
        self.listener = HandshakeServer(self.exchange, key_pair, entropy, limits)
        self.announcer = Announcer(self.exchange, key_pair)
        self.punching = Punching(
            self.exchange, entropy, limits.punches, is_own_relay=lambda node: node in self.announcer.relays
        )
        """The hole punching in progress, with its sockets."""
        self.relaying: Relaying[Dial] = Relaying(
            self.pending_events.append,
            key_pair.ed25519_public_key,
            entropy,
            limits,
            cancel_dial=self.cancel,
        )
        """The streams that blind relays forward to us, and the attempts at such."""
        self.acceptance = Acceptance(self)
        self.outgoing = OutgoingDials(
            self.exchange, self.punching, self.forwarding, self.relaying, key_pair, entropy, limits
        )
        self.dials = self.outgoing.dials
        self._dispatcher = Dispatcher(self)

    @property
    def open_address(self) -> SocketAddress | None:
        """The address at which everyone can reach us, if it is known or a test has found it; otherwise
        None.
        """
        if self._known_open_address is not None:
            return self._known_open_address
        return None if self.node.reachability is None else self.node.reachability.address

    @property
    def relays(self) -> tuple[SocketAddress, ...]:
        """The nodes that relay handshakes to us, while we listen."""
        return tuple(self.announcer.relays)

    @property
    def announced_relays(self) -> tuple[SocketAddress, ...]:
        """The relays for our records, with our own address first if everyone can reach us."""
        open_at = () if self.open_address is None else (self.open_address,)
        return (open_at + self.relays)[:MOST_RELAYS]

    @property
    def listening(self) -> bool:
        """Whether we let remotes dial our key."""
        return self.announcer.state in (AnnouncerState.ANNOUNCING, AnnouncerState.KEEPING)

    @property
    def findable(self) -> bool:
        """Whether remotes can reach our key: through relays, or because we answer for it as a persistent
        node.
        """
        return self.announcer.state is AnnouncerState.KEEPING and bool(self.relays or self.node.id)

    # The datagram pattern

    def receive_datagrams(
        self,
        buffer: bytes | bytearray | memoryview,
        segment_size: int,
        source: SocketAddress,
        now: float,
        *,
        socket: int = Socket.MAIN,
    ) -> list[HyperDhtEvent]:
        """Take in datagrams of `segment_size` bytes each, of which the last may be shorter; returns the
        events that they cause.

        `socket` is the one at which they have arrived.
        """
        if socket >= FIRST_SOCKET and segment_size <= 1:
            for _ in range(max(len(buffer), 1)):
                self.punching.receive_probe(socket, source, now)
            return self._dispatcher.process(self.node.take_events(), now)
        return self._dispatcher.process(
            self.node.receive_datagrams(buffer, segment_size, source, now, socket=socket), now
        )

    def datagrams_to_send(
        self, now: float, *, socket: int = Socket.MAIN
    ) -> list[tuple[SocketAddress, list[bytes], int]]:
        """Return the datagrams to send from a socket: the destination, a list that holds the datagram, and
        its size.
        """
        return self.node.datagrams_to_send(now, socket=socket)

    def punch_datagrams_to_send(self, now: float) -> list[PunchDatagram]:
        """Return the datagrams to send from sockets for hole punching. The caller opens each of these sockets
        on demand, and closes those that `punching.sockets` no longer has and that carry no stream.
        """
        return self.punching.datagrams_to_send(now)

    def next_deadline(self) -> float:
        """Return the latest time at which to call `handle_deadline`; minus infinity if events are waiting."""
        if self.pending_events:
            return -math.inf
        deadline = min(
            self.node.next_deadline(),
            self.announcer.next_deadline(),
            self.listener.next_deadline(),
            self.punching.next_deadline(),
            self.relaying.next_deadline(),
        )
        return min(deadline, self.outgoing.next_deadline()) if self.dials else deadline

    def handle_deadline(self, now: float) -> list[HyperDhtEvent]:
        """Do whatever has become due by `now`, and return the events that it causes."""
        self.outgoing.handle_deadline(now)
        self.announcer.handle_deadline(now)
        self.listener.handle_deadline(now)
        self.punching.handle_deadline(now)
        self.relaying.handle_deadline(now)
        return self._dispatcher.process(self.node.handle_deadline(now), now)

    def take_events(self, now: float) -> list[HyperDhtEvent]:
        """Return the events that commands have caused since the last call."""
        return self._dispatcher.process(self.node.take_events(), now)

    # Topics and values

    def lookup(self, topic: bytes, now: float) -> TopicSearch:
        """Search for the peers of a 32-byte topic. `PeersFound` events follow, and then `SearchFinished`."""
        return self._search(topic, now)

    def announce(self, topic: bytes, now: float) -> TopicSearch:
        """Search for the peers of a topic, and announce our key there. The caller repeats this within the
        record's lifetime.

        The node should listen first, so that the record names our relays.
        """
        if self.node.id is not None:
            peer = Peer(self.key_pair.ed25519_public_key, self.announced_relays)
            self.storage.keep_own(topic, peer, now)
        return self._search(topic, now, announce=self.announced_relays)

    def withdraw(self, topic: bytes, now: float) -> TopicSearch:
        """Remove our announcement from a topic; `SearchFinished` follows."""
        self.storage.remove_own(topic, self.key_pair.ed25519_public_key)
        return TopicSearch(self.exchange, topic, self.key_pair, now, withdraw=True)

    def _search(
        self, topic: bytes, now: float, announce: tuple[SocketAddress, ...] | None = None
    ) -> TopicSearch:
        search = TopicSearch(self.exchange, topic, self.key_pair, now, announce=announce)
        search.found(self.storage.peers(topic, now), None)
        return search

    def get_immutable(self, hash: bytes, now: float) -> ValueSearch:
        """Search for the value with a 32-byte hash. `ValueFound` follows."""
        return ValueSearch(self.exchange, now, target=hash)

    def put_immutable(self, value: bytes, now: float) -> ValueSearch:
        """Store a value under its hash, which is the search's `target`. Raises `ValueError` if it is too
        large or empty.
        """
        _check_value(value)
        return ValueSearch(self.exchange, now, target=key_hash(value), put=value)

    def get_mutable(self, public_key: bytes, now: float, *, minimum_seq: int = 0) -> ValueSearch:
        """Search for the newest value of a key whose `seq` is at least `minimum_seq`. `ValueFound`
        follows.
        """
        return ValueSearch(
            self.exchange,
            now,
            public_key=parse_public_key(public_key, "public_key"),
            minimum_seq=minimum_seq,
        )

    def put_mutable(self, value: bytes, seq: int, now: float) -> ValueSearch:
        """Store a value under our key, in place of values with a smaller `seq`. Raises `ValueError` as
        `put_immutable` does.
        """
        _check_value(value)
        signed = sign_mutable(self.key_pair, seq, value)
        return ValueSearch(self.exchange, now, public_key=self.key_pair.ed25519_public_key, put=signed)

    # Connections

    def listen(self, now: float) -> None:
        """Let remotes dial our key. `Listening` follows, and a `ConnectionRequested` for each remote."""
        if not self.listening:
            self.forwarding.show_own(self.announcer.target, Peer(self.key_pair.ed25519_public_key).encode())
            self.announcer.start(now)

    def stop_listening(self, now: float) -> None:
        """Withdraw our key from the nodes near it."""
        if self.listening:
            self.forwarding.show_own(self.announcer.target, None)
            self.announcer.stop(now)

    def network_changed(self, now: float) -> None:
        """Announce our key again, because our address has changed or the network is back.

        `NetworkChanged` follows; the caller then announces its topics again. A node notices by itself if it
        was not called for a while, or if no node has answered for a while.
        """
        self.node.network_changed(now)

    @property
    def withdrawing(self) -> bool:
        """Whether some relays have not yet confirmed that they have removed our announcement."""
        return self.announcer.withdrawing

    def dial(
        self,
        public_key: bytes,
        stream_id: int,
        now: float,
        *,
        relays: Iterable[SocketAddress] = (),
        relay_through: bytes | None = None,
    ) -> Dial:
        """Connect to a key. `Dialled` or `DialFailed` follows. `stream_id` is the id of our UDX stream.

        `relays` are nodes that relay to the key according to peer records. `relay_through` is the key of a
        blind relay at which to meet while hole punching goes on. Where that or the remote's relay is used,
        `RelayOffered` follows, and if the two meet there, `Relayed` in place of `Dialled`.

        Raises `ValueError` for an invalid key, and `LocalProtocolError` for our own key.
        """
        return self.outgoing.begin(
            public_key, self.payload(stream_id), now, relays=relays, relay_through=relay_through
        )

    def cancel(self, dial: Dial, now: float) -> None:
        """Cancel a dial; no event follows for it."""
        self.outgoing.cancel(dial, now)

    def accept(
        self, incoming: Incoming, stream_id: int, now: float, *, relay_through: bytes | None = None
    ) -> Accepted | None:
        """Let a remote connect to our UDX stream with the id `stream_id`; returns the keys and the remote's
        address.

        Returns None if the remote asks for something that we do not support, or if too many remotes punch.
        Raises `LocalProtocolError` if the handshake is already decided or forgotten.

        If the handshake has a `punch` afterwards, the stream arrives at one of its sockets, and the caller
        calls `arrived`; otherwise `PunchFailed` follows.

        `relay_through` is the key of a blind relay at which to meet while the punch goes on; without it, we
        meet at the one that the remote may have named. If the handshake has a `pairing` afterwards,
        `RelayOffered` follows. Once `Relayed` has followed, too, the stream arrives there, and the punch goes
        on for a direct path.
        """
        return self.acceptance.accept(incoming, stream_id, now, relay_through)

    def dial_relay(self, pairing: Pairing, stream_id: int, now: float) -> None:
        """Dial the blind relay of a pairing. `RelayReached` or `RelayClosed` follows."""
        self.relaying.dialling(pairing, self.dial(pairing.through.public_key, stream_id, now))

    def receive_from_relay(self, pairing: Pairing, data: bytes, now: float) -> None:
        """Take in bytes from a blind relay. `Relayed` or `RelayClosed` may follow."""
        self.relaying.receive(pairing, data, now)

    def end_relay(self, pairing: Pairing, now: float, reason: str = "") -> None:
        """End a pairing, because the peer's packets come directly or its stream is over, or with a `reason`,
        because the relay has gone. `RelayClosed` follows.
        """
        self.relaying.end(pairing, now, reason)
        if not reason:
            self.outgoing.end_pairing(pairing, now)

    def arrived(self, incoming: Incoming, address: PathAddress, now: float) -> None:
        """Note that the stream of an accepted remote has arrived from an address, with our socket at which it
        has arrived. Hole punching then ends.
        """
        if incoming.punch is not None:
            self.punching.connected(incoming.punch, address[2] if len(address) == 3 else Socket.MAIN, now)

    def abandon(self, incoming: Incoming, now: float) -> None:
        """End the hole punching with an accepted remote, and its pairing, as its stream is over or has
        arrived directly.
        """
        if incoming.punch is not None:
            self.punching.withdraw(incoming.punch, now)
        if incoming.pairing is not None:
            self.relaying.end(incoming.pairing, now)

    def refuse(self, incoming: Incoming) -> None:
        """Give a remote no answer at all. Raises `LocalProtocolError` as `accept` does."""
        self.listener.refuse(incoming)

    # For the parts of the node

    def payload(self, stream_id: int) -> HandshakePayload:
        """Return our payload for a handshake."""
        open_at = () if self.open_address is None else (self.open_address,)
        return HandshakePayload(
            Firewall.OPEN if open_at else Firewall.UNKNOWN,
            addresses=open_at + self.local_addresses,
            udx=UdxInfo(stream_id),
        )

    def follow(self, event: DhtEvent, now: float) -> None:
        """Act on an event of the layer below, which the application receives as well."""
        if isinstance(event, BecamePersistent) and self.node.first:
            self._known_open_address = self.node.address or self.open_address
        elif isinstance(event, NetworkChanged) and self.listening:
            self.announcer.start_anew(now)


def _check_value(value: bytes) -> None:
    if not 0 < len(value) <= MOST_VALUE:
        raise ValueError(f"value must be from 1 to {MOST_VALUE} bytes, not {len(value)}")
