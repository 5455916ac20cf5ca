"""Passing each answer to the part that asked."""

from __future__ import annotations

from typing import Any

from core.dht.support import entropy, requests_of
from peersockets_core.dht.exchange import Exchange
from peersockets_core.dht.rpc.events import Answered, QueryFinished, QueryReplied, TimedOut
from peersockets_core.dht.rpc.limits import DhtLimits
from peersockets_core.dht.rpc.messages import RpcResponse
from peersockets_core.dht.rpc.node import DhtNode
from peersockets_core.dht.rpc.query import Reply

THERE = ("10.0.0.2", 2)
RESPONSE = RpcResponse(1, THERE)
REPLY = Reply(THERE, None, None, None, 0, THERE)


class Part:
    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def replied(self, query: Any, reply: Any, now: float) -> None:
        self.heard.append(("replied", query))

    def finished(self, query: Any, now: float) -> None:
        self.heard.append(("finished", query))

    def answered(self, request: Any, response: Any, now: float) -> None:
        self.heard.append(("answered", request))

    def timed_out(self, request: Any, now: float) -> None:
        self.heard.append(("timed out", request))


def exchange(**limits: int) -> Exchange[object]:
    node = DhtNode(entropy=entropy(1), now=0.0, bootstrap=[THERE], limits=DhtLimits(**limits))
    events: list[object] = []
    return Exchange(node, events.append)


def test_each_part_gets_the_events_of_its_own_requests() -> None:
    made, alice, bob = exchange(), Part(), Part()
    first = made.request(alice, THERE, 0.0, command=3)
    second = made.request(bob, THERE, 0.0, command=3)
    query = made.query(bob, bytes(32), 0.0, command=3)
    assert first is not None
    assert second is not None
    for event in (
        Answered(first, RESPONSE),
        QueryReplied(query, REPLY),
        QueryFinished(query),
        TimedOut(second),
    ):
        made.dispatch(event, 0.0)
    # The end comes once, and nothing follows it.
    for event in (
        Answered(first, RESPONSE),
        QueryReplied(query, REPLY),
        QueryFinished(query),
        TimedOut(second),
    ):
        made.dispatch(event, 0.0)
    assert alice.heard == [("answered", first)]
    assert bob.heard == [("replied", query), ("finished", query), ("timed out", second)]


def test_a_part_that_has_cancelled_gets_nothing() -> None:
    made, alice = exchange(), Part()
    request = made.request(alice, THERE, 0.0, command=3)
    query = made.query(alice, bytes(32), 0.0, command=3)
    assert request is not None
    for asked in (request, query, request, query):
        made.cancel(asked)
    for event in (Answered(request, RESPONSE), QueryReplied(query, REPLY), QueryFinished(query)):
        made.dispatch(event, 0.0)
    assert not alice.heard
    assert query.finished


def test_without_room_there_is_no_request() -> None:
    made = exchange(requests=1)
    requests_of(made.node, 0.0)
    assert made.request(Part(), THERE, 0.0, command=3) is None
