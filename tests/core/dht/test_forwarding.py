"""Relaying the handshakes of others, leg by leg."""

from __future__ import annotations

from typing import Any

import pytest

from core.dht.support import entropy, sent
from peersockets_core import KeyPair
from peersockets_core.address import SocketAddress
from peersockets_core.dht.hyperdht import HyperDht
from peersockets_core.dht.limits import HyperDhtLimits
from peersockets_core.dht.messages import HyperDhtCommand, RelayedHandshake, RelayedHolepunch, RelayMode
from peersockets_core.dht.rpc.address import node_id
from peersockets_core.dht.rpc.messages import RpcRequest, RpcResponse, encode_request

OURS, CLIENT, SERVER, RELAY = (("10.0.0.1", 1), ("10.0.0.2", 2), ("10.0.0.3", 3), ("10.0.0.4", 4))
KNOWN, UNKNOWN = bytes(32), b"u" * 32


def node() -> HyperDht:
    machine = HyperDht(
        key_pair=KeyPair.from_seed(b"n" * 32), entropy=entropy(3), now=0.0, persistent=True, address=OURS
    )
    machine.handle_deadline(0.0)
    machine.forwarding.add(KNOWN, b"record", SERVER, 0.0)
    return machine


def relay(
    value: RelayedHandshake | RelayedHolepunch | bytes,
    source: SocketAddress,
    target: bytes | None = KNOWN,
    machine: HyperDht | None = None,
) -> list[tuple[SocketAddress, Any]]:
    """Give a node a message to relay. Return the datagrams that it sends."""
    machine = machine or node()
    command = (
        HyperDhtCommand.PEER_HOLEPUNCH
        if isinstance(value, RelayedHolepunch)
        else HyperDhtCommand.PEER_HANDSHAKE
    )
    encoded = value if isinstance(value, bytes) else value.encode()
    request = RpcRequest(7, OURS, command, target=target, value=encoded)
    assert not machine.receive_datagrams(encode_request(request), 1500, source, 0.0)
    return sent(machine, 0.0)


def passed_on(
    to: SocketAddress, value: RelayedHandshake | RelayedHolepunch
) -> list[tuple[SocketAddress, Any]]:
    command = (
        HyperDhtCommand.PEER_HOLEPUNCH
        if isinstance(value, RelayedHolepunch)
        else HyperDhtCommand.PEER_HANDSHAKE
    )
    return [(to, RpcRequest(7, to, command, id=node_id(OURS), target=KNOWN, value=value.encode()))]


def replied(to: SocketAddress, value: RelayedHandshake | RelayedHolepunch) -> list[tuple[SocketAddress, Any]]:
    return [(to, RpcResponse(7, to, node_id(OURS), value=value.encode()))]


def test_from_the_client_to_the_server() -> None:
    handshake = RelayedHandshake(RelayMode.FROM_CLIENT, b"noise")
    expected = RelayedHandshake(RelayMode.FROM_RELAY, b"noise", CLIENT)
    assert relay(handshake, CLIENT) == passed_on(SERVER, expected)


def test_from_the_client_to_a_relay_of_its_choice() -> None:
    handshake = RelayedHandshake(RelayMode.FROM_CLIENT, b"noise", relay_address=RELAY)
    ((to, request),) = relay(handshake, CLIENT, UNKNOWN)
    assert to == RELAY
    assert request.value == RelayedHandshake(RelayMode.FROM_RELAY, b"noise", CLIENT).encode()


def test_from_another_relay_to_the_server() -> None:
    handshake = RelayedHandshake(RelayMode.FROM_RELAY, b"noise", CLIENT)
    expected = RelayedHandshake(RelayMode.FROM_SECOND_RELAY, b"noise", CLIENT, RELAY)
    assert relay(handshake, RELAY) == passed_on(SERVER, expected)


