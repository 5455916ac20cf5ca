"""The iterative query: ask the nodes nearest to a target, and the nearer ones that they name, until none is
nearer.

Source: dht-rpc 6.27.0, `lib/query.js`.
"""

from __future__ import annotations

import bisect
import enum
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import attrs

from .address import Address, distance, node_id
from .limits import DhtLimits
from .messages import ErrorCode, Response
from .requests import RETRIES, PendingRequest
from .table import K

CONCURRENCY: Final = 10
"""Requests of a query in flight at a time; one whose first timeout has passed no longer counts."""

BACKGROUND_CONCURRENCY: Final = 2
"""The same for a query that only freshens the table."""

CAUTIOUS_CONCURRENCY: Final = 3
"""The same until the first responses, where a query begins with nodes that an earlier one has found."""

QUERY_RETRIES: Final = 5


@attrs.frozen
class Reply:
    """One node's response to a query."""

    source: Address
    id: bytes | None
    """The node's id, where it has one and proves it by its address."""
    token: bytes | None
    value: bytes | None
    error: int
    to: Address
    """Our address as the node sees it."""


@attrs.frozen
class Commit:
    """The request that concludes a query at one of the closest nodes."""

    command: int
    token: bytes | None
    value: bytes | None


CommitMaker = Callable[[Reply], Commit | None]
"""Makes the concluding request for a node from its reply, or None where it should get none."""


class QueryState(enum.Enum):
    """Where a query stands."""

    VISITING = enum.auto()
    """It asks ever closer nodes."""
    COMMITTING = enum.auto()
    """It waits for the closest nodes to confirm what it has told them to keep."""
    FINISHED = enum.auto()


_NEXT: Final = {
    QueryState.VISITING: {QueryState.COMMITTING, QueryState.FINISHED},
    QueryState.COMMITTING: {QueryState.FINISHED},
    QueryState.FINISHED: set(),
}


class _Refs(enum.Enum):
    DONE = enum.auto()
    DOWN = enum.auto()


class Host(Protocol):
    """What a query asks of its node."""

    limits: DhtLimits

    def closest(self, target: bytes, count: int) -> list[Address]:
        """Return the nodes of the table nearest to a target, the nearest first."""
        ...

    def bootstrap_nodes(self) -> Iterable[Address]:
        """Return the nodes to begin with where the table has too few."""
        ...

    def is_own(self, id: bytes) -> bool:
        """Whether an id is our own."""
        ...

    def ask(
        self,
        query: Query,
        to: Address,
        *,
        command: int,
        internal: bool,
        target: bytes,
        value: bytes | None,
        token: bytes | None,
        retries: int,
        now: float,
    ) -> PendingRequest | None:
        """Send a request whose fate the query hears of; None where too many are unanswered."""

    def cancel(self, request: PendingRequest) -> None:
        """Forget a request."""

    def hint_down(self, to: Address, down: Address, now: float) -> None:
        """Report to a node that another one, which it has named, does not answer."""

    def replied(self, query: Query, reply: Reply) -> None:
        """A node has answered without an error."""

    def finished(self, query: Query) -> None:
        """The query has ended; its `closest_replies` and counters are final."""


