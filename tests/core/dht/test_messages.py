"""The values of HyperDHT's messages: recorded ones of real nodes, and malformed ones."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dht.recorded import HANDSHAKE, values
from peersockets_core import RemoteProtocolError
from peersockets_core.dht.messages import (
    MOST_PEERS,
    MOST_RELAYS,
    Announcement,
    HandshakePayload,
    HolepunchInfo,
    MutableValue,
    Peer,
    RelayedHandshake,
    RelayedHolepunch,
    RelayThrough,
    UdxInfo,
    decode_announcement_untrusted,
    decode_handshake_untrusted,
    decode_holepunch_untrusted,
    decode_mutable_put_untrusted,
    decode_mutable_untrusted,
    decode_payload_untrusted,
    decode_peer_untrusted,
    decode_peers_untrusted,
    decode_seq_untrusted,
    encode_peers,
)

DECODERS: list[Callable[[bytes], Any]] = [
    decode_announcement_untrusted,
    decode_handshake_untrusted,
    decode_holepunch_untrusted,
    decode_mutable_put_untrusted,
    decode_mutable_untrusted,
    decode_payload_untrusted,
    decode_peer_untrusted,
    decode_peers_untrusted,
    decode_seq_untrusted,
]
ADDRESSES = st.tuples(st.ip_addresses(v=4).map(str), st.integers(0, 65535))
KEYS = st.binary(min_size=32, max_size=32)
PEERS = st.builds(Peer, KEYS, st.lists(ADDRESSES, max_size=MOST_RELAYS).map(tuple))
SIGNATURES = st.binary(min_size=64, max_size=64)
PAYLOADS = st.builds(
    HandshakePayload,
    firewall=st.integers(0, 3),
    error=st.integers(0, 300),
    holepunch=st.none()
    | st.builds(
        HolepunchInfo, st.integers(0, 300), st.lists(st.tuples(ADDRESSES, ADDRESSES), max_size=4).map(tuple)
    ),
    addresses=st.lists(ADDRESSES, max_size=4).map(tuple),
    udx=st.none() | st.builds(UdxInfo, st.integers(0, 2**32 - 1), st.booleans()),
    secret_stream=st.none() | st.just(1),
    relays=st.lists(ADDRESSES, max_size=4).map(tuple),
    relay_through=st.none() | st.builds(RelayThrough, KEYS, KEYS),
)


def address(decoded: Any) -> tuple[str, int] | None:
    return None if decoded is None else (decoded["host"], decoded["port"])


def addresses(decoded: list[Any]) -> tuple[Any, ...]:
    return tuple(map(address, decoded))


def test_recorded_handshakes() -> None:
    recorded = values("PEER_HANDSHAKE request", "PEER_HANDSHAKE response")
    assert {decoded["mode"] for _, decoded in recorded} == {0, 1, 2, 4}
    for value, decoded in recorded:
        read = decode_handshake_untrusted(value)
        assert read.encode() == value
        assert (read.mode, read.noise.hex()) == (decoded["mode"], decoded["noise"])
        assert read.peer_address == address(decoded["peerAddress"])
        assert read.relay_address == address(decoded["relayAddress"])


def test_recorded_announcements() -> None:
    recorded = values("ANNOUNCE request", "UNANNOUNCE request")
    assert len(recorded) >= 6
    for value, decoded in recorded:
        read = decode_announcement_untrusted(value)
        assert read.encode() == value
        assert read.peer is not None
        assert read.peer.public_key.hex() == decoded["peer"]["publicKey"]
        assert read.peer.relays == addresses(decoded["peer"]["relayAddresses"])
        assert read.signature is not None
        assert read.signature.hex() == decoded["signature"]


def test_recorded_peers() -> None:
    for value, decoded in values("FIND_PEER response"):
        assert decode_peer_untrusted(value).encode() == value
        assert decode_peer_untrusted(value).public_key.hex() == decoded["publicKey"]
    recorded = values("LOOKUP response")
    assert recorded
    for value, decoded in recorded:
        read = decode_peers_untrusted(value)
        assert encode_peers([peer.encode() for peer in read], decoded["bump"]) == value
        assert [peer.public_key.hex() for peer in read] == [peer["publicKey"] for peer in decoded["peers"]]


def test_recorded_values() -> None:
    for value, decoded in values("MUTABLE_PUT request"):
        public_key, put = decode_mutable_put_untrusted(value)
        assert public_key + put.encode() == value
        assert (put.seq, put.value.hex(), put.signature.hex()) == (
            decoded["seq"],
            decoded["value"],
            decoded["signature"],
        )
    for value, decoded in values("MUTABLE_GET response"):
        assert decode_mutable_untrusted(value).encode() == value
        assert decode_mutable_untrusted(value).seq == decoded["seq"]
    for value, decoded in values("MUTABLE_GET request"):
        assert decode_seq_untrusted(value) == decoded


def test_the_payloads_of_a_handshake() -> None:
    client, server = map(bytes.fromhex, HANDSHAKE["payloads"])
    assert decode_payload_untrusted(client) == HandshakePayload(
        firewall=1, addresses=(("10.1.2.3", 4000),), udx=UdxInfo(123456)
    )
    assert decode_payload_untrusted(client).encode() == client
    assert decode_payload_untrusted(server) == HandshakePayload(
        firewall=0,
        holepunch=HolepunchInfo(7, ((("10.1.2.4", 1), ("10.1.2.5", 65535)),)),
        udx=UdxInfo(4294967295, reusable_socket=True),
        relays=(("10.1.2.6", 49737),),
        relay_through=RelayThrough(bytes([9]) * 32, bytes([8]) * 32),
    )


def test_the_offer_of_a_relay_of_another_version_is_ignored() -> None:
    encoded = bytearray(HandshakePayload(0, relay_through=RelayThrough(bytes(32), bytes(32))).encode())
    encoded[-66] = 2
    assert decode_payload_untrusted(bytes(encoded)).relay_through is None


def test_a_payload_of_another_version_is_not_read_further() -> None:
    assert decode_payload_untrusted(b"\x02\xff\xff").version == 2


@given(PAYLOADS)
def test_round_trip_of_payloads(payload: HandshakePayload) -> None:
    encoded = payload.encode()
    assert decode_payload_untrusted(encoded) == payload
    for size in range(len(encoded)):
        with pytest.raises(RemoteProtocolError):
            decode_payload_untrusted(encoded[:size])


@given(
    st.builds(
        Announcement, st.none() | PEERS, st.none() | SIGNATURES, st.none() | KEYS, st.integers(0, 2**40)
    )
)
def test_round_trip_of_announcements(announcement: Announcement) -> None:
    assert decode_announcement_untrusted(announcement.encode()) == announcement


@given(
    st.builds(RelayedHandshake, st.integers(0, 9), st.binary(max_size=99), *[st.none() | ADDRESSES] * 2),
    st.builds(
        RelayedHolepunch,
        st.integers(0, 9),
        st.integers(0, 300),
        st.binary(max_size=99),
        st.none() | ADDRESSES,
    ),
    st.builds(MutableValue, st.integers(0, 2**40), st.binary(max_size=99), SIGNATURES),
)
def test_round_trip_of_the_others(
    handshake: RelayedHandshake, holepunch: RelayedHolepunch, mutable: MutableValue
) -> None:
    assert decode_handshake_untrusted(handshake.encode()) == handshake
    assert decode_holepunch_untrusted(holepunch.encode()) == holepunch
    assert decode_mutable_untrusted(mutable.encode()) == mutable


def test_lists_that_are_too_long_are_cut() -> None:
    peer = Peer(bytes(32), tuple(("10.0.0.1", port) for port in range(1, 50)))
    assert decode_peer_untrusted(peer.encode()).relays == peer.relays[:MOST_RELAYS]
    assert len(decode_peers_untrusted(encode_peers([Peer(bytes(32)).encode()] * 99))) == MOST_PEERS
    relays = tuple((("10.0.0.1", 1), ("10.0.0.2", port)) for port in range(99))
    payload = HandshakePayload(firewall=0, holepunch=HolepunchInfo(1, relays), addresses=peer.relays)
    read = decode_payload_untrusted(payload.encode())
    assert read.holepunch is not None
    assert len(read.holepunch.relays) == len(read.addresses) == 16


def test_a_missing_list_of_relays_is_refused() -> None:
    payload = HandshakePayload(firewall=0, holepunch=HolepunchInfo(1, ())).encode()
    with pytest.raises(RemoteProtocolError, match="ends within its relays"):
        decode_payload_untrusted(payload[:5] + b"\xfe\xff\xff\xff\xff")


@given(st.binary(max_size=200))
@pytest.mark.parametrize("decode", DECODERS)
def test_any_bytes(decode: Callable[[bytes], Any], data: bytes) -> None:
    with suppress(RemoteProtocolError):
        decode(data)


def test_the_messages_are_frozen() -> None:
    for kind in (Peer, Announcement, MutableValue, RelayedHandshake, RelayedHolepunch, HandshakePayload):
        assert attrs.has(kind)
        assert kind.__setattr__ is not object.__setattr__
