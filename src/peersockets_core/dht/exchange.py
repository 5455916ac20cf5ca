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


class Party(Protocol):
    """A part of the node that sends requests and queries, and receives their results."""

    def replied(self, query: Query, reply: Reply, now: float) -> None:
        """Take in a node's answer to a query."""

    def finished(self, query: Query, now: float) -> None:
        """Take in the end of a query."""

    def answered(self, request: PendingRequest, response: RpcResponse, now: float) -> None:
        """Take in a node's answer to a request, which may be an error."""

    def timed_out(self, request: PendingRequest, now: float) -> None:
        """Note that a node has not answered a request."""


class Exchange(Generic[Event_contra]):
    """Sends the requests and queries of parties, and hands each party the results of its own."""

    def __init__(self, node: DhtNode, report: Callable[[Event_contra], None]) -> None:
        self.node = node
        self.report = report
        """Called by a party with each event for the application."""
        self._parties: dict[Query | PendingRequest, Party] = {}

    def request(self, party: Party, to: SocketAddress, now: float, **arguments: Any) -> PendingRequest | None:
        """Ask one node, as `DhtNode.request` does; returns None if too many requests are unanswered."""
        try:
            request = self.node.request(to, now=now, **arguments)
        except LocalProtocolError:
            return None
        self._parties[request] = party
        return request

    def query(self, party: Party, target: bytes, now: float, **arguments: Any) -> Query:
        """Ask the nodes near a target, as `DhtNode.query` does."""
        query = self.node.query(target, now=now, **arguments)
        self._parties[query] = party
        return query

    def cancel(self, asked: Query | PendingRequest) -> None:
        """Cancel a query or request; its party receives nothing more about it."""
        if self._parties.pop(asked, None) is not None:
            self.node.cancel(asked)

    def dispatch(self, event: Answered | TimedOut | QueryReplied | QueryFinished, now: float) -> None:
        """Hand an event of the node to the party that it concerns."""
        match event:
            case QueryReplied(query, reply):
                party = self._parties.get(query)
                if party is not None:
                    party.replied(query, reply, now)
            case QueryFinished(query):
                party = self._parties.pop(query, None)
                if party is not None:
                    party.finished(query, now)
            case Answered(request, response):
                party = self._parties.pop(request, None)
                if party is not None:
                    party.answered(request, response, now)
            case _:
                party = self._parties.pop(event.request, None)
                if party is not None:
                    party.timed_out(event.request, now)
