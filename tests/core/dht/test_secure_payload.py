"""The messages of hole punching on the wire: those of the reference, and malformed ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from core.dht.support import entropy
from peersockets_core import RemoteProtocolError
from peersockets_core.dht.secure_payload import SecurePayload, decode_round_untrusted, encode_round
from peersockets_core.holepunch import Round

RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("holepunch.json").read_text())
HASH = bytes.fromhex(RECORDED["handshakeHash"])
MOST = 8
FULL = Round(
    error=1,
    firewall=2,
    round=300,
    connected=True,
    punching=True,
    addresses=(("1.2.3.4", 5), ("6.7.8.9", 65535)),
    remote_address=("10.11.12.13", 14),
    token=b"t" * 32,
    remote_token=b"T" * 32,
)


def made(seed: int = 1) -> SecurePayload:
    return SecurePayload(HASH, entropy(seed), MOST)


def address(recorded: dict[str, Any] | None) -> tuple[str, int] | None:
    return None if recorded is None else (recorded["host"], recorded["port"])


def message_of(recorded: dict[str, Any]) -> Round:
    token, remote_token = recorded["token"], recorded["remoteToken"]
    return Round(
        recorded["error"],
        recorded["firewall"],
        recorded["round"],
        recorded["connected"],
        recorded["punching"],
        tuple((each["host"], each["port"]) for each in recorded["addresses"] or ()),
        address(recorded["remoteAddress"]),
        None if token is None else bytes.fromhex(token),
        None if remote_token is None else bytes.fromhex(remote_token),
    )


@pytest.mark.parametrize("index", range(len(RECORDED["messages"])))
def test_the_bytes_are_those_of_the_reference(index: int) -> None:
    """tests/interop/hyperswarm/record-holepunch.js makes the vectors."""
    recorded = RECORDED["messages"][index]
    message = message_of(recorded["message"])
    assert made().open_untrusted(bytes.fromhex(recorded["sealed"])) == message
    assert encode_round(message).hex() == recorded["plain"]


def test_the_other_side_reads_a_sealed_message() -> None:
    ours, theirs = made(1), made(2)
    sealed = ours.seal(FULL)
    assert theirs.open_untrusted(sealed) == FULL
    assert ours.seal(FULL) != sealed


@pytest.mark.parametrize("size", range(len(encode_round(FULL))))
def test_a_message_that_is_cut_short_is_refused(size: int) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_round_untrusted(encode_round(FULL)[:size], MOST)


def test_bytes_that_follow_a_message_are_ignored() -> None:
    assert decode_round_untrusted(encode_round(FULL) + b"more", MOST) == FULL


def test_the_number_of_addresses_is_bounded() -> None:
    many = attrs.evolve(FULL, addresses=tuple(("1.2.3.4", port) for port in range(1, 1001)))
    assert decode_round_untrusted(encode_round(many), MOST) == attrs.evolve(
        many, addresses=many.addresses[:MOST]
    )


@pytest.mark.parametrize("size", [0, 1, 23, 24, 40])
def test_a_message_that_is_too_short_is_refused(size: int) -> None:
    with pytest.raises(RemoteProtocolError, match="too short"):
        made().open_untrusted(bytes(size))


def test_every_changed_byte_is_noticed() -> None:
    sealed = made().seal(FULL)
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes((sealed[at] ^ 1,)) + sealed[at + 1 :]
        with pytest.raises(RemoteProtocolError, match="not from the peer"):
            made().open_untrusted(changed)


def test_a_message_of_another_handshake_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="not from the peer"):
        made().open_untrusted(SecurePayload(bytes(64), entropy(1), MOST).seal(FULL))


def test_a_token_belongs_to_one_host_and_one_handshake() -> None:
    payload = made()
    assert payload.token("1.2.3.4") == payload.token("1.2.3.4")
    assert payload.token("1.2.3.4") != payload.token("1.2.3.5")
    assert payload.token("1.2.3.4") != made(2).token("1.2.3.4")


def test_keys_are_not_shown() -> None:
    assert "<secret" in repr(vars(made()))
