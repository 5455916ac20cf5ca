"""Signatures of announcements and values, compared with those of real nodes."""

from __future__ import annotations

import pytest

from core.dht.recorded import DATAGRAMS
from peersockets_core import KeyPair
from peersockets_core.dht.messages import (
    Announcement,
    HyperDhtCommand,
    Peer,
    decode_announcement_untrusted,
    decode_mutable_put_untrusted,
)
from peersockets_core.dht.rpc.messages import RpcRequest, decode_untrusted
from peersockets_core.dht.signing import (
    key_hash,
    namespace,
    sign_announcement,
    sign_mutable,
    verify_announcement,
    verify_mutable,
)

OURS = KeyPair.from_seed(bytes(32))
TARGET, NODE, TOKEN = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32
RELAYS = (("10.0.0.1", 1),)


def requests(command: HyperDhtCommand) -> list[RpcRequest]:
    return [
        message
        for recorded in DATAGRAMS
        if isinstance(message := decode_untrusted(bytes.fromhex(recorded["datagram"])), RpcRequest)
        and not message.internal
        and message.command == command
    ]


def test_the_constants_of_the_reference() -> None:
    known = {
        HyperDhtCommand.PEER_HANDSHAKE: "14d6d4b4",
        HyperDhtCommand.PEER_HOLEPUNCH: "f1191cd5",
        HyperDhtCommand.ANNOUNCE: "36386add",
        HyperDhtCommand.UNANNOUNCE: "ded293cd",
    }
    for command, beginning in known.items():
        assert namespace(command).hex().startswith(beginning)


@pytest.mark.parametrize("command", [HyperDhtCommand.ANNOUNCE, HyperDhtCommand.UNANNOUNCE])
def test_announcements_that_real_nodes_signed(command: HyperDhtCommand) -> None:
    signed = requests(command)
    assert signed
    nodes = {
        message.id
        for recorded in DATAGRAMS
        if (message := decode_untrusted(bytes.fromhex(recorded["datagram"]))).id is not None
    }
    verified = 0
    for request in signed:
        assert request.target is not None
        assert request.token is not None
        announcement = decode_announcement_untrusted(request.value or b"")
        # The signature is valid for exactly one of the nodes: the one that was asked.
        verified += any(
            verify_announcement(command, announcement, request.target, node, request.token)
            for node in nodes
            if node is not None
        )
    assert verified == len(signed)


def test_values_that_real_nodes_signed() -> None:
    signed = requests(HyperDhtCommand.MUTABLE_PUT)
    assert signed
    for request in signed:
        public_key, put = decode_mutable_put_untrusted(request.value or b"")
        assert request.target == key_hash(public_key)
        assert verify_mutable(put, public_key)


@pytest.mark.parametrize("command", [HyperDhtCommand.ANNOUNCE, HyperDhtCommand.UNANNOUNCE])
def test_a_signature_is_valid_for_one_command_topic_node_and_token(command: HyperDhtCommand) -> None:
    signed = sign_announcement(command, OURS, TARGET, NODE, TOKEN, RELAYS)
    assert verify_announcement(command, signed, TARGET, NODE, TOKEN)
    other = HyperDhtCommand.ANNOUNCE if command is HyperDhtCommand.UNANNOUNCE else HyperDhtCommand.UNANNOUNCE
    assert not verify_announcement(other, signed, TARGET, NODE, TOKEN)
    for fields in ((NODE, NODE, TOKEN), (TARGET, TARGET, TOKEN), (TARGET, NODE, NODE)):
        assert not verify_announcement(command, signed, *fields)


def test_a_signature_is_valid_for_one_record() -> None:
    signed = sign_announcement(HyperDhtCommand.ANNOUNCE, OURS, TARGET, NODE, TOKEN, RELAYS)
    assert signed.peer == Peer(OURS.ed25519_public_key, RELAYS)
    for forged in (
        Announcement(Peer(OURS.ed25519_public_key, ()), signed.signature),
        Announcement(Peer(KeyPair.from_seed(NODE).ed25519_public_key, RELAYS), signed.signature),
        Announcement(signed.peer, None),
        Announcement(None, signed.signature),
        Announcement(signed.peer, signed.signature, refresh=NODE),
    ):
        assert not verify_announcement(HyperDhtCommand.ANNOUNCE, forged, TARGET, NODE, TOKEN)


def test_the_signature_of_a_value_covers_its_number() -> None:
    signed = sign_mutable(OURS, 5, b"value")
    assert verify_mutable(signed, OURS.ed25519_public_key)
    assert not verify_mutable(signed, KeyPair.from_seed(NODE).ed25519_public_key)
    assert not verify_mutable(type(signed)(6, b"value", signed.signature), OURS.ed25519_public_key)
    assert not verify_mutable(type(signed)(5, b"walue", signed.signature), OURS.ed25519_public_key)
