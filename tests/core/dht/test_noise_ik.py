"""The handshake of HyperDHT, compared with that of the reference."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dht.recorded import HANDSHAKE
from peersockets_core import KeyPair, RemoteProtocolError
from peersockets_core.dht.messages import HandshakePayload, UdxInfo, decode_payload_untrusted
from peersockets_core.dht.noise_ik import HandshakeNoise

SEEDS = [bytes.fromhex(seed) for seed in HANDSHAKE["seeds"]]
CLIENT, SERVER = KeyPair.from_seed(SEEDS[0]), KeyPair.from_seed(SEEDS[1])
FIRST, SECOND = (bytes.fromhex(message) for message in HANDSHAKE["messages"])
PAYLOAD = HandshakePayload(firewall=0, udx=UdxInfo(7))


def sides() -> tuple[HandshakeNoise, HandshakeNoise]:
    return (
        HandshakeNoise(CLIENT, lambda size: SEEDS[2], SERVER.ed25519_public_key),
        HandshakeNoise(SERVER, lambda size: SEEDS[3]),
    )


def test_the_bytes_are_those_of_the_reference() -> None:
    client, server = sides()
    assert client.write(decode_payload_untrusted(bytes.fromhex(HANDSHAKE["payloads"][0]))) == FIRST
    server.read_untrusted(FIRST)
    assert server.remote_public_key == CLIENT.ed25519_public_key
    payload = client.read_untrusted(SECOND)
    assert payload.udx == UdxInfo(4294967295, reusable_socket=True)
    keys = client.keys()
    assert keys.handshake_hash.hex() == HANDSHAKE["hash"]
    assert (keys.sending_key.hex(), keys.receiving_key.hex()) == (HANDSHAKE["tx"], HANDSHAKE["rx"])
    assert keys.remote_public_key == SERVER.ed25519_public_key


def test_both_sides_have_the_same_keys() -> None:
    client, server = sides()
    assert server.read_untrusted(client.write(PAYLOAD)) == PAYLOAD
    assert client.read_untrusted(server.write(PAYLOAD)) == PAYLOAD
    ours, theirs = client.keys(), server.keys()
    assert (ours.sending_key, ours.receiving_key) == (theirs.receiving_key, theirs.sending_key)
    assert ours.handshake_hash == theirs.handshake_hash


def test_there_are_no_keys_before_the_end() -> None:
    client, _ = sides()
    with pytest.raises(RemoteProtocolError, match="not finished"):
        client.keys()


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_forged_answer_leaves_room_for_the_right_one(position: int, change: int) -> None:
    client, server = sides()
    server.read_untrusted(client.write(PAYLOAD))
    answer = server.write(PAYLOAD)
    forged = bytearray(answer)
    forged[position % len(answer)] ^= change
    with pytest.raises(RemoteProtocolError):
        client.read_untrusted(bytes(forged))
    assert client.read_untrusted(answer) == PAYLOAD
    assert client.keys().handshake_hash == server.keys().handshake_hash


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    _, server = sides()
    with pytest.raises(RemoteProtocolError):
        server.read_untrusted(data)


def test_a_server_with_another_key_reads_nothing() -> None:
    numbers = count()
    client = HandshakeNoise(
        CLIENT, lambda size: bytes([next(numbers)]) * size, KeyPair.from_seed(b"x" * 32).ed25519_public_key
    )
    _, server = sides()
    with pytest.raises(RemoteProtocolError):
        server.read_untrusted(client.write(PAYLOAD))
