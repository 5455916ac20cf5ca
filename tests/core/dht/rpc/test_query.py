"""The iterative query, against a host played by the test, and in networks in virtual time."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.dht.support import DhtNetwork, Member
from peersockets_core.address import SocketAddress
from peersockets_core.dht.rpc.address import distance, node_id
from peersockets_core.dht.rpc.events import QueryFinished, QueryReplied
from peersockets_core.dht.rpc.limits import DhtLimits
from peersockets_core.dht.rpc.messages import RpcRequest, RpcResponse
from peersockets_core.dht.rpc.query import (
    CAUTIOUS_CONCURRENCY,
    CONCURRENCY,
    Commit,
    CommitMaker,
    Query,
    QueryOptions,
    Reply,
)
from peersockets_core.dht.rpc.requests import PendingRequest, RequestOptions
from peersockets_core.dht.rpc.table import K

TARGET = bytes(32)


def at(number: int) -> SocketAddress:
    return f"10.1.{number >> 8}.{number & 255}", 7


@attrs.define(eq=False)
class PlayedHost:
    """A host whose table and answers are chosen by the test."""

    table: list[SocketAddress] = attrs.field(factory=list)
    bootstrap: list[SocketAddress] = attrs.field(factory=list)
    limits: DhtLimits = attrs.field(factory=DhtLimits)
    own: bytes = b""
    room: int = 10_000
    asked: list[PendingRequest] = attrs.field(factory=list)
    cancelled: list[PendingRequest] = attrs.field(factory=list)
    hints: list[tuple[SocketAddress, SocketAddress]] = attrs.field(factory=list)
    replies: list[Reply] = attrs.field(factory=list)
    ended: list[Query] = attrs.field(factory=list)

    def closest(self, target: bytes, count: int) -> list[SocketAddress]:
        return self.table[:count]

    def bootstrap_nodes(self) -> Iterable[SocketAddress]:
        return self.bootstrap

    def is_own(self, id: bytes) -> bool:
        return id == self.own

    def send(
        self, asker: Query, to: SocketAddress, options: RequestOptions, now: float
    ) -> PendingRequest | None:
        if len(self.asked) >= self.room:
            return None
        message = RpcRequest(len(self.asked), to, options.command, value=options.value, token=options.token)
        self.asked.append(PendingRequest(to, message, asker, options.retries, options.timeout, b""))
        return self.asked[-1]

    def cancel(self, request: PendingRequest) -> None:
        self.cancelled.append(request)

    def hint_down(self, to: SocketAddress, down: SocketAddress, now: float) -> None:
        self.hints.append((to, down))

    def replied(self, query: Query, reply: Reply) -> None:
        self.replies.append(reply)

    def finished(self, query: Query) -> None:
        self.ended.append(query)


def query(
    host: PlayedHost, *, nodes: Iterable[SocketAddress] = (), commit: CommitMaker | None = None
) -> Query:
    made = Query(host, TARGET, QueryOptions(3, value=b"v", commit=commit, nodes=tuple(nodes)))
    made.start(0.0)
    return made


def answer(
    asked: PendingRequest,
    *closer: SocketAddress,
    id: bytes | None = None,
    error: int = 0,
    token: bytes | None = b"t",
) -> None:
    own = node_id(asked.to) if id is None else id
    response = RpcResponse(asked.message.tid, ("10.0.0.1", 1), own, token, closer, error, b"value")
    asked.asker.answered(asked, response, 0.0)


def near_first(addresses: Iterable[SocketAddress]) -> list[SocketAddress]:
    return sorted(addresses, key=lambda address: distance(node_id(address), TARGET))


def test_a_query_without_nodes_ends_at_once() -> None:
    host = PlayedHost()
    made = query(host)
    assert made.finished
    assert host.ended == [made]


def test_it_asks_the_ten_nearest_nodes_at_a_time() -> None:
    addresses = near_first(map(at, range(30)))
    host = PlayedHost(table=addresses)
    query(host)
    assert [asked.to for asked in host.asked] == addresses[:CONCURRENCY]
    answer(host.asked[0])
    assert host.asked[-1].to == addresses[CONCURRENCY]


def test_it_asks_bootstrap_nodes_if_the_table_has_too_few() -> None:
    host = PlayedHost(table=[at(1)], bootstrap=[at(2), at(1)])
    query(host)
    assert {asked.to for asked in host.asked} == {at(1), at(2)}
    host = PlayedHost(table=[at(number) for number in range(K)], bootstrap=[at(99)])
    query(host)
    assert at(99) not in {asked.to for asked in host.asked}


def test_it_asks_nearer_nodes_and_ends_when_none_is_left() -> None:
    addresses = near_first(map(at, range(60)))
    host = PlayedHost(table=[addresses[59]])
    made = query(host)
    for number in reversed(range(59)):
        answer(host.asked[-1], addresses[number])
    answer(host.asked[-1], addresses[3])
    assert made.finished
    assert made.closest_nodes == addresses[:K]
    assert made.successes == 60
    assert len(host.replies) == 60


def test_it_skips_farther_nodes_once_twenty_have_answered() -> None:
    addresses = near_first(map(at, range(40)))
    host = PlayedHost(table=addresses[:K])
    made = query(host)
    for number in range(K - 1):
        answer(host.asked[number])
    answer(host.asked[K - 1], addresses[30])
    assert made.finished
    assert len(host.asked) == K


def test_it_never_visits_our_own_address_or_port_0() -> None:
    host = PlayedHost(table=[at(1)], own=node_id(at(2)))
    made = query(host)
    answer(host.asked[0], at(2), ("10.9.9.9", 0), at(1))
    assert made.finished
    assert len(host.asked) == 1


def test_only_replies_with_the_id_of_their_address_count_as_closest() -> None:
    host = PlayedHost(table=[at(1), at(2), at(3)])
    made = query(host)
    answer(host.asked[0], id=node_id(at(9)))
    answer(host.asked[1], error=1)
    answer(host.asked[2])
    assert made.closest_nodes == [host.asked[2].to]
    assert (made.successes, made.errors) == (2, 1)
    assert [reply.id for reply in host.replies] == [None, node_id(host.asked[2].to)]


def test_an_answer_with_an_error_still_names_nearer_nodes() -> None:
    host = PlayedHost(table=[at(1)])
    query(host)
    answer(host.asked[0], at(2), error=1)
    assert host.asked[1].to == at(2)


def test_a_slow_node_makes_room_for_another_request() -> None:
    addresses = near_first(map(at, range(K + 1)))
    host = PlayedHost(table=addresses[1:])
    made = query(host)
    slow = host.asked[0]
    made.slow(slow, 1.0)
    assert len(host.asked) == CONCURRENCY + 1
    answer(host.asked[1], addresses[0])
    for number in range(2, K + 1):
        assert not made.finished
        answer(host.asked[number])
    assert made.finished  # twenty nodes have answered, and only slow ones have not
    assert host.cancelled == [slow]


def test_a_node_that_does_not_answer_is_reported_to_those_that_named_it() -> None:
    host = PlayedHost(table=[at(1), at(2)])
    made = query(host)
    answer(host.asked[0], at(3))
    answer(host.asked[1], at(3))
    third = host.asked[2]
    third.asker.timed_out(third, 9.0)
    assert sorted(host.hints) == sorted([(host.asked[0].to, at(3)), (host.asked[1].to, at(3))])
    assert made.finished
    assert made.errors == 1


def test_a_node_known_to_be_down_is_reported_again() -> None:
    host = PlayedHost(table=[at(1), at(2)])
    query(host)
    answer(host.asked[0], at(3))
    third = host.asked[2]
    third.asker.timed_out(third, 9.0)
    answer(host.asked[1], at(3))
    assert host.hints[-1] == (host.asked[1].to, at(3))
    assert len(host.asked) == 3


def test_a_query_from_known_nodes_starts_with_few_requests() -> None:
    host = PlayedHost(table=[at(number) for number in range(50, 90)])
    made = query(host, nodes=[at(number) for number in range(K)])
    assert len(host.asked) == CONCURRENCY
    answer(host.asked[0])
    assert len(made.in_flight) >= CAUTIOUS_CONCURRENCY
    assert len(host.asked) == CONCURRENCY  # no more requests until the first nodes have answered
    for asked in host.asked[1:]:
        answer(asked)
    assert len(host.asked) > CONCURRENCY


def test_known_nodes_that_are_gone_are_replaced_from_the_table() -> None:
    host = PlayedHost(table=[at(90)])
    made = query(host, nodes=[at(number) for number in range(K)])
    while not made.finished and at(90) not in {asked.to for asked in host.asked}:
        pending = next(asked for asked in host.asked if asked in made.in_flight)
        pending.asker.timed_out(pending, 9.0)
    answer(host.asked[-1])
    assert made.finished
    assert made.closest_nodes == [at(90)]


def test_a_query_ends_though_nodes_without_end_are_named() -> None:
    host = PlayedHost(table=[at(0)], limits=DhtLimits(query_nodes=100))
    made = query(host)
    numbers = iter(range(1, 10_000))
    while not made.finished:
        asked = next(iter(made.in_flight))
        answer(asked, *(at(next(numbers)) for _ in range(20)), id=b"none")
    assert len(host.asked) <= 100


def test_a_node_named_by_many_remembers_only_twenty_of_them() -> None:
    host = PlayedHost(table=[at(number) for number in range(K)])
    made = query(host)
    far = near_first(map(at, range(200)))[0]
    for asked in list(host.asked):
        answer(asked, *[far] * 9, id=b"none")
    named_by = made.heard_of[far]
    assert isinstance(named_by, list)
    assert len(named_by) <= K


def test_too_many_requests_end_in_errors_and_not_in_a_hang() -> None:
    host = PlayedHost(table=[at(number) for number in range(K)], room=4)
    made = query(host)
    assert made.errors == K - 4
    for asked in host.asked[:4]:
        answer(asked)
    assert made.finished


def test_the_commit_goes_to_the_closest_nodes_with_their_tokens() -> None:
    def commit(reply: Reply) -> Commit | None:
        return None if reply.source == at(2) else Commit(4, reply.token, b"c")

    host = PlayedHost(table=[at(1), at(2), at(3), at(4)])
    made = query(host, commit=commit)
    for asked in host.asked[:4]:
        answer(asked, token=bytes(asked.to[0], "ascii"))
    assert not made.finished
    commits = host.asked[4:]
    assert {asked.to for asked in commits} == {at(1), at(3), at(4)}
    assert all(asked.message.token == bytes(asked.to[0], "ascii") for asked in commits)
    answer(commits[0])
    answer(commits[1], error=2)
    commits[2].asker.slow(commits[2], 1.0)
    assert not host.ended
    commits[2].asker.timed_out(commits[2], 4.0)
    assert host.ended == [made]
    assert [reply.source for reply in made.confirmed] == [commits[0].to]


def test_a_commit_without_receivers_ends_the_query() -> None:
    host = PlayedHost(table=[at(1)])
    made = query(host, commit=lambda reply: None)
    answer(host.asked[0])
    assert made.finished


def test_a_commit_without_room_for_requests() -> None:
    host = PlayedHost(table=[at(1)], room=1)
    made = query(host, commit=lambda reply: Commit(4, reply.token, b"c"))
    answer(host.asked[0])
    assert made.finished
    assert not made.confirmed


def test_cancelling() -> None:
    host = PlayedHost(table=[at(1), at(2)])
    made = query(host)
    made.cancel()
    assert made.finished
    assert host.cancelled == host.asked
    assert not host.ended


# In a network


def network(seed: object, size: int, **options: float) -> DhtNetwork:
    made = DhtNetwork(seed, **options)
    made.grow(made.add_rpc, size)
    made.network.run_for(600)
    return made


def find(made: DhtNetwork, member: Member, target: bytes) -> Query:
    search: Query = member.machine.find_node(target, made.now)
    made.until(lambda: search.finished)
    return search


def nearest(made: DhtNetwork, member: Member, target: bytes) -> list[SocketAddress]:
    others = [other.address for other in made.members if other is not member]
    return sorted(others, key=lambda address: distance(node_id(address), target))[:K]


@pytest.mark.parametrize("size", [3, 30, 80])
def test_it_finds_the_nearest_of_a_network(size: int) -> None:
    made = network(size, size)
    for number in range(8):
        target = node_id(made.address(1000 + number))
        member = made.members[number % size]
        search = find(made, member, target)
        assert search.closest_nodes == nearest(made, member, target)
        assert search.errors == 0
        events = [event for event in member.events if isinstance(event, QueryReplied | QueryFinished)]
        assert isinstance(events[-1], QueryFinished)
        assert len(events) == search.successes + 1
        member.events.clear()


@given(st.integers(0, 1 << 30))
@settings(max_examples=10)
def test_loss_costs_time_and_not_the_result(seed: int) -> None:
    made = network(f"loss {seed % 3}", 12, loss=0.2)
    target = Random(seed).randbytes(32)
    search = find(made, made.members[seed % 12], target)
    assert len(search.closest_nodes) >= 9
