"""Addresses and the ids that follow from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dht.recorded import DATAGRAMS
from peersockets_core.dht.rpc.address import decode_address, distance, encode_address, node_id
from peersockets_core.dht.rpc.messages import decode_untrusted


def test_the_bytes_of_an_address() -> None:
    assert encode_address(("1.2.3.4", 0x0506)) == bytes((1, 2, 3, 4, 6, 5))
    assert decode_address(b"xx" + bytes((1, 2, 3, 4, 6, 5)), 2) == ("1.2.3.4", 0x0506)


@given(st.ip_addresses(v=4).map(str), st.integers(0, 65535))
def test_round_trip(host: str, port: int) -> None:
    assert decode_address(encode_address((host, port))) == (host, port)


@pytest.mark.parametrize("host", ["localhost", "::1", "1.2.3", ""])
def test_a_host_that_is_not_ipv4_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"IPv4|octets|empty"):
        encode_address((host, 1))


def test_the_ids_of_real_nodes() -> None:
    ids = 0
    for recorded in DATAGRAMS:
        id = decode_untrusted(bytes.fromhex(recorded["datagram"])).id
        if id is not None:
            ids += 1
            assert id == node_id((recorded["source"]["host"], recorded["source"]["port"]))
    assert ids > 20


def test_distance() -> None:
    assert distance(b"\x01\x00", b"\x00\x03") == 0x0103
    assert distance(b"abc", b"abc") == 0
