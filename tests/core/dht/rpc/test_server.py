"""The answers to dht-rpc's own requests."""

from __future__ import annotations

import math
from typing import Any

import pytest

from core.dht.support import entropy, sent
from peersockets_core.dht.rpc.address import encode_address, node_id
from peersockets_core.dht.rpc.limits import DhtLimits
from peersockets_core.dht.rpc.messages import (
    RpcCommand,
    RpcErrorCode,
    RpcRequest,
    RpcResponse,
    encode_request,
)
from peersockets_core.dht.rpc.node import DhtNode

OURS, THEIRS = ("10.0.0.1", 1000), ("10.0.0.2", 2000)
TARGET = bytes(range(32))


def node(**options: Any) -> DhtNode:
    made = DhtNode(**{"entropy": entropy(1), "now": 0.0, "address": OURS, "persistent": True, **options})
    made.handle_deadline(0.0)
    return made


def ask(made: DhtNode, command: int, now: float = 0.0, **fields: Any) -> list[tuple[Any, RpcResponse]]:
    request = RpcRequest(77, OURS, command, **{"internal": True, **fields})
    assert not made.receive_datagrams(encode_request(request), 1500, THEIRS, now)
    return [(to, message) for to, message in sent(made, now) if isinstance(message, RpcResponse)]


def test_ping() -> None:
    assert ask(node(), RpcCommand.PING) == [(THEIRS, RpcResponse(77, THEIRS, node_id(OURS)))]


def test_an_ephemeral_node_answers_without_an_id() -> None:
    made = DhtNode(entropy=entropy(1), now=0.0)
    made.handle_deadline(0.0)
    assert ask(made, RpcCommand.PING) == [(THEIRS, RpcResponse(77, THEIRS))]


def test_ping_nat_answers_to_another_port_of_the_same_host() -> None:
    made = node()
    elsewhere = (THEIRS[0], 0x0506)
    assert ask(made, RpcCommand.PING_NAT, value=b"\x06\x05") == [
        (elsewhere, RpcResponse(77, elsewhere, node_id(OURS)))
    ]


@pytest.mark.parametrize("value", [None, b"\x01", b"\0\0"])
def test_ping_nat_without_a_port_gets_no_answer(value: bytes | None) -> None:
    assert not ask(node(), RpcCommand.PING_NAT, value=value)


def test_find_node_names_the_nodes_of_the_table() -> None:
    made = node()
    for number in range(1, 30):
        address = (f"10.0.1.{number}", 5)
        made.upkeep.heard_from(address, node_id(address), 0.0)
    ((_, response),) = ask(made, RpcCommand.FIND_NODE, target=TARGET)
    assert len(response.closer_nodes) == 20
    assert set(response.closer_nodes) == set(made.client.closest(TARGET, 20))
    assert response.token is None
    assert not ask(made, RpcCommand.FIND_NODE)


def test_a_down_hint_makes_us_ping_the_node() -> None:
    made, down = node(), ("10.0.1.9", 5)
    made.upkeep.heard_from(down, node_id(down), 0.0)
    request = RpcRequest(77, OURS, RpcCommand.DOWN_HINT, internal=True, value=encode_address(down))
    made.receive_datagrams(encode_request(request), 1500, THEIRS, 0.0)
    (_, answer), (to, ping) = sent(made, 0.0)
    assert answer == RpcResponse(77, THEIRS, node_id(OURS))
    assert (to, ping.command) == (down, RpcCommand.PING)  # type: ignore[union-attr]
    assert not ask(made, RpcCommand.DOWN_HINT, value=b"short")
    assert not ask(made, RpcCommand.DOWN_HINT)


def test_a_delayed_ping_is_answered_later() -> None:
    made = node()
    assert not ask(made, RpcCommand.DELAYED_PING, value=(2500).to_bytes(4, "little"))
    assert not ask(made, RpcCommand.DELAYED_PING, value=(1500).to_bytes(4, "little"))
    assert made.server.next_deadline() == 1.5
    assert made.next_deadline() == 1.5
    made.handle_deadline(1.5)
    assert sent(made, 1.5) == [(THEIRS, RpcResponse(77, THEIRS, node_id(OURS)))]
    made.handle_deadline(2.5)
    assert len(sent(made, 2.5)) == 1
    assert made.server.next_deadline() == math.inf


@pytest.mark.parametrize("value", [None, b"\x01\0\0", (10_001).to_bytes(4, "little")])
def test_a_delay_that_is_missing_or_too_long_gets_no_answer(value: bytes | None) -> None:
    made = node()
    ask(made, RpcCommand.DELAYED_PING, value=value)
    assert made.server.next_deadline() == math.inf


def test_delayed_pings_are_bounded() -> None:
    made = node(limits=DhtLimits(delayed_pings=2))
    for _ in range(5):
        ask(made, RpcCommand.DELAYED_PING, value=(100).to_bytes(4, "little"))
    made.handle_deadline(0.1)
    assert len(sent(made, 0.1)) == 2


def test_an_unknown_command() -> None:
    ((_, response),) = ask(node(), 9, target=TARGET)
    assert response.error == RpcErrorCode.UNKNOWN_COMMAND
