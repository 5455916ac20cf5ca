"""Every recorded handshake of HyperDHT, with our code on each side: the same bytes, the same keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest

from peersockets_core import KeyPair, RemoteProtocolError
from peersockets_core.dht.messages import (
    HyperDhtCommand,
    decode_handshake_untrusted,
    decode_payload_untrusted,
)
from peersockets_core.dht.noise_ik import HandshakeNoise
from peersockets_core.dht.signing import namespace

PATHS = sorted((Path(__file__).parent / "handshakes").glob("*.cbor"))
RECORDED: dict[str, Any] = {path.stem: cbor2.loads(path.read_bytes()) for path in PATHS}
recorded = pytest.mark.parametrize("trace", RECORDED.values(), ids=RECORDED)


def drawn(secrets: dict[str, bytes]) -> Callable[[int], bytes]:
    return lambda size: secrets["ephemeral"][:size]


def sides(trace: Any) -> tuple[HandshakeNoise, HandshakeNoise]:
    secrets = trace["secrets"]
    ours, theirs = (KeyPair.from_seed(secrets[side]["seed"]) for side in ("initiator", "responder"))
    return (
        HandshakeNoise(ours, drawn(secrets["initiator"]), theirs.ed25519_public_key),
        HandshakeNoise(theirs, drawn(secrets["responder"])),
    )


def test_there_are_handshakes() -> None:
    assert len(PATHS) >= 6


@recorded
def test_both_sides_send_the_same_bytes(trace: Any) -> None:
    initiator, responder = sides(trace)
    asked, answered = map(decode_payload_untrusted, trace["payloads"])
    assert trace["prologue"] == namespace(HyperDhtCommand.PEER_HANDSHAKE)
    assert [asked.encode(), answered.encode()] == trace["payloads"]
    first, second = trace["messages"]
    assert initiator.write(asked) == first
    assert responder.read_untrusted(first) == asked
    assert responder.write(answered) == second
    assert initiator.read_untrusted(second) == answered
    ours, theirs = initiator.keys(), responder.keys()
    assert ours.handshake_hash == theirs.handshake_hash == trace["handshakeHash"]
    assert ours.sending_key == theirs.receiving_key == trace["keys"]["initiator"]
    assert theirs.sending_key == ours.receiving_key == trace["keys"]["responder"]


@recorded
def test_every_leg_is_the_same(trace: Any) -> None:
    for leg in trace["legs"]:
        handshake = decode_handshake_untrusted(leg)
        assert handshake.noise in trace["messages"]
        assert handshake.encode() == leg


@recorded
def test_a_changed_byte_is_noticed(trace: Any) -> None:
    first, _ = trace["messages"]
    for position in (0, 40, len(first) - 1):
        changed = bytearray(first)
        changed[position] ^= 1
        _, responder = sides(trace)
        with pytest.raises(RemoteProtocolError):
            responder.read_untrusted(bytes(changed))
