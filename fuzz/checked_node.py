"""`CheckedNode`: a DHT node for harnesses, which checks its bounds and its output."""

from __future__ import annotations

import math
from random import Random
from typing import Any, Final

from peersockets_core import KeyPair
from peersockets_core.address import SocketAddress
from peersockets_core.dht import ConnectionRequested, HyperDht, HyperDhtLimits
from peersockets_core.dht.rpc.limits import DhtLimits
from peersockets_core.dht.rpc.messages import (
    RpcRequest,
    RpcResponse,
    decode_untrusted,
)
from peersockets_core.dht.rpc.requests import Socket

LIMITS: Final = HyperDhtLimits(
    rpc=DhtLimits(
        stable_time=30.0,
        window=8,
        requests=24,
        query_nodes=32,
        delayed_pings=4,
        down_hints=4,
        requests_per_second=64,
        hosts=4,
    ),
    records=16,
    topic_records=8,
    record_lifetime=120.0,
    value_lifetime=240.0,
    host_records=6,
    values=8,
    host_values=4,
    forwards=8,
    host_forwards=4,
    incoming_handshakes=4,
    known_relays=4,
)
"""Bounds that an input of a few KiB can reach."""

ANSWER: Final = 256
"""Bytes of an answer besides its value: ids, a token, and twenty nodes."""

VALUE: Final = LIMITS.rpc.datagram
"""Bytes of the largest value that the node accepts."""

RELAYED: Final = 64
"""Bytes by which a message grows when it is passed on: our id, and two addresses."""

US: Final[SocketAddress] = ("10.0.0.1", 1)
BOOTSTRAP: Final[SocketAddress] = ("10.0.0.2", 2)
REMOTES: Final[tuple[SocketAddress, ...]] = (
    BOOTSTRAP,
    ("10.0.0.3", 3),
    ("10.0.0.3", 4),
    ("10.0.1.4", 4),
    ("6.6.6.6", 6),
    ("7.7.7.7", 65535),
    ("0.0.0.0", 1),
    US,
)
"""All others. Two of them share a host, one has an address that no host has, and one has stolen ours."""

OURS, *OTHERS = (KeyPair.from_seed(bytes((number,)) * 32) for number in range(1, 5))


class CheckedNode:
    """A node that listens at `US`. Every call checks what it sends."""

    def __init__(self, *, known: bool, adaptive: bool) -> None:
        """Make a node that may know its own address. An adaptive one becomes persistent by itself."""
        self.now = 1000.0
        self.machine = HyperDht(
            key_pair=OURS,
            entropy=Random(1).randbytes,
            now=self.now,
            bootstrap=[BOOTSTRAP],
            persistent=None if adaptive else True,
            address=US if known else None,
            port=US[1],
            limits=LIMITS,
        )
        self.asked: list[tuple[SocketAddress, RpcRequest]] = []
        """The unanswered requests of the node."""
        self.probed: set[tuple[int, SocketAddress]] = set()
        """Its requests through its probe, by transaction and address."""
        self.sent: list[bytes] = []
        self.tokens: dict[str, bytes] = {}
        """The last token that each host got."""
        self.incoming: list[Any] = []
        self.acts = 0
        """The datagrams, commands and deadlines so far, each of which may cost some work."""

    def hear(
        self, data: bytes, source: SocketAddress, size: int = 0, *, socket: Socket = Socket.MAIN
    ) -> None:
        """Deliver datagrams to the node in one read."""
        size = size or len(data) or 1
        count = -(-len(data) // size)
        self.acts += count
        self.take(self.machine.receive_datagrams(data, size, source, self.now, socket=socket))
        self.collect(count, min(size, len(data)))

    def take(self, events: list[Any]) -> None:
        """Handle the events of the node."""
        self.incoming += [event.incoming for event in events if isinstance(event, ConnectionRequested)]
        del self.incoming[:-8]

    def collect(self, count: int, size: int, ways: int = 1) -> None:
        """Take the node's output. Check that each datagram caused at most one answer, of an allowed size."""
        answers = self.machine.node.output.get(Socket.MAIN, [])
        assert len(answers) <= count * ways
        for _, datagram in answers:
            relayed = isinstance(decode_untrusted(datagram), RpcRequest)
            assert len(datagram) <= (size + RELAYED if relayed else ANSWER + VALUE)
        of_others = {id(datagram) for _, datagram in answers}
        for to, buffers, length in self.machine.datagrams_to_send(self.now):
            (datagram,) = buffers
            assert length == len(datagram)
            self.sent.append(datagram)
            message = decode_untrusted(datagram)
            if isinstance(message, RpcResponse) and message.token is not None:
                self.tokens[to[0]] = message.token
            elif isinstance(message, RpcRequest) and id(datagram) not in of_others:
                self.asked.append((to, message))
        for to, (datagram,), _ in self.machine.datagrams_to_send(self.now, socket=Socket.PROBE):
            request = decode_untrusted(datagram)
            assert isinstance(request, RpcRequest)
            self.asked.append((to, request))
            self.probed.add((request.tid, to))
        del self.sent[:-8], self.asked[:-32]

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while (due := self.machine.next_deadline()) <= until:
            self.acts += 1
            self.now = max(self.now, due)
            self.take(self.machine.handle_deadline(self.now))
            self.collect(LIMITS.rpc.delayed_pings, 0)
            assert self.machine.next_deadline() > self.now, "the deadline does not move on"
        self.now = until

    def check(self) -> None:
        """Check that everything that others can fill is within its bounds."""
        machine = self.machine
        node, storage = machine.node, machine.storage
        assert len(storage.records) <= LIMITS.records
        assert sum(map(len, storage.topics.values())) == len(storage.records)
        assert all(0 < len(topic) <= LIMITS.topic_records for topic in storage.topics.values())
        assert all(len(owned) <= LIMITS.host_records for owned in storage.records.by_owner.values())
        assert len(storage.values) <= LIMITS.values
        assert all(len(owned) <= LIMITS.host_values for owned in storage.values.by_owner.values())
        assert len(machine.forwarding) <= LIMITS.forwards
        assert len(machine.listener) <= LIMITS.incoming_handshakes
        assert len(machine.outgoing.known_relays) <= LIMITS.known_relays
        assert len(node.client.requests) <= LIMITS.rpc.requests
        assert len(node.server.delayed) <= LIMITS.rpc.delayed_pings
        assert len(node.rates.counts) <= LIMITS.rpc.hosts + 1
        assert 0 <= node.upkeep.checks <= LIMITS.rpc.checks
        assert 0 <= node.upkeep.repings <= LIMITS.rpc.repings
        assert len(node.upkeep.table) == len(node.upkeep.by_time)
        assert all(len(row) <= 20 for row in node.upkeep.table.rows.values())
        assert all(len(query.heard_of) <= LIMITS.rpc.query_nodes for query in node.client.queries)

    def finish(self) -> None:
        """Let no node answer any more, until everything in progress has ended."""
        self.machine.stop_listening(self.now)
        for _ in range(4):
            self.pass_time(15)
        self.check()
        assert not self.machine.dials
        assert not self.machine.withdrawing
        assert math.isfinite(self.machine.next_deadline())
