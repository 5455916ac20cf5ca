"""A node of dht-rpc: how it joins, asks, answers, and handles nonsense."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dht.rpc.test_messages import REQUESTS, RESPONSES, encode
from core.dht.support import DhtNetwork, entropy, requests_of, sent
from peersockets_core import LocalProtocolError
from peersockets_core.dht.rpc.address import node_id
from peersockets_core.dht.rpc.events import (
    AddressChanged,
    BecamePersistent,
    Bootstrapped,
    RequestReceived,
)
from peersockets_core.dht.rpc.limits import DhtLimits
from peersockets_core.dht.rpc.messages import (
    RpcCommand,
    RpcErrorCode,
    RpcRequest,
    RpcResponse,
    encode_request,
    encode_response,
)
from peersockets_core.dht.rpc.node import DhtNode

OURS, THEIRS = ("10.0.0.1", 1000), ("10.0.0.2", 2000)
TARGET = bytes(range(32))


def node(**options: Any) -> DhtNode:
    made = DhtNode(**{"entropy": entropy(1), "now": 0.0, "address": OURS, "persistent": True, **options})
    made.handle_deadline(0.0)
    return made


def receive(made: DhtNode, message: RpcRequest | RpcResponse, now: float = 0.0) -> list[Any]:
    return made.receive_datagrams(encode(message), 1500, THEIRS, now)


def test_a_first_node_has_nobody_to_ask() -> None:
    made = DhtNode(entropy=entropy(1), now=0.0, persistent=True, address=OURS)
    assert made.next_deadline() == -math.inf
    assert made.handle_deadline(0.0) == [BecamePersistent(node_id(OURS)), Bootstrapped()]
    assert made.next_deadline() == 5.0
    assert not made.datagrams_to_send(0.0)


def asked(made: DhtNode, seen_at: tuple[str, int], source: tuple[str, int] = THEIRS) -> RpcResponse:
    """Let a remote without an id send a request. Return the answer."""
    made.receive_datagrams(
        encode(RpcRequest(5, seen_at, RpcCommand.FIND_NODE, True, target=TARGET)), 1500, source, 0.0
    )
    ((_, response),) = sent(made, 0.0)
    assert isinstance(response, RpcResponse)
    return response


def test_a_first_node_learns_its_address_from_the_first_request() -> None:
    made = node(address=None)
    assert asked(made, OURS).id == node_id(OURS)
    assert made.address == OURS


def test_honest_requests_outvote_a_lie_about_the_address_of_a_first_node() -> None:
    made = node(address=None)
    for port in range(1, 50):
        asked(made, ("6.6.6.6", 6), ("10.0.0.66", port))
    for number in range(3):
        asked(made, OURS, (f"10.0.1.{number}", 1))
    assert made.id == node_id(OURS)


def test_an_address_on_the_network_is_preferred_to_loopback() -> None:
    made = node(address=None)
    loopback = ("127.0.0.1", OURS[1])
    assert asked(made, loopback, ("127.0.0.1", 5)).id == node_id(loopback)
    assert asked(made, OURS).id == node_id(OURS)
    assert asked(made, loopback, ("127.0.0.1", 5)).id == node_id(OURS)


@pytest.mark.parametrize("seen_at", [("0.0.0.0", 5), ("224.0.0.1", 5), ("10.0.0.1", 0)])
def test_a_first_node_never_takes_these_addresses(seen_at: tuple[str, int]) -> None:
    assert asked(node(address=None), seen_at).id is None


def test_only_a_first_node_believes_requests_without_an_id() -> None:
    made = DhtNode(entropy=entropy(1), now=0.0, persistent=True, bootstrap=(THEIRS,))
    requests_of(made, 0.0)
    assert asked(made, OURS, ("10.0.0.3", 3)).id is None
    ephemeral = node(address=None, persistent=False)
    assert asked(ephemeral, OURS).id is None


def test_a_node_whose_bootstrap_nodes_are_still_resolved_is_not_the_first() -> None:
    made = DhtNode(entropy=entropy(1), now=0.0, first=False)
    assert not made.handle_deadline(0.0)
    assert not made.bootstrapped


def test_joining_a_network() -> None:
    network = DhtNetwork()
    network.grow(network.add_rpc, 12)
    network.network.run_for(20)
    for member in network.members[1:]:
        kinds = [type(event) for event in member.events]
        assert kinds == [AddressChanged, Bootstrapped, BecamePersistent]
        assert member.machine.address == member.address
        assert member.machine.id == node_id(member.address)
        assert len(member.machine.upkeep.table) == 11


def test_an_ephemeral_node_is_in_nobodys_table() -> None:
    network = DhtNetwork()
    network.grow(network.add_rpc, 5)
    ephemeral = network.add_rpc(persistent=False)
    network.network.run_for(700)
    assert ephemeral.machine.id is None
    assert len(ephemeral.machine.upkeep.table) == 5
    for member in network.members[:5]:
        assert member.machine.upkeep.table.get(node_id(ephemeral.address)) is None


def test_bad_arguments() -> None:
    made = node(limits=DhtLimits(requests=1))
    with pytest.raises(ValueError, match="target must be 32 bytes, not 3"):
        made.find_node(b"abc", 0.0)
    made.ping(THEIRS, 0.0)
    with pytest.raises(LocalProtocolError, match="1 requests to the DHT are unanswered"):
        made.ping(THEIRS, 0.0)
    with pytest.raises(ValueError, match="limits: checks must be positive, not 0"):
        DhtLimits(checks=0)


def test_a_request_of_another_layer_becomes_an_event_and_can_be_answered() -> None:
    made = node()
    (event,) = receive(made, RpcRequest(5, OURS, 3, target=TARGET, value=b"v"))
    assert event == RequestReceived(RpcRequest(5, OURS, 3, target=TARGET, value=b"v"), THEIRS, None)
    made.reply(event, 0.0, value=b"w")
    made.reply(event, 0.0, error=16, token=False, closer_nodes=False)
    (to, first), (_, second) = sent(made, 0.0)
    assert to == THEIRS
    assert isinstance(first, RpcResponse)
    assert first.value == b"w"
    assert first.token is not None
    assert second == RpcResponse(5, THEIRS, node_id(OURS), error=16)
    # The token is valid for a later request of the same host, and for no other host.
    again = RpcRequest(6, OURS, 4, target=TARGET, token=first.token)
    assert len(receive(made, again, 1.0)) == 1
    assert not made.receive_datagrams(encode_request(again), 1500, ("10.0.0.3", 1), 1.0)
    ((_, refused),) = sent(made, 1.0)
    assert isinstance(refused, RpcResponse)
    assert refused.error == RpcErrorCode.INVALID_TOKEN
    assert refused.token is not None


def test_relaying_keeps_the_transaction() -> None:
    made = node()
    (event,) = receive(made, RpcRequest(5, OURS, 0, target=TARGET, value=b"v"))
    made.relay(event, ("10.0.0.7", 7), b"on")
    made.reply_to(event, ("10.0.0.8", 8), 0.0, b"back")
    (on, passed_on), (back, reply) = sent(made, 0.0)
    assert on == ("10.0.0.7", 7)
    assert passed_on == RpcRequest(5, on, 0, id=node_id(OURS), target=TARGET, value=b"on")
    assert back == ("10.0.0.8", 8)
    assert reply == RpcResponse(5, back, node_id(OURS), value=b"back")


def test_the_table_takes_a_persistent_node_and_refuses_a_false_id() -> None:
    made = node()
    receive(made, RpcRequest(5, OURS, RpcCommand.PING, internal=True, id=node_id(("10.0.0.66", 6))))
    assert len(made.upkeep.table) == 0
    receive(made, RpcRequest(5, OURS, RpcCommand.PING, internal=True, id=node_id(THEIRS)))
    assert len(made.upkeep.table) == 1


def test_requests_beyond_the_rate_are_dropped() -> None:
    made = node(limits=DhtLimits(requests_per_second=3))
    ping = RpcRequest(5, OURS, RpcCommand.PING, internal=True)
    for _ in range(10):
        receive(made, ping)
    assert len(sent(made, 0.0)) == 3
    assert made.dropped == 7
    receive(made, ping, 1.0)
    assert len(sent(made, 1.0)) == 1


def test_responses_without_a_request_are_dropped() -> None:
    made = node()
    receive(made, RpcResponse(5, OURS, node_id(THEIRS)))
    assert made.dropped == 1
    assert len(made.upkeep.table) == 0


def test_several_datagrams_in_one_read() -> None:
    made = node()
    ping = encode_request(RpcRequest(5, OURS, RpcCommand.PING, internal=True))
    made.receive_datagrams(memoryview(bytearray(ping * 3 + b"\x03")), len(ping), THEIRS, 0.0)
    assert len(sent(made, 0.0)) == 3
    assert made.dropped == 1
    made.receive_datagrams(b"", 0, THEIRS, 0.0)


def test_a_lie_about_our_address_does_not_move_us() -> None:
    network = DhtNetwork()
    network.grow(network.add_rpc, 10)
    network.network.run_for(20)
    ours = network.members[4].machine
    for number in range(2):
        ours.sample(True, ("6.6.6.6", number), network.now)
    assert ours.id == node_id(network.members[4].address)


def test_a_node_that_moves_takes_a_new_id() -> None:
    network = DhtNetwork()
    network.grow(network.add_rpc, 6)
    network.network.run_for(20)
    ours = network.members[3]
    ours.host.move(("10.7.7.7", 7))
    for _ in range(16):
        ours.machine.sample(True, ours.address, network.now)
    assert ours.machine.id == node_id(("10.7.7.7", 7))
    network.network.run_for(60)
    assert network.members[1].machine.upkeep.table.get(node_id(ours.address)) is not None


def test_the_statistics_of_a_new_node() -> None:
    made = DhtNode(entropy=entropy(1), now=0.0)
    assert made.address is None
    assert made.client.bootstrap_nodes() == ()
    statistics = made.request_statistics()
    assert (statistics.pending, statistics.answers, statistics.retried, statistics.timeouts) == (0, 0, 0, 0)


def test_a_node_looks_again_for_a_network_that_is_not_there_yet() -> None:
    made = node(bootstrap=[THEIRS])
    assert [type(event) for event in made.handle_deadline(0.0)] == []
    made.look_around(0.0)  # it looks already
    assert len(requests_of(made, 0.0)) == 1
    now = 0.0
    asked = []
    while now < 12:
        now = made.next_deadline()
        assert Bootstrapped() not in made.handle_deadline(now)
        asked += requests_of(made, now)
    assert made.request_statistics().timeouts == 1
    assert len(asked) > 6
    answer = encode_response(RpcResponse(asked[-1][1].tid, OURS))
    assert Bootstrapped() in made.receive_datagrams(answer, 1500, THEIRS, now)


@given(st.lists(REQUESTS | RESPONSES | st.binary(max_size=60), max_size=20))
def test_arbitrary_requests_never_raise(messages: list[Any]) -> None:
    made = node()
    for number, message in enumerate(messages):
        datagram = message if isinstance(message, bytes) else encode(message)
        made.receive_datagrams(datagram, 1500, THEIRS, number / 10)
        made.handle_deadline(number / 10)
        made.datagrams_to_send(number / 10)


@given(st.lists(RESPONSES, min_size=1, max_size=20))
def test_arbitrary_responses_never_raise(responses: list[RpcResponse]) -> None:
    made = node(bootstrap=[THEIRS])
    now = 0.0
    for response in responses:
        made.receive_datagrams(encode_response(response), 1500, THEIRS, now)
        for to, request in requests_of(made, now):
            answer = encode_response(attrs.evolve(response, tid=request.tid))
            made.receive_datagrams(answer, 1500, to, now)
        now = max(now, made.next_deadline())
        made.handle_deadline(now)