class Query:
    """One query. Made by `DhtNode.query` and its siblings."""

    def __init__(
        self,
        host: Host,
        target: bytes,
        *,
        command: int,
        internal: bool,
        value: bytes | None,
        commit: CommitMaker | None,
        nodes: Iterable[Address],
        concurrency: int,
        background: bool,
    ) -> None:
        self.target = target
        self.command = command
        self.internal = internal
        self.background = background
        """Whether it is one of the node's own, of which the application hears nothing."""
        self.state = QueryState.VISITING
        self.closest_replies: list[Reply] = []
        """The replies without an error of the up to 20 nearest nodes that have an id, the nearest first."""
        self.successes = 0
        self.errors = 0
        """Nodes that did not answer, or with an error."""
        self.confirmed: list[Reply] = []
        """The replies of the nodes that have confirmed the concluding request."""
        self._host = host
        self._value = value
        self._commit = commit
        self._concurrency = concurrency
        self._distances: list[int] = []  # of the closest replies
        self._heard_of: dict[Address, list[Address] | _Refs] = {}
        """By node: the nodes that have named it, or how the visit has ended."""
        self._pending: list[tuple[int, Address]] = []  # by falling distance
        self._in_flight: dict[PendingRequest, bool] = {}
        """Requests without a response, and whether they are slow."""
        self._unanswered: dict[str, int] = {}
        """By host: its nodes that were asked and have not answered."""
        self._slow = 0
        self._cautious = False
        self._from_table = False
        for address in nodes:
            self._hear_of(address, None)

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        return self.state is QueryState.FINISHED

    @property
    def closest_nodes(self) -> list[Address]:
        """The nodes of `closest_replies`."""
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
        """End it; nothing more comes of it."""
        for request in self._in_flight:
            self._host.cancel(request)
        self._in_flight.clear()
        self._pending.clear()
        self.state = QueryState.FINISHED

    # The fate of its requests

    def answered(self, request: PendingRequest, response: Response, now: float) -> None:
        """A node has answered."""
        self._land(request)
        if self.state is QueryState.COMMITTING:
            if response.error == ErrorCode.NONE:
                self.confirmed += [reply for reply in self.closest_replies if reply.source == request.to]
            self._finish_commit()
            return
        source = request.to
        self._unanswered[source[0]] -= 1
        self._heard_of[source] = _Refs.DONE
        id = response.id if response.id == node_id(source) else None
        reply = Reply(source, id, response.token, response.value, response.error, response.to)
        if response.error == ErrorCode.NONE:
            self.successes += 1
            self._keep_if_close(reply)
        else:
            self.errors += 1
        heard_of = self._heard_of
        for address in response.closer_nodes:
            if heard_of.get(address) is _Refs.DONE:
                continue  # as are most, once the query is near its target
            if address[1] and not self._host.is_own(node_id(address)):
                self._hear_of(address, source, now)
        if self.successes + self.errors >= self._concurrency:
            self._cautious = False
        if response.error == ErrorCode.NONE:
            self._host.replied(self, reply)
        self._go_on(now)

    def slow(self, request: PendingRequest, now: float) -> None:
        """A node takes its time: others are asked meanwhile."""
        self._in_flight[request] = True
        self._slow += 1
        if self.state is QueryState.VISITING:
            self._go_on(now)

    def timed_out(self, request: PendingRequest, now: float) -> None:
        """A node does not answer."""
        self._land(request)
        if self.state is QueryState.COMMITTING:
            self._finish_commit()
            return
        self.errors += 1
        named_by = self._heard_of[request.to]
        self._heard_of[request.to] = _Refs.DOWN
        assert isinstance(named_by, list)
        for address in named_by:
            self._host.hint_down(address, request.to, now)
        self._go_on(now)

    def _land(self, request: PendingRequest) -> None:
        self._slow -= self._in_flight.pop(request)

    # Visiting

    def _hear_of(self, address: Address, source: Address | None, now: float = 0.0) -> None:
        """Note a node that is to be visited, unless it was already or is too far away."""
        known = self._heard_of.get(address)
        if known is _Refs.DOWN and source is not None:
            self._host.hint_down(source, address, now)
        elif isinstance(known, list) and source is not None and len(known) < K:
            known.append(source)
        if known is not None or len(self._heard_of) >= self._host.limits.query_nodes:
            return
        away = distance(node_id(address), self.target)
        if self._is_close(away):
            self._heard_of[address] = [] if source is None else [source]
            bisect.insort(self._pending, (away, address), key=lambda pending: -pending[0])

    def _hear_from_table(self) -> None:
        self._from_table = True
        for address in self._host.closest(self.target, K - len(self._pending)):
            self._hear_of(address, None)

    def _is_close(self, away: int) -> bool:
        """Whether a node at this distance may be one of the closest that are looked for."""
        return len(self._distances) < K or away < self._distances[-1]

    def _keep_if_close(self, reply: Reply) -> None:
        if reply.id is None:
            return
        away = distance(reply.id, self.target)
        if self._is_close(away):
            at = bisect.bisect(self._distances, away)
            self._distances.insert(at, away)
            self.closest_replies.insert(at, reply)
            del self._distances[K:], self.closest_replies[K:]

    def _go_on(self, now: float) -> None:
        """Visit as many nodes as may be visited at a time; conclude where none is left to wait for."""
        most = CAUTIOUS_CONCURRENCY if self._cautious else self._concurrency
        while self._pending and len(self._in_flight) - self._slow < most:
            away, address = self._pending.pop()
            unanswered = self._unanswered.get(address[0], 0)
            if self._is_close(away) and unanswered < self._host.limits.query_host_unanswered:
                self._unanswered[address[0]] = unanswered + 1
                self._ask(address, self.command, self._value, None, QUERY_RETRIES, now)
        if not self._from_table and not self.successes and not self.errors:
            self._cautious = True
        if self._pending:
            return
        if not self._in_flight or (self._slow == len(self._in_flight) and len(self._distances) >= K):
            if not self._from_table and self.successes < K / 4:
                self._hear_from_table()  # the nodes of an earlier query are gone
                self._go_on(now)
            else:
                self._conclude(now)

    def _ask(
        self, to: Address, command: int, value: bytes | None, token: bytes | None, retries: int, now: float
    ) -> None:
        request = self._host.ask(
            self,
            to,
            command=command,
            internal=self.internal,
            target=self.target,
            value=value,
            token=token,
            retries=retries,
            now=now,
        )
        if request is None:
            self.errors += 1
        else:
            self._in_flight[request] = False

    # Concluding

    def _conclude(self, now: float) -> None:
        for request in self._in_flight:
            self._host.cancel(request)
        self._in_flight.clear()
        self._slow = 0
        commits = []
        if self._commit is not None:
            made = [(reply, self._commit(reply)) for reply in self.closest_replies]
            commits = [(reply, commit) for reply, commit in made if commit is not None]
        if not commits:
            self._enter(QueryState.FINISHED)
            return
        self._enter(QueryState.COMMITTING)
        for reply, commit in commits:
            self._ask(reply.source, commit.command, commit.value, commit.token, RETRIES, now)
        self._finish_commit()

    def _finish_commit(self) -> None:
        if not self._in_flight:
            self._enter(QueryState.FINISHED)

    def _enter(self, state: QueryState) -> None:
        assert state in _NEXT[self.state]
        self.state = state
        if state is QueryState.FINISHED:
            self._host.finished(self)
