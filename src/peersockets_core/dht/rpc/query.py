"""`Query`: asks the nodes closest to a target, and then the closer ones that they name, until no closer
node is left.

Source: dht-rpc 6.27.0, `lib/query.js`.
"""

from __future__ import annotations

import bisect
import enum
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import attrs

from ...address import SocketAddress
from ...transitions import follow
from .address import node_id
from .limits import DhtLimits
from .messages import RpcErrorCode, RpcResponse
from .requests import RETRIES, PendingRequest, RequestOptions, Socket
from .table import K

CONCURRENCY: Final = 10
"""Requests of one query in flight. A request whose first timeout has passed no longer counts."""

BACKGROUND_CONCURRENCY: Final = 2
"""The same for a query that only refreshes the table."""

CAUTIOUS_CONCURRENCY: Final = 3
"""The same until the first responses, for a query that begins with nodes from an earlier query."""

QUERY_RETRIES: Final = 5


@attrs.frozen
class Reply:
    """One node's response to a query."""

    source: SocketAddress
    id: bytes | None
    """The node's id, if it has one that matches its address."""
    token: bytes | None
    value: bytes | None
    error: int
    to: SocketAddress
    """Our address as the node sees it."""


@attrs.frozen
class Commit:
    """The request that concludes a query at one of the closest nodes."""

    command: int
    token: bytes | None
    value: bytes | None


CommitMaker = Callable[[Reply], Commit | None]
"""Makes the concluding request for a node from its reply, or returns None if the node should get none."""


@attrs.frozen
class QueryOptions:
    """A query without its target."""

    command: int
    internal: bool = False
    """Whether `command` is one of dht-rpc's own."""
    value: bytes | None = None
    commit: CommitMaker | None = None
    nodes: tuple[SocketAddress, ...] = ()
    """The nodes to begin with, if the caller knows good ones."""
    concurrency: int = CONCURRENCY
    background: bool = False
    """Whether it is a query of the node itself, which causes no events."""


class QueryState(enum.Enum):
    """The state of a query."""

    VISITING = "visiting nodes"
    """The query asks closer and closer nodes."""
    COMMITTING = "committing"
    """The query waits for the closest nodes to confirm the concluding request."""
    FINISHED = "finished"


class QuerySignal(enum.Enum):
    """An occurrence that changes the state."""

    COMMIT = "commit"
    FINISH = "finish"
    CANCEL = "cancel"


TRANSITIONS: Final[dict[QueryState, dict[QuerySignal, QueryState]]] = {
    QueryState.VISITING: {
        QuerySignal.COMMIT: QueryState.COMMITTING,
        QuerySignal.FINISH: QueryState.FINISHED,
        QuerySignal.CANCEL: QueryState.FINISHED,
    },
    QueryState.COMMITTING: {
        QuerySignal.FINISH: QueryState.FINISHED,
        QuerySignal.CANCEL: QueryState.FINISHED,
    },
    QueryState.FINISHED: {QuerySignal.CANCEL: QueryState.FINISHED},
}
"""Every legal transition."""


class _Refs(enum.Enum):
    DONE = enum.auto()
    DOWN = enum.auto()


class QueryHost(Protocol):
    """The interface between a query and its node."""

    limits: DhtLimits

    def closest(self, target: bytes, count: int) -> list[SocketAddress]:
        """Return the nodes of the table closest to a target, closest first."""
        ...

    def bootstrap_nodes(self) -> Iterable[SocketAddress]:
        """Return the nodes to begin with if the table has too few."""
        ...

    def is_own(self, id: bytes) -> bool:
        """Return whether an id is our own."""
        ...

    def send(
        self, asker: Query, to: SocketAddress, options: RequestOptions, now: float
    ) -> PendingRequest | None:
        """Send a request and hand its result to the query; returns None if too many requests are
        unanswered.
        """

    def cancel(self, request: PendingRequest) -> None:
        """Forget a request."""

    def hint_down(self, to: SocketAddress, down: SocketAddress, now: float) -> None:
        """Report to a node that another node, which it has named, does not answer."""

    def replied(self, query: Query, reply: Reply) -> None:
        """Take in a node's answer without an error."""

    def finished(self, query: Query) -> None:
        """Take in the end of the query; its `closest_replies` and counters are final."""


