"""Cases of requests, and of the budgets of memory that they share."""

from __future__ import annotations

import itertools

import attrs

from core.scaling.stage import Action, case
from peersockets_core import (
    DEFAULT_LIMITS,
    MemoryBudget,
    Message,
    RequestBook,
)
from peersockets_core.topics.envelope import Kind, encode
from peersockets_core.topics.requests import Answering, News


def book() -> RequestBook:
    ours = RequestBook(DEFAULT_LIMITS, itertools.count())
    ours.serving = True
    return ours


def said(ours: RequestBook, peer_id: int, kind: Kind, number: int, body: bytes | None = None) -> News | None:
    return ours.receive_untrusted(Message(peer_id, encode(kind, number, body), bytes(32)))


@case
def many_peers_are_asked_and_answer(size: int) -> Action:
    ours = book()

    def action() -> None:
        asked = [ours.ask(peer_id, ours.new_id(peer_id)) for peer_id in range(size)]
        for waiting in asked:
            said(ours, waiting.peer_id, Kind.REPLY, waiting.id, b"")
            waiting.result()
            ours.withdraw(waiting)

    return action


@case
def one_peer_is_asked_many_times_and_goes(size: int) -> Action:
    ours = book()

    def action() -> None:
        for _ in range(size):
            ours.ask(1, ours.new_id(1))
        assert len(ours.lose(1)) == size

    return action


@case
def many_peers_ask_and_cancel(size: int) -> Action:
    ours = book()

    def action() -> None:
        answering = [said(ours, peer_id, Kind.REQUEST, 1, b"") for peer_id in range(size)]
        for peer_id in range(size):
            said(ours, peer_id, Kind.CANCEL, 1)
        for request in answering:
            assert isinstance(request, Answering)
            ours.finish(request)

    return action


@case
def one_peer_asks_too_much(size: int) -> Action:
    ours = RequestBook(attrs.evolve(DEFAULT_LIMITS, peer_requests=4), itertools.count())
    ours.serving = True

    def action() -> None:
        for number in range(size):
            said(ours, 1, Kind.REQUEST, number, b"")

    return action


@case
def the_books_are_closed(size: int) -> Action:
    ours = book()
    for peer_id in range(size):
        ours.ask(peer_id, ours.new_id(peer_id))
        said(ours, peer_id, Kind.REQUEST, 1, b"")

    def action() -> None:
        ours.statistics()
        assert len(ours.peers) == size
        assert len(ours.close(ValueError)) == 2 * size

    return action


@case
def a_budget_is_charged_and_released(size: int) -> Action:
    budget: MemoryBudget[int] = MemoryBudget(10**9)

    def action() -> None:
        for holder in range(size):
            budget.charge(holder, 1)
        for holder in range(size):
            budget.release(holder)

    return action