def test_from_the_server_back_to_the_client() -> None:
    handshake = RelayedHandshake(RelayMode.FROM_SERVER, b"noise", CLIENT)
    assert relay(handshake, SERVER) == replied(CLIENT, RelayedHandshake(RelayMode.REPLY, b"noise", SERVER))


def test_a_key_that_is_not_announced_here() -> None:
    ((to, response),) = relay(RelayedHandshake(RelayMode.FROM_CLIENT, b"noise"), CLIENT, UNKNOWN)
    assert (to, response.value, response.token) == (CLIENT, None, None)


def test_hole_punching_there_and_back() -> None:
    there = RelayedHolepunch(RelayMode.FROM_CLIENT, 3, b"sealed")
    assert relay(there, CLIENT) == passed_on(
        SERVER, RelayedHolepunch(RelayMode.FROM_RELAY, 3, b"sealed", CLIENT)
    )
    named = RelayedHolepunch(RelayMode.FROM_CLIENT, 3, b"sealed", RELAY)
    assert relay(named, CLIENT) == passed_on(
        RELAY, RelayedHolepunch(RelayMode.FROM_RELAY, 3, b"sealed", CLIENT)
    )
    back = RelayedHolepunch(RelayMode.FROM_SERVER, 0, b"sealed", CLIENT)
    assert relay(back, SERVER) == replied(CLIENT, RelayedHolepunch(RelayMode.REPLY, 0, b"sealed", SERVER))


@pytest.mark.parametrize(
    "value",
    [
        RelayedHandshake(RelayMode.FROM_CLIENT, b""),
        RelayedHandshake(RelayMode.FROM_SERVER, b"noise"),
        RelayedHandshake(RelayMode.FROM_SECOND_RELAY, b"noise", CLIENT, RELAY),
        RelayedHandshake(RelayMode.REPLY, b"noise", CLIENT),
        RelayedHandshake(99, b"noise", CLIENT),
        RelayedHolepunch(RelayMode.FROM_SERVER, 3, b"sealed"),
        RelayedHolepunch(RelayMode.FROM_RELAY, 3, b"sealed", CLIENT),
        b"\xff",
        b"",
    ],
    ids=repr,
)
def test_messages_that_lead_nowhere_are_dropped(value: Any) -> None:
    machine = node()
    assert not relay(value, CLIENT, machine=machine)
    assert machine.node.dropped == 1


def test_without_a_destination_nothing_is_sent() -> None:
    for target in (UNKNOWN, None):
        machine = node()
        assert not relay(RelayedHandshake(RelayMode.FROM_RELAY, b"noise", CLIENT), RELAY, target, machine)
        assert machine.node.dropped == 1
        assert not relay(RelayedHolepunch(RelayMode.FROM_CLIENT, 3, b"sealed"), CLIENT, target, machine)


def test_no_relayed_message_grows_much() -> None:
    """A stranger gains nothing by relaying through us: each datagram is about as large as the last."""
    noise = bytes(120)
    for value, source in (
        (RelayedHandshake(RelayMode.FROM_CLIENT, noise), CLIENT),
        (RelayedHandshake(RelayMode.FROM_RELAY, noise, CLIENT), RELAY),
        (RelayedHandshake(RelayMode.FROM_SERVER, noise, CLIENT), SERVER),
    ):
        ((_, message),) = relay(value, source)
        assert len(message.value) <= len(value.encode()) + 12


def test_an_announcement_is_forgotten_and_bounded() -> None:
    machine = HyperDht(
        key_pair=KeyPair.from_seed(b"n" * 32),
        entropy=entropy(3),
        now=0.0,
        limits=HyperDhtLimits(host_forwards=2),
    )
    forwarding = machine.forwarding
    for number in range(5):
        forwarding.add(bytes([number]) * 32, b"record", SERVER, float(number))
    assert len(forwarding) == 2
    assert forwarding.record(bytes([4]) * 32, 5.0) == b"record"
    assert forwarding.address(bytes([0]) * 32, 5.0) is None
    assert forwarding.record(bytes([4]) * 32, 1204.0) is None
