"""Detecting the wire, and the behaviour of a connection before that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.support import KEY, NOW, entropy, error_of, key_pair
from peersockets_core import DEFAULT_LIMITS, WIRES, Connection, WireName, parse_wire


@pytest.mark.parametrize("wire", WIRES)
def test_a_responder_learns_the_wire_from_the_first_byte(wire: WireName) -> None:
    ours = Connection(initiator=False, key_pair=key_pair("b"), entropy=entropy("b"), now=NOW)
    remote = Connection(wire=wire, initiator=True, key_pair=key_pair("a"), entropy=entropy("a"), now=NOW)
    ours.open_drive(KEY)
    wires = [ours.wire]
    assert not ours.has_output
    assert ours.data_to_send() == b""
    assert ours.receive_data(b"", NOW) == []
    assert ours.next_deadline() == NOW + DEFAULT_LIMITS.handshake_time
    for _ in range(3):
        for byte in bytes(remote.data_to_send()):
            ours.receive_data(bytes((byte,)), NOW)
        remote.receive_data(bytes(ours.data_to_send()), NOW)
    wires.append(ours.wire)
    assert wires == [None, wire]
    assert ours.remote_public_key == key_pair("a").public_keys[wire]


@pytest.mark.parametrize("first", sorted(set(range(256)) - {0x3A, 0x20}))
def test_a_first_byte_of_no_known_wire(first: int) -> None:
    ours = Connection(initiator=False, key_pair=key_pair("b"), entropy=entropy("b"), now=NOW)
    assert "begins no known wire" in error_of(ours.receive_data(bytes((first, 0, 0)), NOW))
    assert ours.wire is None
    assert ours.receive_eof(NOW) == []


def test_an_initiator_must_choose_the_wire() -> None:
    with pytest.raises(ValueError, match="wire must be one of"):
        Connection(initiator=True, key_pair=key_pair("b"), entropy=entropy("b"), now=NOW)


def test_the_remote_ends_before_it_has_sent_anything() -> None:
    ours = Connection(initiator=False, key_pair=key_pair("b"), entropy=entropy("b"), now=NOW)
    assert "before the handshake" in error_of(ours.receive_eof(NOW))


@given(st.binary(max_size=300), st.sampled_from([b"", b"\x3a", b"\x20", b"\x20\0\0"]))
def test_garbage_as_first_bytes_never_raises(data: bytes, first: bytes) -> None:
    ours = Connection(initiator=False, key_pair=key_pair("b"), entropy=entropy("b"), now=NOW)
    events = ours.receive_data(first + data, NOW) + ours.receive_eof(NOW)
    assert error_of(events)
    assert len(events) == 1


def test_the_names_of_wires() -> None:
    assert [parse_wire(name) for name in WIRES] == list(WIRES)
    for name in ("hypercore10", "", None):
        with pytest.raises(ValueError, match=rf"^wire must be one of hypercore9, hypercore11, not {name!r}$"):
            parse_wire(name)
