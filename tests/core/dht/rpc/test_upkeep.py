"""The housekeeping of a routing table, tick by tick."""

from __future__ import annotations

from typing import Any

from core.dht.support import DhtNetwork, entropy, requests_of
from peersockets_core.address import SocketAddress
from peersockets_core.dht.rpc.address import node_id
from peersockets_core.dht.rpc.limits import DhtLimits
from peersockets_core.dht.rpc.messages import RpcCommand, RpcRequest, RpcResponse, encode_response
from peersockets_core.dht.rpc.node import DhtNode
from peersockets_core.dht.rpc.table import K
from peersockets_core.dht.rpc.upkeep import TICK

OURS = ("10.0.0.1", 1000)


def at(number: int) -> SocketAddress:
    return f"10.1.{number >> 8}.{number & 255}", 5


def node(**options: Any) -> DhtNode:
    made = DhtNode(**{"entropy": entropy(1), "now": 0.0, "address": OURS, "persistent": True, **options})
    made.handle_deadline(0.0)
    requests_of(made, 0.0)
    return made


def know(made: DhtNode, *addresses: SocketAddress, now: float = 0.0) -> None:
    for address in addresses:
        made.upkeep.heard_from(address, node_id(address), now)


def tick(made: DhtNode, count: int = 1) -> float:
    """Let ticks pass. Return the time."""
    for _ in range(count):
        now = made.upkeep.next_tick
        made.handle_deadline(now)
    return now


def answer(made: DhtNode, request: RpcRequest, now: float, *, id: bytes | None = None) -> None:
    own = node_id(request.to) if id is None else (id or None)
    made.receive_datagrams(encode_response(RpcResponse(request.tid, OURS, own)), 1500, request.to, now)


def pings(made: DhtNode, now: float) -> list[RpcRequest]:
    return [request for _, request in requests_of(made, now) if request.command == RpcCommand.PING]


def same_row(made: DhtNode, count: int) -> list[SocketAddress]:
    """Return addresses whose ids share no bit with ours. They belong in the first row."""
    first = made.upkeep.table.own_id[0] & 0x80
    return [at(number) for number in range(4000) if node_id(at(number))[0] & 0x80 != first][:count]


def test_a_node_that_sends_something_is_known() -> None:
    made = node()
    know(made, at(1), at(2), at(1))
    assert {contact.address for contact in made.upkeep.table} == {at(1), at(2)}


def test_our_own_id_is_never_in_the_table() -> None:
    made = node()
    know(made, OURS)
    assert len(made.upkeep.table) == 0


def test_the_oldest_nodes_are_pinged_every_eight_ticks() -> None:
    made = node()
    know(made, *map(at, range(9)))
    now = tick(made, 7)
    assert not pings(made, now)
    now = tick(made)
    asked = pings(made, now)
    assert [request.to for request in asked] == [
        at(0),
        at(1),
    ]  # only two: the others were heard from recently
    answer(made, asked[0], now + 0.1)
    assert made.upkeep.table.get(node_id(at(0))) is not None


def test_long_silent_nodes_are_pinged_five_at_a_time() -> None:
    made = node()
    know(made, *map(at, range(9)))
    for _ in range(2):
        now = tick(made, 8)
        for request in pings(made, now):
            answer(made, request, now)
    now = tick(made, 8)
    assert len(pings(made, now)) == 5


def test_a_node_that_does_not_answer_leaves_the_table() -> None:
    made = node()
    know(made, at(1))
    now = tick(made, 8)
    for _ in range(5):
        requests_of(made, now)
        now = made.next_deadline()
        made.handle_deadline(now)
    assert len(made.upkeep.table) == 0
    assert made.client.requests.timeouts == 1


def test_a_node_that_answers_without_its_id_leaves_the_table() -> None:
    made = node()
    know(made, at(1))
    now = tick(made, 8)
    (request,) = pings(made, now)
    answer(made, request, now, id=b"")
    assert len(made.upkeep.table) == 0


def test_a_node_that_knows_nobody_looks_around_again() -> None:
    made = DhtNode(entropy=entropy(1), now=0.0, bootstrap=[at(1)], address=OURS, persistent=True)
    ((_, request),) = requests_of(made, 0.0)
    answer(made, request, 0.1, id=b"")
    now = tick(made, 8)
    assert [request.command for _, request in requests_of(made, now)] == [RpcCommand.FIND_NODE]


def test_the_table_is_freshened_every_five_minutes() -> None:
    made = node()
    know(made, *map(at, range(30)))
    lookups = []
    for _ in range(130):
        now = tick(made)
        for _, request in requests_of(made, now):
            answer(made, request, now)
            if request.command == RpcCommand.FIND_NODE:
                lookups.append((round(now / TICK), request.target))
    begun = {time: target for time, target in reversed(lookups) if time - 1 not in dict(lookups)}
    # The target is near our own id, and near a node heard from recently, in turn.
    assert sorted(begun) == [60, 120]
    assert begun[60] == made.id != begun[120]


