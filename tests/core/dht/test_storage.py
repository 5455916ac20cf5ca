"""The records that a persistent node keeps for others, and the ones that it refuses."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from core.dht.support import entropy, sent
from peersockets_core import KeyPair
from peersockets_core.address import SocketAddress
from peersockets_core.dht.hyperdht import HyperDht
from peersockets_core.dht.limits import HyperDhtLimits
from peersockets_core.dht.messages import (
    MOST_PEERS,
    Announcement,
    HyperDhtCommand,
    Peer,
    decode_mutable_untrusted,
    decode_peer_untrusted,
    decode_peers_untrusted,
)
from peersockets_core.dht.rpc.address import node_id
from peersockets_core.dht.rpc.messages import RpcErrorCode, RpcRequest, RpcResponse, encode_request
from peersockets_core.dht.signing import key_hash, sign_announcement, sign_mutable
from peersockets_core.wires.hypercore11.encoding import encode_uint

OURS, THEIRS = ("10.0.0.1", 1000), ("10.0.0.2", 2000)
TOPIC = bytes(range(32))
ALICE = KeyPair.from_seed(b"a" * 32)


@attrs.define(eq=False)
class Played:
    """A persistent node, and a remote that sends it requests."""

    now: float = 0.0
    limits: HyperDhtLimits = attrs.field(factory=HyperDhtLimits)
    machine: HyperDht = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.machine = HyperDht(
            key_pair=KeyPair.from_seed(b"n" * 32),
            entropy=entropy(3),
            now=0.0,
            persistent=True,
            address=OURS,
            limits=self.limits,
        )
        self.machine.handle_deadline(0.0)

    def ask(self, command: int, source: SocketAddress = THEIRS, **fields: Any) -> RpcResponse | None:
        """Send a request. Return the response, or None."""
        request = RpcRequest(5, OURS, command, **{"target": TOPIC, **fields})
        self.machine.receive_datagrams(encode_request(request), 1500, source, self.now)
        responses = [message for _, message in sent(self.machine, self.now)]
        assert len(responses) <= 1
        assert all(isinstance(response, RpcResponse) for response in responses)
        return responses[0] if responses else None  # type: ignore[return-value]

    def token(self, source: SocketAddress = THEIRS) -> bytes:
        response = self.ask(HyperDhtCommand.LOOKUP, source)
        assert response is not None
        assert response.token is not None
        return response.token

    def announce(
        self, key_pair: KeyPair = ALICE, target: bytes = TOPIC, source: SocketAddress = THEIRS
    ) -> RpcResponse | None:
        token = self.token(source)
        signed = sign_announcement(
            HyperDhtCommand.ANNOUNCE, key_pair, target, node_id(OURS), token, (("1.2.3.4", 5),)
        )
        return self.ask(HyperDhtCommand.ANNOUNCE, source, target=target, token=token, value=signed.encode())

    def peers(self, target: bytes = TOPIC) -> list[Peer]:
        response = self.ask(HyperDhtCommand.LOOKUP, target=target)
        assert response is not None
        return [] if response.value is None else decode_peers_untrusted(response.value)

    @property
    def stored(self) -> int:
        return len(self.machine.storage)


def person(number: int) -> KeyPair:
    return KeyPair.from_seed(number.to_bytes(32))


def test_an_announcement_is_found_under_its_topic() -> None:
    node = Played()
    assert not node.peers()
    response = node.announce()
    assert response == RpcResponse(5, THEIRS, node_id(OURS))
    assert node.peers() == [Peer(ALICE.ed25519_public_key, (("1.2.3.4", 5),))]
    assert not node.peers(bytes(32))


def test_a_self_announcement_leads_to_its_sender() -> None:
    node = Played()
    target = key_hash(ALICE.ed25519_public_key)
    node.announce(target=target)
    assert node.machine.forwarding.address(target, 0.0) == THEIRS
    assert node.stored == 0
    response = node.ask(HyperDhtCommand.FIND_PEER, target=target)
    assert response is not None
    assert response.value is not None
    assert decode_peer_untrusted(response.value).public_key == ALICE.ed25519_public_key
    assert [peer.public_key for peer in node.peers(target)] == [ALICE.ed25519_public_key]
    missing = node.ask(HyperDhtCommand.FIND_PEER, target=bytes(32))
    assert missing is not None
    assert missing.value is None


@pytest.mark.parametrize("target", [TOPIC, key_hash(ALICE.ed25519_public_key)])
def test_withdrawing(target: bytes) -> None:
    node = Played()
    node.announce(target=target)
    token = node.token()
    signed = sign_announcement(HyperDhtCommand.UNANNOUNCE, ALICE, target, node_id(OURS), token, ())
    # Withdrawing takes the owner's signature. A signature for the other command does not count.
    assert node.ask(HyperDhtCommand.ANNOUNCE, target=target, token=token, value=signed.encode()) is None
    assert len(node.peers(target)) == 1
    assert node.ask(HyperDhtCommand.UNANNOUNCE, target=target, token=token, value=signed.encode()) is not None
    assert not node.peers(target)
    assert node.stored == len(node.machine.forwarding) == 0


def test_announcements_without_a_valid_signature_are_not_kept() -> None:
    node = Played()
    token = node.token()

    def announced(value: bytes, **fields: Any) -> None:
        response = node.ask(HyperDhtCommand.ANNOUNCE, **{"token": token, "value": value, **fields})
        assert response is None or response.error == RpcErrorCode.INVALID_TOKEN

    signed = sign_announcement(HyperDhtCommand.ANNOUNCE, ALICE, TOPIC, node_id(OURS), token, ())
    for other in (
        sign_announcement(HyperDhtCommand.ANNOUNCE, ALICE, TOPIC, node_id(THEIRS), token, ()),
        sign_announcement(HyperDhtCommand.ANNOUNCE, ALICE, bytes(32), node_id(OURS), token, ()),
        Announcement(Peer(person(1).ed25519_public_key), signed.signature),
        Announcement(None, signed.signature),
        Announcement(None, None, refresh=bytes(32)),
    ):
        announced(other.encode())
        node.ask(HyperDhtCommand.UNANNOUNCE, token=token, value=other.encode())
    announced(signed.encode(), token=None)
    announced(signed.encode(), token=bytes(32))
    announced(signed.encode(), source=("10.0.0.9", 9))
    announced(b"garbage")
    announced(b"")
    assert node.machine.node.dropped == 2
    node.now = 30.0
    announced(signed.encode())
    assert node.stored == 0


def test_an_ephemeral_node_keeps_nothing() -> None:
    machine = HyperDht(key_pair=ALICE, entropy=entropy(1), now=0.0)
    machine.handle_deadline(0.0)
    for command in (*HyperDhtCommand, 77):
        request = RpcRequest(5, OURS, command, target=TOPIC, value=b"v")
        machine.receive_datagrams(encode_request(request), 1500, THEIRS, 0.0)
    answers = [message for _, message in sent(machine, 0.0)]
    assert len(answers) == len(HyperDhtCommand) + 1 - 2  # all requests but the two that it relays
    assert all(isinstance(answer, RpcResponse) and answer.error == 1 for answer in answers)


def test_an_unknown_command_and_one_without_a_target() -> None:
    node = Played()
    unknown = node.ask(77)
    assert unknown is not None
    assert unknown.error == RpcErrorCode.UNKNOWN_COMMAND
    assert node.ask(HyperDhtCommand.LOOKUP, target=None) is None


def test_announcing_again_keeps_one_record() -> None:
    node = Played()
    for _ in range(3):
        node.announce()
    assert len(node.peers()) == 1
    assert node.stored == 1


def test_a_record_lives_for_twenty_minutes_after_its_last_announcement() -> None:
    node = Played()
    node.announce()
    node.now = 15 * 60.0
    node.announce()
    node.announce(person(1))
    node.now = 34 * 60.0
    assert len(node.peers()) == 2
    node.now = 35 * 60.0
    assert not node.peers()
    assert node.stored == 0
    assert not node.machine.storage.topics


def test_if_an_answer_cannot_hold_all_peers_each_is_found_by_some_lookup() -> None:
    node = Played()
    for number in range(60):
        node.announce(person(number))
    seen: set[bytes] = set()
    for _ in range(60):
        peers = node.peers()
        assert len(peers) == MOST_PEERS == len(set(peers))
        seen |= {peer.public_key for peer in peers}
    assert len(seen) == 60


def test_one_host_cannot_push_out_the_records_of_others() -> None:
    node = Played(limits=HyperDhtLimits(records=20, host_records=5))
    for number in range(4):
        node.announce(person(number), source=(f"10.0.1.{number}", 1))
    for number in range(100, 150):
        node.announce(person(number), target=number.to_bytes(32), source=("10.0.2.1", 1))
    assert {peer.public_key for peer in node.peers()} == {
        person(number).ed25519_public_key for number in range(4)
    }
    assert node.stored == 9


def test_one_topic_cannot_push_out_others() -> None:
    node = Played(limits=HyperDhtLimits(topic_records=5))
    node.announce(target=bytes(32))
    for number in range(30):
        node.announce(person(number), source=(f"10.0.1.{number}", 1))
    assert {peer.public_key for peer in node.peers()} == {
        person(number).ed25519_public_key for number in range(25, 30)
    }
    assert len(node.peers(bytes(32))) == 1


def test_an_immutable_value_is_kept_only_under_its_hash() -> None:
    node = Played()
    token = node.token()
    assert node.ask(HyperDhtCommand.IMMUTABLE_PUT, token=token, value=b"value") is None
    target = key_hash(b"value")
    assert node.ask(HyperDhtCommand.IMMUTABLE_PUT, target=target, value=b"value") is None
    assert node.ask(HyperDhtCommand.IMMUTABLE_PUT, target=target, token=token) is None
    assert node.stored == 0
    assert node.ask(HyperDhtCommand.IMMUTABLE_PUT, target=target, token=token, value=b"value") is not None
    response = node.ask(HyperDhtCommand.IMMUTABLE_GET, target=target)
    assert response is not None
    assert response.value == b"value"


def test_a_mutable_value_is_kept_only_if_its_owner_signed_it() -> None:
    node = Played()
    token, target = node.token(), key_hash(ALICE.ed25519_public_key)
    signed = sign_mutable(ALICE, 3, b"value")
    value = ALICE.ed25519_public_key + signed.encode()

    def put(value: bytes, **fields: Any) -> RpcResponse | None:
        return node.ask(
            HyperDhtCommand.MUTABLE_PUT, **{"target": target, "token": token, "value": value, **fields}
        )

    assert put(value, token=None) is None
    assert put(value, target=TOPIC) is None
    assert put(value[:-1] + bytes([value[-1] ^ 1])) is None
    assert put(ALICE.ed25519_public_key + sign_mutable(ALICE, 3, b"").encode()) is None
    assert put(b"garbage") is None
    assert node.stored == 0
    assert put(value) is not None
    response = node.ask(HyperDhtCommand.MUTABLE_GET, target=target, value=encode_uint(3))
    assert response is not None
    assert response.value is not None
    assert decode_mutable_untrusted(response.value) == signed
    for wanted in (encode_uint(4), encode_uint(300)):
        newer = node.ask(HyperDhtCommand.MUTABLE_GET, target=target, value=wanted)
        assert newer is not None
        assert newer.value is None
    assert node.ask(HyperDhtCommand.MUTABLE_GET, target=target) is None  # without a number


def test_values_of_one_host_are_bounded() -> None:
    node = Played(limits=HyperDhtLimits(host_values=3))
    for number in range(10):
        value = number.to_bytes(9)
        node.ask(HyperDhtCommand.IMMUTABLE_PUT, target=key_hash(value), token=node.token(), value=value)
    assert node.stored == 3