class Query:
    """One query, made by `DhtNode.query` and its siblings."""

    def __init__(self, host: QueryHost, target: bytes, options: QueryOptions) -> None:
        self.target = target
        self._target = int.from_bytes(target)
        self.options = options
        self.state = QueryState.VISITING
        self.closest_replies: list[Reply] = []
        """The replies without an error of the closest nodes that have an id: up to 20, closest first."""
        self.successes = 0
        self.errors = 0
        """The number of nodes that did not answer, or answered with an error."""
        self.confirmed: list[Reply] = []
        """The earlier replies of the nodes that have confirmed the concluding request."""
        self._host = host
        self._visit = RequestOptions(
            options.command,
            options.internal,
            target,
            options.value,
            retries=QUERY_RETRIES,
            socket=None if options.background else Socket.MAIN,
        )
        self._distances: list[int] = []  # of the closest replies
        self.heard_of: dict[SocketAddress, list[SocketAddress] | _Refs] = {}
        """For each node: the nodes that have named it, or the result of the visit."""
        self._pending: list[tuple[int, SocketAddress]] = []
        """The nodes to visit, each with its negative distance, closest last."""
        self.in_flight: dict[PendingRequest, bool] = {}
        """The requests without a response, and whether each is slow."""
        self._unanswered: dict[str, int] = {}
        """For each host: the number of its nodes that were asked and have not answered."""
        self._slow = 0
        self._cautious = False
        self._from_table = False
        for address in options.nodes:
            self._hear_of(address, None)

    @property
    def finished(self) -> bool:
        """Whether the query has ended."""
        return self.state is QueryState.FINISHED

    @property
    def closest_nodes(self) -> list[SocketAddress]:
        """The addresses of the nodes in `closest_replies`."""
        return [reply.source for reply in self.closest_replies]

    def start(self, now: float) -> None:
        """Send the first requests."""
        if len(self._pending) < K:
            self._hear_from_table()
        if len(self._pending) < K:
            for address in self._host.bootstrap_nodes():
                self._hear_of(address, None)
        self._go_on(now)

    def cancel(self) -> None:
        """End the query without further results."""
        for request in self.in_flight:
            self._host.cancel(request)
        self.in_flight.clear()
        self._pending.clear()
        self._signal(QuerySignal.CANCEL)

    # The results of its requests

    def answered(self, request: PendingRequest, response: RpcResponse, now: float) -> None:
        """Take in a node's answer."""
        self._land(request)
        if self.state is QueryState.COMMITTING:
            if response.error == RpcErrorCode.NONE:
                self.confirmed += [reply for reply in self.closest_replies if reply.source == request.to]
            self._finish_commit()
            return
        source = request.to
        self._unanswered[source[0]] -= 1
        self.heard_of[source] = _Refs.DONE
        id = response.id if response.id == node_id(source) else None
        reply = Reply(source, id, response.token, response.value, response.error, response.to)
        if response.error == RpcErrorCode.NONE:
            self.successes += 1
            self._keep_if_close(reply)
        else:
            self.errors += 1
        heard_of = self.heard_of
        for address in response.closer_nodes:
            known = heard_of.get(address)
            if known is _Refs.DONE:
                pass  # true of most nodes once the query is near its target
            elif known is None:
                if address[1] and not self._host.is_own(node_id(address)):
                    self._hear_of(address, source)
            elif known is _Refs.DOWN:
                self._host.hint_down(source, address, now)
            elif len(known) < K:
                known.append(source)
        if self.successes + self.errors >= self.options.concurrency:
            self._cautious = False
        if response.error == RpcErrorCode.NONE:
            self._host.replied(self, reply)
        self._go_on(now)

    def slow(self, request: PendingRequest, now: float) -> None:
        """Ask other nodes while a slow one does not answer."""
        self.in_flight[request] = True
        self._slow += 1
        if self.state is QueryState.VISITING:
            self._go_on(now)

    def timed_out(self, request: PendingRequest, now: float) -> None:
        """Note that a node does not answer."""
        self._land(request)
        if self.state is QueryState.COMMITTING:
            self._finish_commit()
            return
        self.errors += 1
        named_by = self.heard_of[request.to]
        self.heard_of[request.to] = _Refs.DOWN
        assert isinstance(named_by, list)
        for address in named_by:
            self._host.hint_down(address, request.to, now)
        self._go_on(now)

    def _land(self, request: PendingRequest) -> None:
        self._slow -= self.in_flight.pop(request)

    # Visiting

    def _hear_of(self, address: SocketAddress, source: SocketAddress | None) -> None:
        """Note a node to visit, unless it is already known or is too far away."""
        if address in self.heard_of or len(self.heard_of) >= self._host.limits.query_nodes:
            return
        away = int.from_bytes(node_id(address)) ^ self._target
        if self._is_close(away):
            self.heard_of[address] = [] if source is None else [source]
            bisect.insort(self._pending, (-away, address))

    def _hear_from_table(self) -> None:
        self._from_table = True
        for address in self._host.closest(self.target, K - len(self._pending)):
            self._hear_of(address, None)

    def _is_close(self, away: int) -> bool:
        """Return whether a node at this distance may be one of the closest ones."""
        return len(self._distances) < K or away < self._distances[-1]

    def _keep_if_close(self, reply: Reply) -> None:
        if reply.id is None:
            return
        away = int.from_bytes(reply.id) ^ self._target
        if self._is_close(away):
            at = bisect.bisect(self._distances, away)
            self._distances.insert(at, away)
            self.closest_replies.insert(at, reply)
            del self._distances[K:], self.closest_replies[K:]

    def _go_on(self, now: float) -> None:
        """Visit as many nodes as may be visited at once; conclude if none is left to wait for."""
        most = CAUTIOUS_CONCURRENCY if self._cautious else self.options.concurrency
        while self._pending and len(self.in_flight) - self._slow < most:
            nearness, address = self._pending.pop()
            unanswered = self._unanswered.get(address[0], 0)
            if self._is_close(-nearness) and unanswered < self._host.limits.query_host_unanswered:
                self._unanswered[address[0]] = unanswered + 1
                self._ask(address, self._visit, now)
        if not self._from_table and not self.successes and not self.errors:
            self._cautious = True
        if self._pending:
            return
        if not self.in_flight or (self._slow == len(self.in_flight) and len(self._distances) >= K):
            if not self._from_table and self.successes < K / 4:
                self._hear_from_table()  # the nodes of an earlier query are gone
                self._go_on(now)
            else:
                self._conclude(now)

    def _ask(self, to: SocketAddress, options: RequestOptions, now: float) -> None:
        request = self._host.send(self, to, options, now)
        if request is None:
            self.errors += 1
        else:
            self.in_flight[request] = False

    # Concluding

    def _conclude(self, now: float) -> None:
        for request in self.in_flight:
            self._host.cancel(request)
        self.in_flight.clear()
        self._slow = 0
        commits = []
        if self.options.commit is not None:
            made = [(reply, self.options.commit(reply)) for reply in self.closest_replies]
            commits = [(reply, commit) for reply, commit in made if commit is not None]
        if not commits:
            self._finish()
            return
        self._signal(QuerySignal.COMMIT)
        for reply, commit in commits:
            concluding = attrs.evolve(
                self._visit,
                command=commit.command,
                value=commit.value,
                token=commit.token,
                retries=RETRIES,
            )
            self._ask(reply.source, concluding, now)
        self._finish_commit()

    def _finish_commit(self) -> None:
        if not self.in_flight:
            self._finish()

    def _finish(self) -> None:
        self._signal(QuerySignal.FINISH)
        self._host.finished(self)

    def _signal(self, signal: QuerySignal) -> None:
        self.state = follow(TRANSITIONS, self.state, signal, "query")
