"""Answering handshakes: an accepted remote always gets the same answer, and a refused one gets nothing."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from core.dht.support import entropy, sent
from peersockets_core import KeyPair, LocalProtocolError
from peersockets_core.address import SocketAddress
from peersockets_core.dht.events import ConnectionRequested
from peersockets_core.dht.hyperdht import HyperDht
from peersockets_core.dht.limits import HyperDhtLimits
from peersockets_core.dht.listening import Accepted, Incoming, IncomingState
from peersockets_core.dht.messages import (
    HandshakeError,
    HandshakePayload,
    HyperDhtCommand,
    RelayedHandshake,
    RelayMode,
    UdxInfo,
    decode_handshake_untrusted,
)
from peersockets_core.dht.noise_ik import HandshakeNoise
from peersockets_core.dht.rpc.messages import RpcRequest, RpcResponse, decode_untrusted, encode_request
from peersockets_core.dht.signing import key_hash
from peersockets_core.holepunch import Firewall

OURS, CLIENT, RELAY, SECOND = (("10.0.0.1", 1), ("10.0.0.2", 2), ("10.0.0.3", 3), ("10.0.0.4", 4))
SERVER_KEYS, CLIENT_KEYS = KeyPair.from_seed(b"s" * 32), KeyPair.from_seed(b"c" * 32)
PAYLOAD = HandshakePayload(Firewall.UNKNOWN, udx=UdxInfo(77))


@attrs.define(eq=False)
class Played:
    """A listening node, and the network around it."""

    limits: HyperDhtLimits = attrs.field(factory=HyperDhtLimits)
    open_address: SocketAddress | None = None
    now: float = 0.0
    machine: HyperDht = attrs.field(init=False)
    tid: int = 0

    def __attrs_post_init__(self) -> None:
        self.machine = HyperDht(
            key_pair=SERVER_KEYS,
            entropy=entropy(3),
            now=0.0,
            limits=self.limits,
            open_address=self.open_address,
        )
        self.machine.listen(0.0)
        self.machine.handle_deadline(0.0)

    def bring(self, value: RelayedHandshake | bytes, source: SocketAddress = RELAY) -> list[Incoming]:
        """Let a datagram arrive. Return the handshakes that are to be decided."""
        self.tid += 1
        encoded = value if isinstance(value, bytes) else value.encode()
        request = RpcRequest(
            self.tid,
            OURS,
            HyperDhtCommand.PEER_HANDSHAKE,
            target=key_hash(SERVER_KEYS.ed25519_public_key),
            value=encoded,
        )
        events = self.machine.receive_datagrams(encode_request(request), 1500, source, self.now)
        assert all(isinstance(event, ConnectionRequested) for event in events)
        return [event.incoming for event in events if isinstance(event, ConnectionRequested)]

    def sent(self) -> list[tuple[SocketAddress, Any]]:
        return sent(self.machine, self.now)

    def punching(self) -> list[Any]:
        """Take the messages that were sent from sockets for hole punching."""
        sent = self.machine.punch_datagrams_to_send(self.now)
        return [decode_untrusted(datagram.data) for datagram in sent]

    def accept(self, incoming: Incoming) -> Accepted | None:
        return self.machine.accept(incoming, 99, self.now)


def client(seed: int = 0, payload: HandshakePayload = PAYLOAD) -> tuple[HandshakeNoise, bytes]:
    noise = HandshakeNoise(CLIENT_KEYS, entropy(seed), SERVER_KEYS.ed25519_public_key)
    return noise, noise.write(payload)


def answer(message: Any) -> RelayedHandshake:
    assert isinstance(message, RpcRequest | RpcResponse)
    return decode_handshake_untrusted(message.value or b"")


def test_through_a_relay() -> None:
    node = Played()
    noise, message = client()
    (incoming,) = node.bring(RelayedHandshake(RelayMode.FROM_RELAY, message, CLIENT))
    assert incoming.remote_public_key == CLIENT_KEYS.ed25519_public_key
    assert (incoming.address, incoming.relayed, incoming.payload) == (CLIENT, True, PAYLOAD)
    assert not node.sent()
    accepted = node.accept(incoming)
    assert accepted is not None
    assert (accepted.remote_stream_id, accepted.address) == (77, None)
    ((to, passed_on),) = node.sent()
    assert isinstance(passed_on, RpcRequest)
    assert (to, passed_on.tid) == (RELAY, 1)
    reply = answer(passed_on)
    assert (reply.mode, reply.peer_address) == (RelayMode.FROM_SERVER, CLIENT)
    assert noise.read_untrusted(reply.noise) == HandshakePayload(Firewall.UNKNOWN, udx=UdxInfo(99))
    assert noise.keys().sending_key == accepted.keys.receiving_key


def test_through_two_relays() -> None:
    node = Played()
    _, message = client()
    (incoming,) = node.bring(RelayedHandshake(RelayMode.FROM_SECOND_RELAY, message, CLIENT, SECOND))
    node.accept(incoming)
    ((to, passed_on),) = node.sent()
    assert to == SECOND
    assert answer(passed_on).mode == RelayMode.FROM_SERVER


def test_straight_from_the_client() -> None:
    node = Played()
    _, message = client()
    (incoming,) = node.bring(RelayedHandshake(RelayMode.FROM_CLIENT, message), CLIENT)
    accepted = node.accept(incoming)
    assert accepted is not None
    assert accepted.address == CLIENT
    ((to, response),) = node.sent()
    assert isinstance(response, RpcResponse)
    assert to == CLIENT
    assert (answer(response).mode, answer(response).peer_address) == (RelayMode.REPLY, None)


def test_a_server_connects_at_once_to_a_client_that_everybody_can_reach() -> None:
    node = Played()
    _, message = client(payload=attrs.evolve(PAYLOAD, firewall=Firewall.OPEN))
    (incoming,) = node.bring(RelayedHandshake(RelayMode.FROM_RELAY, message, CLIENT))
    accepted = node.accept(incoming)
    assert accepted is not None
    assert accepted.address == CLIENT


def test_a_server_that_everybody_can_reach_says_so() -> None:
    node = Played(open_address=("1.2.3.4", 5))
    noise, message = client()
    (incoming,) = node.bring(RelayedHandshake(RelayMode.FROM_RELAY, message, CLIENT))
    node.accept(incoming)
    payload = noise.read_untrusted(answer(node.sent()[0][1]).noise)
    assert (payload.firewall, payload.addresses) == (Firewall.OPEN, (("1.2.3.4", 5),))
    assert payload.relays == (("1.2.3.4", 5),)


def test_the_same_handshake_through_several_relays_is_decided_once() -> None:
    node = Played()
    _, message = client()
    (incoming,) = node.bring(RelayedHandshake(RelayMode.FROM_RELAY, message, CLIENT))
    assert not node.bring(RelayedHandshake(RelayMode.FROM_RELAY, message, CLIENT), SECOND)
    node.accept(incoming)
    answers = node.sent()
    assert [to for to, _ in answers] == [RELAY, SECOND]
    # The client repeats the handshake if the answer is lost, and gets the very same answer.
    node.now = 5.0
    assert not node.bring(RelayedHandshake(RelayMode.FROM_RELAY, message, CLIENT))
    answers += node.sent()
    assert len({answer(passed_on).noise for _, passed_on in answers}) == 1


def test_the_known_routes_of_an_undecided_handshake_are_bounded() -> None:
    node = Played()
    _, message = client()
    (incoming,) = node.bring(RelayedHandshake(RelayMode.FROM_RELAY, message, CLIENT))
    for _ in range(50):
        node.bring(RelayedHandshake(RelayMode.FROM_RELAY, message, CLIENT))
    node.accept(incoming)
    assert len(node.sent()) == 8


def test_a_refused_remote_never_gets_an_answer() -> None:
    node = Played()
    _, message = client()
    (incoming,) = node.bring(RelayedHandshake(RelayMode.FROM_RELAY, message, CLIENT))
    node.machine.refuse(incoming)
    assert not node.bring(RelayedHandshake(RelayMode.FROM_RELAY, message, CLIENT))
    assert not node.sent()
    assert incoming.state is IncomingState.REFUSED


def test_a_decision_is_made_once_and_in_time() -> None:
    node = Played()
    _, message = client()
    (incoming,) = node.bring(RelayedHandshake(RelayMode.FROM_RELAY, message, CLIENT))
    node.accept(incoming)
    for decide in (node.accept, node.machine.refuse):
        with pytest.raises(LocalProtocolError, match="the handshake is already accepted"):
            decide(incoming)
    _, message = client(1)
    (late,) = node.bring(RelayedHandshake(RelayMode.FROM_RELAY, message, CLIENT))
    assert not late.expired(9.9)
    node.machine.handle_deadline(10.0)
    assert late.expired(10.0)
    assert len(node.machine.listener) == 0
    with pytest.raises(LocalProtocolError, match="waited too long"):
        node.accept(late)


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (attrs.evolve(PAYLOAD, version=2), HandshakeError.VERSION_MISMATCH),
        (attrs.evolve(PAYLOAD, udx=None), HandshakeError.ABORTED),
    ],
)
def test_a_remote_that_needs_an_unsupported_feature_gets_an_error(
    payload: HandshakePayload, error: HandshakeError
) -> None:
    node = Played()
    noise, message = client(payload=payload)
    (incoming,) = node.bring(RelayedHandshake(RelayMode.FROM_RELAY, message, CLIENT))
    assert node.accept(incoming) is None
    assert noise.read_untrusted(answer(node.sent()[0][1]).noise).error == error


def test_a_flood_of_handshakes_leaves_the_newest() -> None:
    node = Played(limits=HyperDhtLimits(incoming_handshakes=3))
    made = [
        node.bring(RelayedHandshake(RelayMode.FROM_RELAY, client(seed)[1], CLIENT))[0] for seed in range(10)
    ]
    assert len(node.machine.listener) == 3
    with pytest.raises(LocalProtocolError):
        node.accept(made[0])
    assert node.accept(made[9]) is not None


@pytest.mark.parametrize(
    "value",
    [
        RelayedHandshake(RelayMode.FROM_RELAY, b"noise", CLIENT),
        RelayedHandshake(RelayMode.FROM_RELAY, bytes(200), CLIENT),
        RelayedHandshake(RelayMode.FROM_RELAY, client()[1]),
        RelayedHandshake(RelayMode.REPLY, client()[1], CLIENT),
        RelayedHandshake(RelayMode.FROM_SERVER, client()[1], CLIENT),
        b"\xff",
    ],
    ids=repr,
)
def test_malformed_handshakes_are_dropped(value: Any) -> None:
    node = Played()
    assert not node.bring(value)
    assert not node.sent()
    assert node.machine.node.dropped == 1
    assert len(node.machine.listener) == 0


def test_a_handshake_for_a_key_that_does_not_listen_gets_no_answer() -> None:
    node = Played()
    node.machine.stop_listening(0.0)
    _, message = client()
    assert not node.bring(RelayedHandshake(RelayMode.FROM_RELAY, message, CLIENT))
    assert not node.sent()