def test_a_newcomer_takes_the_place_of_the_oldest_node_of_a_full_row_if_that_is_gone() -> None:
    made = node()
    *old, newcomer, another = same_row(made, K + 2)
    know(made, *old)
    now = tick(made)
    requests_of(made, now)
    know(made, newcomer, now=now)
    (ping,) = pings(made, now)
    assert ping.to == old[0]
    answer(made, ping, now)
    assert made.upkeep.table.get(node_id(newcomer)) is None
    now = tick(made)
    know(made, another, now=now)
    (ping,) = pings(made, now)
    answer(made, ping, now, id=b"")
    assert made.upkeep.table.get(node_id(another)) is not None
    assert made.upkeep.table.get(node_id(ping.to)) is None


def test_a_newcomer_takes_the_place_of_a_node_that_does_not_answer() -> None:
    made = node()
    *old, newcomer = same_row(made, K + 1)
    know(made, *old)
    now = tick(made)
    know(made, newcomer, now=now)
    for _ in range(6):
        requests_of(made, now)
        now = made.next_deadline()
        made.handle_deadline(now)
    assert made.upkeep.table.get(node_id(newcomer)) is not None
    assert len(made.upkeep.table) == K


def test_swaps_in_progress_are_bounded_and_spare_recently_pinged_nodes() -> None:
    made = node(limits=DhtLimits(repings=1))
    *old, first, second = same_row(made, K + 2)
    know(made, *old)
    know(made, first)
    assert not pings(made, 0.0)  # all were heard from in this tick
    now = tick(made)
    know(made, first, second, now=now)
    assert len(pings(made, now)) == 1


def test_a_row_of_old_nodes_has_no_place_for_a_newcomer() -> None:
    made = node()
    *old, newcomer = same_row(made, K + 1)
    know(made, *old)
    for _ in range(400):
        now = tick(made)
        for _, request in requests_of(made, now):
            answer(made, request, now)
    know(made, *old, now=now)
    now = tick(made)
    requests_of(made, now)
    know(made, newcomer, now=now)
    assert not pings(made, now)


def test_no_node_is_swapped_before_the_first_search_has_ended() -> None:
    made = DhtNode(entropy=entropy(1), now=0.0, bootstrap=[at(3999)], address=OURS, persistent=True)
    *old, newcomer = same_row(made, K + 1)
    know(made, *old)
    tick(made)
    know(made, newcomer)
    assert not pings(made, 5.0)


def test_down_hints_are_checked_once_and_within_a_bound() -> None:
    made = node(limits=DhtLimits(checks=2))
    know(made, *map(at, range(5)))
    for number in (0, 0, 1, 2, 3):
        made.upkeep.check_hinted(at(number), 0.0)
    made.upkeep.check_hinted(at(99), 0.0)
    assert [request.to for request in pings(made, 0.0)] == [at(0), at(1)]


def test_checks_need_room_among_the_requests() -> None:
    made = node(limits=DhtLimits(requests=1))
    know(made, at(1), at(2))
    made.upkeep.check_hinted(at(1), 0.0)
    made.upkeep.check_hinted(at(2), 0.0)
    assert len(pings(made, 0.0)) == 1
    *old, newcomer = same_row(made, K + 1)
    know(made, *old)
    now = made.upkeep.next_tick
    made.upkeep.ticks += 1
    know(made, newcomer, now=now)
    assert made.upkeep.repings == 0


def test_after_a_sleep_all_nodes_are_old() -> None:
    made = node()
    know(made, *map(at, range(3)))
    tick(made)
    made.handle_deadline(made.upkeep.next_tick + 3600)
    now = made.upkeep.last_tick
    assert any(request.command == RpcCommand.FIND_NODE for _, request in requests_of(made, now))
    now = tick(made, 2)
    assert len(pings(made, now)) >= 3


def test_an_address_counts_once_in_half_an_hour() -> None:
    made = node()
    assert made.upkeep.heard_from(at(1), node_id(at(1)), 0.0)
    assert not made.upkeep.heard_from(at(1), node_id(at(1)), 1.0)
    made.upkeep.ticks += 360
    assert made.upkeep.heard_from(at(1), node_id(at(1)), 1800.0)


def test_nodes_without_an_id_count_only_if_they_are_bootstrap_nodes() -> None:
    made = node()
    assert made.upkeep.heard_from(at(1), None, 0.0)
    assert not made.upkeep.heard_from(at(1), None, 0.0)
    assert not made.upkeep.heard_from(at(2), None, 0.0)
    assert len(made.upkeep.table) == 0


def test_a_node_that_times_out_leaves_every_table() -> None:
    network = DhtNetwork()
    network.grow(network.add_rpc, 10)
    network.network.run_for(60)
    gone = network.members[-1]
    network.remove(gone)
    network.network.run_for(1800)
    for member in network.members:
        assert member.machine.upkeep.table.get(node_id(gone.address)) is None
        assert len(member.machine.upkeep.table) == 8
