"""`DhtNode`: one node of a DHT that speaks dht-rpc, without I/O.

Datagrams go in with `receive_datagrams` and come out of `datagrams_to_send`; time is a deadline. By default
the node is ephemeral: it sends and answers requests, but no other node puts it into a table. A persistent
node has an id, which is derived from its address, and lets the layer above store records.

Source: dht-rpc 6.27.0, `index.js`.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterable

from ...address import SocketAddress
from ...errors import LocalProtocolError, RemoteProtocolError
from ...keys import Entropy
from .address import ID_SIZE, node_id
from .client import Client
from .events import (
    AddressChanged,
    BecameEphemeral,
    BecamePersistent,
    Bootstrapped,
    DhtEvent,
    NetworkChanged,
    RequestReceived,
)
from .limits import DEFAULT_DHT_LIMITS, DhtLimits
from .messages import RpcCommand, RpcErrorCode, RpcRequest, decode_untrusted, encode_answer, encode_request
from .nat import NatSampler
from .query import CONCURRENCY, CommitMaker, Query, QueryOptions
from .rates import HostRates
from .reachability import Reachability
from .requests import RETRIES, TIMEOUT, PendingRequest, RequestOptions, RpcStatistics, Socket
from .server import Server
from .tokens import Tokens
from .upkeep import Upkeep


class DhtNode:
    """One node, which is a client and a server of others."""

    def __init__(
        self,
        *,
        entropy: Entropy,
        now: float,
        bootstrap: Iterable[SocketAddress] = (),
        persistent: bool | None = False,
        address: SocketAddress | None = None,
        first: bool | None = None,
        port: int | None = None,
        limits: DhtLimits = DEFAULT_DHT_LIMITS,
    ) -> None:
        """Begin to search the network from the `bootstrap` nodes; the first node of a network has none.

        A `persistent` node derives its id from `address`, its own address as others see it. Without an
        `address`, it becomes persistent once enough remotes agree on one. `first` is whether the node
        begins a network; by default, a node without bootstrap nodes does.

        If `persistent` is None, the node becomes persistent by itself once strangers have been able to reach
        it for long enough. It then needs a second socket, `Socket.PROBE`, and `port`, the port of its main
        socket. Raises `ValueError` if that port is missing.
        """
        if persistent is None and port is None:
            raise ValueError("port must be given if persistent is None")
        self.limits = limits
        self.bootstrap = tuple(bootstrap)
        self.first = not self.bootstrap if first is None else first
        """Whether it begins a network, and therefore needs no answer of another node."""
        self.nat = NatSampler()
        """Our address as others see it."""
        self.id: bytes | None = None
        """Our 32-byte id, once we are persistent."""
        self.bootstrapped = False
        self.dropped = 0
        """Datagrams that were malformed, unsolicited or too many."""
        self._wants_id = bool(persistent)
        self._learns_from_askers = self.first and self._wants_id and address is None
        self.client = Client(self, entropy, now)
        """The requests and queries of this node."""
        self._tokens = Tokens(entropy, now)
        self.rates = HostRates(limits.requests_per_second, limits.hosts)
        self._events: list[DhtEvent] = []
        self.output: dict[int, list[tuple[SocketAddress, bytes]]] = {}
        """The datagrams to send besides requests, by socket."""
        self.server = Server(self)
        self.reachability = Reachability(self, port) if persistent is None and port is not None else None
        """The test whether strangers reach us, of a node that becomes persistent by itself."""
        self.upkeep = Upkeep(self, entropy(ID_SIZE), now)
        """The table of known nodes and its housekeeping."""
        if persistent and address is not None:
            self.become_persistent(address)
        self._looking = False
        self.look_around(now)

    def look_around(self, now: float) -> None:
        """Search for the nodes near us, unless such a search is in progress; others may be reachable by
        now.
        """
        if not self._looking:
            self._looking = True
            self.upkeep.refresh(self.upkeep.table.own_id, now)

    @property
    def address(self) -> SocketAddress | None:
        """Our address as others see it, or None unless they agree on host and port."""
        return (self.nat.host, self.nat.port) if self.nat.host is not None and self.nat.port else None

    def request_statistics(self) -> RpcStatistics:
        """Return the counters of our requests."""
        return self.client.requests.statistics()

    # The datagram pattern

    def receive_datagrams(
        self,
        buffer: bytes | bytearray | memoryview,
        segment_size: int,
        source: SocketAddress,
        now: float,
        *,
        socket: int = Socket.MAIN,
    ) -> list[DhtEvent]:
        """Take in datagrams of `segment_size` bytes each, of which the last may be shorter; returns the
        events that they cause.

        `socket` is the one at which they have arrived. A malformed datagram is counted in `dropped`, and
        changes nothing else.
        """
        if 0 < len(buffer) <= segment_size:
            self._receive(bytes(buffer), source, now, socket)
        else:
            for start in range(0, len(buffer), max(segment_size, 1)):
                self._receive(bytes(buffer[start : start + segment_size]), source, now, socket)
        return self.take_events()

    def datagrams_to_send(
        self, now: float, *, socket: int = Socket.MAIN
    ) -> list[tuple[SocketAddress, list[bytes], int]]:
        """Return the datagrams to send from a socket: the destination, a list that holds the datagram, and
        its size.
        """
        output = self.output.pop(socket, []) + self.client.requests.output(now, socket)
        if socket == Socket.MAIN and self.upkeep_socket is Socket.PROBE and self.reachability is not None:
            for (host, _), _ in output:
                self.reachability.wrote_to(host, now)
        return [(to, [datagram], len(datagram)) for to, datagram in output]

    def datagrams_of_others(self, now: float) -> list[tuple[int, SocketAddress, bytes]]:
        """Return the datagrams to send from sockets of the layer above, each with the number of its
        socket.
        """
        sockets = {*self.output, *self.client.requests.sockets} - {*Socket}
        return [
            (socket, to, datagram)
            for socket in sorted(sockets)
            for to, (datagram,), _ in self.datagrams_to_send(now, socket=socket)
        ]

    def next_deadline(self) -> float:
        """Return the latest time at which to call `handle_deadline`; minus infinity if events are waiting."""
        if self._events:
            return -math.inf
        test = math.inf if self.reachability is None else self.reachability.next_deadline
        requests = self.client.requests.next_deadline()
        return min(requests, self.server.next_deadline(), self.upkeep.next_tick, test)

    def handle_deadline(self, now: float) -> list[DhtEvent]:
        """Repeat or give up requests and refresh the table, as far as it has become due by `now`."""
        self.client.requests.handle_deadline(now)
        self.server.handle_deadline(now)
        if now >= self.upkeep.next_tick:
            self.client.hints_sent = 0
            self.upkeep.tick(now)
        if self.reachability is not None:
            self.reachability.handle_deadline(now)
        return self.take_events()

    def take_events(self) -> list[DhtEvent]:
        """Return the events that commands have caused since the last call."""
        events, self._events = self._events, []
        return events

    # Commands

    def request(
        self,
        to: SocketAddress,
        *,
        command: int,
        now: float,
        internal: bool = False,
        target: bytes | None = None,
        value: bytes | None = None,
        token: bytes | None = None,
        retries: int = RETRIES,
        timeout: float = TIMEOUT,
        socket: int = Socket.MAIN,
    ) -> PendingRequest:
        """Ask one node. An `Answered` or `TimedOut` event with the returned request follows.

        `socket` is the one that the request leaves from, and that its answer comes to. Raises
        `LocalProtocolError` if too many requests are unanswered.
        """
        options = RequestOptions(command, internal, target, value, token, retries, timeout, socket=socket)
        pending = self.client.send(self.client, to, options, now)
        if pending is None:
            raise LocalProtocolError(f"{self.limits.requests} requests to the DHT are unanswered")
        return pending

    def ping(self, to: SocketAddress, now: float) -> PendingRequest:
        """Ask a node for a sign of life. Events and errors are those of `request`."""
        return self.request(to, command=RpcCommand.PING, internal=True, now=now)

    def query(
        self,
        target: bytes,
        *,
        command: int,
        now: float,
        internal: bool = False,
        value: bytes | None = None,
        commit: CommitMaker | None = None,
        nodes: Iterable[SocketAddress] = (),
        concurrency: int = CONCURRENCY,
    ) -> Query:
        """Ask the nodes closest to a target. `QueryReplied` events follow, and then `QueryFinished`.

        The query begins with `nodes`, if the caller knows good ones. `commit` makes the request that each of
        the closest nodes gets at the end. Raises `ValueError` for a target that is not 32 bytes.
        """
        if len(target) != ID_SIZE:
            raise ValueError(f"target must be {ID_SIZE} bytes, not {len(target)}")
        options = QueryOptions(command, internal, value, commit, tuple(nodes), concurrency)
        return self.client.start_query(target, options, now)

    def find_node(self, target: bytes, now: float) -> Query:
        """Search for the nodes closest to a target. Events and errors are those of `query`."""
        return self.query(target, command=RpcCommand.FIND_NODE, internal=True, now=now)

    def cancel(self, asked: Query | PendingRequest) -> None:
        """Cancel a query or a request; no further event follows for it."""
        if isinstance(asked, Query):
            asked.cancel()
            self.client.queries.discard(asked)
        else:
            self.client.cancel(asked)

    def reply(
        self,
        received: RequestReceived,
        now: float,
        *,
        value: bytes | None = None,
        error: int = RpcErrorCode.NONE,
        token: bool = True,
        closer_nodes: bool = True,
    ) -> None:
        """Answer a request. By default, the answer has a fresh token and the nodes that we know near the
        target.
        """
        self.answer(
            received.request,
            received.source,
            now,
            value=value,
            error=error,
            token=token,
            closer_nodes=closer_nodes,
        )

    def relay(
        self, received: RequestReceived, to: SocketAddress, value: bytes, *, socket: int = Socket.MAIN
    ) -> None:
        """Pass a request on to another address with another value, under the asker's transaction id."""
        request = received.request
        passed_on = RpcRequest(
            request.tid, to, request.command, request.internal, self.id, None, request.target, value
        )
        self.send(to, encode_request(passed_on), socket)

    def reply_to(self, received: RequestReceived, to: SocketAddress, now: float, value: bytes) -> None:
        """Answer a request that another node has relayed. The response goes to the original asker."""
        self.answer(received.request, to, now, value=value)

    def become_persistent(self, address: SocketAddress) -> None:
        """Take the id that is derived from `address`, at which everyone can reach us."""
        self.id = node_id(address)
        self.upkeep.move_to(self.id)
        self.emit(BecamePersistent(self.id))

    def network_changed(self, now: float) -> None:
        """Learn our address from others again, and search for the nodes near us. `NetworkChanged` follows."""
        self.nat = NatSampler()
        if self.reachability is not None:
            self.reachability.start_over(now)
        self.upkeep.wake_up()
        self.look_around(now)
        self.emit(NetworkChanged())

    # For the parts of the node

    @property
    def upkeep_socket(self) -> Socket:
        """The socket that keeps the table fresh."""
        return Socket.MAIN if self.reachability is None else self.reachability.socket

    def become_ephemeral(self) -> None:
        """Give up our id, so that no node relies on us."""
        self.id = None
        self.emit(BecameEphemeral())

    def answer(
        self,
        request: RpcRequest,
        to: SocketAddress,
        now: float,
        *,
        value: bytes | None = None,
        error: int = RpcErrorCode.NONE,
        token: bool = False,
        closer_nodes: bool = False,
    ) -> None:
        """Send a response to an address."""
        closer = b""
        if closer_nodes and request.target is not None:
            closer = self.upkeep.table.encoded_near(request.target)
        fresh = self._tokens.make(to[0], now) if token else None
        self.send(to, encode_answer(request.tid, to, self.id, fresh, closer, error, value))

    def send(self, to: SocketAddress, datagram: bytes, socket: int = Socket.MAIN) -> None:
        """Queue a datagram that is not a request of ours."""
        self.output.setdefault(socket, []).append((to, datagram))

    def emit(self, event: DhtEvent) -> None:
        """Queue an event for the application."""
        self._events.append(event)

    def looked_around(self, query: Query) -> None:
        """Note that a query that refreshes the table has ended."""
        self._looking = False
        # If no node answers, the network is not there yet. The first node of a network is a network by
        # itself.
        if not self.bootstrapped and (query.successes or self.first):
            self.bootstrapped = True
            self.emit(Bootstrapped())
            self._take_id_from_address()
            if self.reachability is not None:
                self.reachability.begin()

    # Inside

    def _receive(self, datagram: bytes, source: SocketAddress, now: float, socket: int) -> None:
        try:
            if len(datagram) > self.limits.datagram:
                raise RemoteProtocolError(f"a datagram of {len(datagram)} bytes")
            message = decode_untrusted(datagram)
        except RemoteProtocolError:
            self.dropped += 1
            return
        id = message.id if message.id is not None and message.id == node_id(source) else None
        if isinstance(message, RpcRequest):
            self._take_request(message, source, id, now, socket)
            return
        pending = self.client.requests.asked(message.tid, source, socket)
        if pending is None:
            self.dropped += 1
            return
        # The answer to a request through another socket shows the address of that one.
        sample = pending.socket == Socket.MAIN
        self.sample(self.upkeep.heard_from(source, id, now, sample=sample), message.to, now)
        self.client.requests.answer(pending, message, now)

    def _take_request(
        self, request: RpcRequest, source: SocketAddress, id: bytes | None, now: float, socket: int
    ) -> None:
        # Only nodes that the probe has asked know it, and they have no reason to ask it anything.
        if socket == Socket.PROBE or not self.rates.allow(source[0], now):
            self.dropped += 1
            return
        if socket != Socket.MAIN:
            self._take_relayed(request, source, socket)
            return
        if request.token is not None and not self._tokens.recognize(request.token, source[0], now):
            self.answer(request, source, now, error=RpcErrorCode.INVALID_TOKEN, token=True, closer_nodes=True)
            return
        if id is not None:
            # An attacker can send requests with a false source, so only a node that gets no answers believes
            # them.
            learns = self._learns_from_askers
            wanted = self.upkeep.heard_from(source, id, now, sample=learns)
            self.sample(wanted, request.to, now)
        elif self._learns_from_askers:
            self._sample_asker(source, request.to, now)
        if request.internal:
            self.server.serve(request, source, now)
        else:
            self.emit(RequestReceived(request, source, id))

    def _take_relayed(self, request: RpcRequest, source: SocketAddress, socket: int) -> None:
        """Hand a request at a socket of the layer above to that layer; dht-rpc serves nobody there."""
        if request.internal:
            self.dropped += 1
        else:
            self.emit(RequestReceived(request, source, None, socket))

    def _sample_asker(self, source: SocketAddress, seen_at: SocketAddress, now: float) -> None:
        """Count the view of a remote without an id. The first node of a network gets no other views, and
        remotes can only announce there once it has an id. A host has one vote, however many ports it uses.

        Programs on our own host may use a loopback address, at which no other host can reach us.
        """
        host = ipaddress.IPv4Address(seen_at[0])
        if host.is_unspecified or host.is_multicast or not seen_at[1]:
            return
        known = self.nat.host
        if known is not None and host.is_loopback != ipaddress.IPv4Address(known).is_loopback:
            if host.is_loopback:
                return
            self.nat = NatSampler()
        self.sample(True, seen_at, now, source[0])

    def sample(self, wanted: bool, seen_at: SocketAddress, now: float, witness: str | None = None) -> None:
        """Take in a remote's view of our address, if it counts."""
        if not wanted:
            return
        before = self.nat.host, self.nat.port
        self.nat.add(seen_at, witness)
        if before == (self.nat.host, self.nat.port):
            return
        self.emit(AddressChanged(self.nat.host, self.nat.port))
        if self.reachability is not None and self.nat.host is not None:
            self.reachability.moved(self.nat.host, self.nat.port, now)
        if self.bootstrapped:
            self._take_id_from_address()

    def _take_id_from_address(self) -> None:
        """Become persistent, or move, once enough remotes agree on our address."""
        if self._wants_id and self.address is not None and self.id != node_id(self.address):
            self.become_persistent(self.address)
