"""`Client`: sends a node's requests, which come from the application, from dht-rpc itself and from queries.

Source: dht-rpc 6.27.0, `index.js` (`_request`, `_backgroundQuery`) and `lib/query.js` (down hints).
"""

from __future__ import annotations

from typing import Final, Protocol

from ...address import SocketAddress
from ...keys import Entropy
from .address import encode_address
from .events import Answered, DhtEvent, QueryFinished, QueryReplied, TimedOut
from .limits import DhtLimits
from .messages import RpcCommand, RpcRequest, RpcResponse
from .query import BACKGROUND_CONCURRENCY, Query, QueryOptions, Reply
from .requests import Asker, PendingRequest, RequestOptions, Requests, Socket
from .table import RoutingTable

_BACKGROUND: Final = QueryOptions(
    RpcCommand.FIND_NODE, internal=True, concurrency=BACKGROUND_CONCURRENCY, background=True
)


class Nodes(Protocol):
    """The part of a node that keeps its routing table."""

    table: RoutingTable

    def unreachable(self, address: SocketAddress) -> None:
        """Note that a node does not answer."""


class ClientHost(Protocol):
    """The attributes and methods of its node that a client uses."""

    limits: DhtLimits
    id: bytes | None
    bootstrap: tuple[SocketAddress, ...]

    @property
    def upkeep(self) -> Nodes:
        """The routing table, and its housekeeping."""
        ...

    @property
    def upkeep_socket(self) -> Socket:
        """The socket that keeps the table fresh."""
        ...

    def emit(self, event: DhtEvent) -> None:
        """Report an event to the application."""

    def looked_around(self, query: Query) -> None:
        """Note that a query that refreshes the table has ended."""


class Client:
    """Sends the requests of one node. It is the `QueryHost` of the node's queries, and the `Asker` of the
    application's requests.
    """

    def __init__(self, node: ClientHost, entropy: Entropy, now: float) -> None:
        self.limits = node.limits
        self.requests = Requests(entropy, node.limits, now, lambda to: node.upkeep.unreachable(to))
        self.queries: set[Query] = set()
        self.hints_sent = 0
        """The number of down hints sent since the last tick."""
        self._node = node

    def send(
        self,
        asker: Asker,
        to: SocketAddress,
        options: RequestOptions,
        now: float,
    ) -> PendingRequest | None:
        """Send a request; returns None if too many are unanswered."""
        if self.requests.full:
            return None
        tid = self.requests.new_tid(to)
        message = RpcRequest(
            tid,
            to,
            options.command,
            options.internal,
            self._node.id,
            options.token,
            options.target,
            options.value,
        )
        socket = self._node.upkeep_socket if options.socket is None else options.socket
        return self.requests.add(message, asker, options, socket, now)

    def send_own(
        self, asker: Asker, to: SocketAddress, command: RpcCommand, now: float, value: bytes | None = None
    ) -> PendingRequest | None:
        """Send a request of dht-rpc itself, as `send` does."""
        return self.send(asker, to, RequestOptions(command, internal=True, value=value), now)

    def start_query(self, target: bytes, options: QueryOptions, now: float) -> Query:
        """Start a query; events report its results to the application, unless it runs in the background."""
        query = Query(self, target, options)
        self.queries.add(query)
        query.start(now)
        return query

    def start_background_query(self, target: bytes, now: float) -> Query:
        """Refresh the table with a query that causes no events."""
        return self.start_query(target, _BACKGROUND, now)

    # The methods of `query.QueryHost`

    def closest(self, target: bytes, count: int) -> list[SocketAddress]:
        """Return the addresses of the `count` nodes in the table closest to a target."""
        return [contact.address for contact in self._node.upkeep.table.closest(target, count)]

    def bootstrap_nodes(self) -> tuple[SocketAddress, ...]:
        """Return the bootstrap nodes."""
        return self._node.bootstrap

    def is_own(self, id: bytes) -> bool:
        """Return whether an id is our own."""
        return id == self._node.upkeep.table.own_id

    def cancel(self, request: PendingRequest) -> None:
        """Forget a request."""
        self.requests.cancel(request)

    def hint_down(self, to: SocketAddress, down: SocketAddress, now: float) -> None:
        """Report a node that does not answer to the node that named it. The number of such reports
        per tick is bounded.
        """
        if self.hints_sent < self.limits.down_hints:
            self.hints_sent += 1
            self.send_own(_NOBODY, to, RpcCommand.DOWN_HINT, now, encode_address(down))

    def replied(self, query: Query, reply: Reply) -> None:
        """Report a node's answer to a query."""
        if not query.options.background:
            self._node.emit(QueryReplied(query, reply))

    def finished(self, query: Query) -> None:
        """Report the end of a query."""
        self.queries.discard(query)
        if query.options.background:
            self._node.looked_around(query)
        else:
            self._node.emit(QueryFinished(query))

    # The methods of `requests.Asker`, for the application's requests

    def answered(self, request: PendingRequest, response: RpcResponse, now: float) -> None:
        """Report the answer to a request of the application."""
        self._node.emit(Answered(request, response))

    def slow(self, request: PendingRequest, now: float) -> None:
        """Ignore that a request of the application is sent again."""

    def timed_out(self, request: PendingRequest, now: float) -> None:
        """Report that a request of the application was not answered."""
        self._node.emit(TimedOut(request))


class _Nobody:
    """The asker of requests whose results do not matter."""

    def answered(self, request: PendingRequest, response: RpcResponse, now: float) -> None: ...

    def slow(self, request: PendingRequest, now: float) -> None: ...

    def timed_out(self, request: PendingRequest, now: float) -> None: ...


_NOBODY: Final = _Nobody()
