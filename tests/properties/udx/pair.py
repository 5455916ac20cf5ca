"""Two endpoints on the virtual network, each with one stream to the other, and the view of their users."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import attrs

from peersockets_core.udx import (
    DataReceived,
    Endpoint,
    MessageReceived,
    Stream,
    StreamClosed,
    StreamEnded,
    UdxLimits,
    WritableAgain,
)
from simulation import Address, Host, Link, Network, Site

PATIENCE = 600.0
"""Virtual seconds after which a stream counts as hanging. A silent remote is given up after about 13."""

CHUNK = 16 * 1024


def content(size: int) -> bytes:
    """Return bytes of which no two parts are alike."""
    return hashlib.shake_128(b"content").digest(size) if size else b""


@attrs.define(eq=False)
class User:
    """One side: an endpoint at a host, and the stream as its user sees it."""

    endpoint: Endpoint
    host: Host = attrs.field(init=False)
    stream: Stream = attrs.field(init=False)
    reads: bool = True
    """Whether the user consumes received data at once."""
    received: bytearray = attrs.field(factory=bytearray)
    unread: int = 0
    messages: list[bytes] = attrs.field(factory=list)
    events: list[Any] = attrs.field(factory=list)
    ended: bool = False
    """Whether the remote has ended its half."""
    closed: bool = False
    error: Exception | None = None
    on_end: Callable[[User], object] | None = None
    """The user's reaction when the remote ends. By default it ends too, as real peers do."""
    _outbox: memoryview = attrs.field(factory=lambda: memoryview(b""))
    _ends: bool = False
    _has_ended: bool = False

    def see(self, event: Any) -> None:
        """Handle the next event. Nothing follows the end, and no data follows the end of the remote."""
        assert not self.closed, f"{event} after the end"
        assert event.stream is self.stream
        self.events.append(event)
        if isinstance(event, DataReceived):
            assert not self.ended, "data after the end of the remote"
            assert event.data
            self.received += event.data
            self.unread += len(event.data)
            if self.reads:
                self.read()
        elif isinstance(event, StreamEnded):
            assert not self.ended
            self.ended = True
            (self.on_end or User.end)(self)
        elif isinstance(event, StreamClosed):
            self.closed, self.error = True, event.error
        elif isinstance(event, MessageReceived):
            self.messages.append(bytes(event.data))
        elif isinstance(event, WritableAgain):
            self._feed()

    def read(self) -> None:
        """Consume the received data."""
        unread, self.unread = self.unread, 0
        if unread:
            self.stream.consume(unread)

    def send(self, data: bytes, *, end: bool = True) -> None:
        """Write data as fast as the stream takes it, and then end the half."""
        assert not self._outbox
        self._outbox, self._ends = memoryview(data), end
        self._feed()

    def end(self) -> None:
        """End the half after the data that is still to be written."""
        self._ends = True
        self._feed()

    def _feed(self) -> None:
        while self._outbox and self.stream.writable:
            self.stream.write(self._outbox[:CHUNK])
            self._outbox = self._outbox[CHUNK:]
        if self._ends and not self._outbox and not self._has_ended:
            self._has_ended = True
            self.stream.end()


@attrs.define(eq=False)
class Pair:
    """Alice and Bob, who know each other's stream ids."""

    network: Network
    alice: User
    bob: User
    up: Link
    """The line from Alice to Bob."""
    down: Link
    """The line from Bob to Alice."""
    site: Site
    """Alice's stream."""

    def both(self, **conditions: float) -> None:
        """Change the conditions of both directions."""
        for link in (self.up, self.down):
            for name, value in conditions.items():
                setattr(link, name, value)

    def run_until_closed(self, within: float = PATIENCE) -> None:
        """Run until both sides have closed and nothing more can happen."""
        self.network.run_until(lambda: self.alice.closed and self.bob.closed, within=within)
        self.network.run_until_idle(within=within)


@attrs.define(eq=False)
class Forwarder:
    """A relay: it has a stream for each side, and passes every packet on to the other side's.

    It learns a side's address from the first packet, as the reference does (libudx `udx_stream_relay_to`).
    """

    ids: dict[int, tuple[int, int]] = attrs.field(factory=lambda: {55: (66, 22), 66: (55, 11)})
    """By the id of each of its streams: the other one, and the id at which the packets go on to that side."""
    addresses: dict[int, Address] = attrs.field(factory=dict)
    """The side's address, by the id of the stream for it."""
    forwarded: int = 0
    gone: bool = False
    """Whether it forwards no more."""
    _outbox: list[tuple[Address, list[bytes], int]] = attrs.field(factory=list)

    def receive_datagrams(
        self, buffer: bytes | bytearray | memoryview, segment_size: int, source: Address, now: float
    ) -> list[Any]:
        """Pass a run on, under the id of the other side."""
        for start in range(0, len(buffer), segment_size):
            packet = bytes(buffer[start : start + segment_size])
            here = int.from_bytes(packet[4:8], "little")
            other, remote_id = self.ids[here]
            self.addresses.setdefault(here, source)
            if other in self.addresses and not self.gone:
                forwarded = packet[:4] + remote_id.to_bytes(4, "little") + packet[8:]
                self._outbox.append((self.addresses[other], [forwarded], len(forwarded)))
                self.forwarded += 1
        return []

    def datagrams_to_send(self, now: float) -> list[tuple[Address, list[bytes], int]]:
        """Return what is passed on."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def next_deadline(self) -> float:
        """Return infinity: it has no timers."""
        return float("inf")

    def handle_deadline(self, now: float) -> list[Any]:
        """Do nothing."""
        return []


RELAY: Address = ("10.0.0.9", 1000)


def open_pair(
    *,
    seed: int | str = 0,
    up: Link | None = None,
    down: Link | None = None,
    limits: UdxLimits | None = None,
    read_delay: float = 0.0,
    first: int = 0,
    relay: Forwarder | None = None,
) -> Pair:
    """Put Alice and Bob on a network, with connected streams that begin to count at `first`. With a `relay`,
    each stream leads to the relay.
    """
    network = Network(seed)
    up, down = up or Link(), down or Link()
    site = network.add_site(up=up, down=down)
    users = [User(Endpoint(limits=limits or UdxLimits(), now=network.now)) for _ in range(2)]
    hosts = [site, network.add_site()]
    addresses: list[Address] = [("10.0.0.1", 1000), ("10.0.0.2", 1000)]
    for user, place, address in zip(users, hosts, addresses, strict=True):
        user.host = place.add_host(address, user.endpoint, on_event=user.see, read_delay=read_delay)
    remotes, towards = (22, 11), addresses[::-1]
    if relay is not None:
        network.add_site().add_host(RELAY, relay)
        remotes, towards = (55, 66), [RELAY, RELAY]
    for user, local, remote, address in zip(users, (11, 22), remotes, towards, strict=True):
        user.stream = user.endpoint.open_stream(local, network.now)
        user.stream.connect(remote, address, network.now, remote_seq=first, local_seq=first)
    return Pair(network, users[0], users[1], up, down, site)
