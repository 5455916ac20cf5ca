"""`Exchange`: sends the requests of a HyperDHT node's parts, and hands each part the answers to its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from ..address import SocketAddress
from ..errors import LocalProtocolError
from .rpc.events import Answered, QueryFinished, QueryReplied, TimedOut
from .rpc.messages import RpcResponse
from .rpc.node import DhtNode
from .rpc.query import Query, Reply
from .rpc.requests import PendingRequest

Event_contra = TypeVar("Event_contra", contravariant=True)


class Searcher(Protocol):
    """A part of the node that sends queries, and receives their results."""

    def replied(self, query: Query, reply: Reply, now: float) -> None:
        """Take in a node's answer to a query."""

    def finished(self, query: Query, now: float) -> None:
        """Take in the end of a query."""


class Requester(Protocol):
    """A part of the node that sends requests, and receives their results."""

    def answered(self, request: PendingRequest, response: RpcResponse, now: float) -> None:
        """Take in a node's answer to a request, which may be an error."""

    def timed_out(self, request: PendingRequest, now: float) -> None:
        """Note that a node has not answered a request."""


class Exchange(Generic[Event_contra]):
    """Sends the requests and queries of a node's parts, and hands each part the results of its own."""

    def __init__(self, node: DhtNode, report: Callable[[Event_contra], None]) -> None:
        self.node = node
        self.report = report
        """Called by a part with each event for the application."""
        self._searchers: dict[Query, Searcher] = {}
        self._requesters: dict[PendingRequest, Requester] = {}

    def request(
        self, requester: Requester, to: SocketAddress, now: float, **arguments: Any
    ) -> PendingRequest | None:
        """Ask one node, as `DhtNode.request` does; returns None if too many requests are unanswered."""
        try:
            request = self.node.request(to, now=now, **arguments)
        except LocalProtocolError:
            return None
        self._requesters[request] = requester
        return request

    def query(self, searcher: Searcher, target: bytes, now: float, **arguments: Any) -> Query:
        """Ask the nodes near a target, as `DhtNode.query` does."""
        query = self.node.query(target, now=now, **arguments)
        self._searchers[query] = searcher
        return query

    def cancel(self, asked: Query | PendingRequest) -> None:
        """Cancel a query or request; its owner receives nothing more about it."""
        owners: dict[Any, Any] = self._searchers if isinstance(asked, Query) else self._requesters
        if owners.pop(asked, None) is not None:
            self.node.cancel(asked)

    def dispatch(self, event: Answered | TimedOut | QueryReplied | QueryFinished, now: float) -> None:
        """Hand an event of the node to the part that it concerns."""
        match event:
            case QueryReplied(query, reply):
                if (searcher := self._searchers.get(query)) is not None:
                    searcher.replied(query, reply, now)
            case QueryFinished(query):
                if (searcher := self._searchers.pop(query, None)) is not None:
                    searcher.finished(query, now)
            case Answered(request, response):
                if (requester := self._requesters.pop(request, None)) is not None:
                    requester.answered(request, response, now)
            case _:
                if (requester := self._requesters.pop(event.request, None)) is not None:
                    requester.timed_out(event.request, now)
