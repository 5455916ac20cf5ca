"""A connection whose handshake took place elsewhere, as in HyperDHT."""

from __future__ import annotations

from typing import Any

import pytest

from core.support import key_pair
from peersockets_core import Connection, ConnectionClosed, DriveKey, DriveOpened, HandshakeCompleted
from peersockets_core.wires.keys import Keys

DRIVE = DriveKey(bytes(range(32)))
HASH = b"h" * 64


def side(initiator: bool, **options: Any) -> Connection:
    ours, theirs = (b"i" * 32, b"r" * 32) if initiator else (b"r" * 32, b"i" * 32)
    remote = key_pair("bob" if initiator else "alice")
    keys = Keys(ours, theirs, HASH, remote.ed25519_public_key)
    return Connection(
        **{
            "wire": "hypercore11",
            "initiator": initiator,
            "key_pair": key_pair("alice" if initiator else "bob"),
            "entropy": lambda size: bytes(size),
            "now": 0.0,
            "keys": keys,
            **options,
        }
    )


def test_the_first_bytes_complete_the_handshake() -> None:
    alice, bob = side(True), side(False)
    for connection in (alice, bob):
        connection.open_drive(DRIVE)
    events: list[Any] = []
    for _ in range(4):
        for sender, receiver in ((alice, bob), (bob, alice)):
            events += [(receiver, event) for event in receiver.receive_data(sender.data_to_send(), 0.0)]
    for connection, remote in ((alice, bob), (bob, alice)):
        heard = [event for receiver, event in events if receiver is connection]
        assert isinstance(heard[0], HandshakeCompleted)
        assert heard[0].remote_public_key == remote.key_pair.ed25519_public_key
        assert heard[0].handshake_hash == HASH
        assert DriveOpened(DRIVE.discovery_key) in heard


def test_both_sides_speak_at_once() -> None:
    assert len(side(True).data_to_send()) == len(side(False).data_to_send()) == 59


def test_a_silent_remote_is_given_up_after_the_time_of_a_handshake() -> None:
    connection = side(False)
    connection.data_to_send()
    assert connection.next_deadline() == 10.0
    (closed,) = connection.handle_deadline(10.0)
    assert isinstance(closed, ConnectionClosed)


def test_keys_are_only_for_hypercore11() -> None:
    for wire in (None, "hypercore9"):
        with pytest.raises(ValueError, match="keys need the wire hypercore11"):
            side(False, wire=wire)
