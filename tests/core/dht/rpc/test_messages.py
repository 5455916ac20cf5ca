"""The datagrams of dht-rpc: recorded ones of real nodes, and malformed ones."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dht.recorded import DATAGRAMS
from peersockets_core import RemoteProtocolError
from peersockets_core.dht.rpc.address import node_id
from peersockets_core.dht.rpc.messages import (
    MOST_CLOSER_NODES,
    RpcCommand,
    RpcErrorCode,
    RpcRequest,
    RpcResponse,
    decode_untrusted,
    encode_request,
    encode_response,
)

ADDRESSES = st.tuples(st.ip_addresses(v=4).map(str), st.integers(0, 65535))
IDS = st.none() | st.binary(min_size=32, max_size=32)
VALUES = st.none() | st.binary(min_size=1, max_size=40)
REQUESTS = st.builds(
    RpcRequest, st.integers(0, 65535), ADDRESSES, st.integers(0, 300), st.booleans(), IDS, IDS, IDS, VALUES
)
RESPONSES = st.builds(
    RpcResponse,
    st.integers(0, 65535),
    ADDRESSES,
    IDS,
    IDS,
    st.lists(ADDRESSES, max_size=MOST_CLOSER_NODES).map(tuple),
    st.integers(0, 300),
    VALUES,
)


def encode(message: RpcRequest | RpcResponse) -> bytes:
    return encode_request(message) if isinstance(message, RpcRequest) else encode_response(message)


def name(recorded: dict[str, Any]) -> str:
    kind: str = recorded["kind"]
    return kind


@pytest.mark.parametrize("recorded", DATAGRAMS, ids=name)
def test_datagrams_of_real_nodes(recorded: dict[str, Any]) -> None:
    datagram = bytes.fromhex(recorded["datagram"])
    message = decode_untrusted(datagram)
    assert encode(message) == datagram
    assert (message.value.hex() if message.value is not None else None) == recorded["value"]
    source = (recorded["source"]["host"], recorded["source"]["port"])
    assert message.id in (None, node_id(source))
    command = recorded["kind"].split()[0]
    if isinstance(message, RpcRequest) and message.internal:
        assert RpcCommand(message.command).name == command


def test_the_recording_has_every_internal_command_of_a_small_network() -> None:
    kinds = {recorded["kind"].split()[0] for recorded in DATAGRAMS}
    assert {"PING", "PING_NAT", "FIND_NODE", "DELAYED_PING"} <= kinds


@given(REQUESTS | RESPONSES)
def test_round_trip(message: RpcRequest | RpcResponse) -> None:
    assert decode_untrusted(encode(message)) == message


@given(REQUESTS | RESPONSES, st.binary(min_size=1, max_size=9))
def test_bytes_that_follow_a_message_are_ignored(message: RpcRequest | RpcResponse, rest: bytes) -> None:
    assert decode_untrusted(encode(message) + rest) == message


@given(REQUESTS | RESPONSES)
def test_a_message_that_is_cut_short_is_refused(message: RpcRequest | RpcResponse) -> None:
    datagram = encode(message)
    for size in range(len(datagram)):
        with pytest.raises(RemoteProtocolError):
            decode_untrusted(datagram[:size])


@given(st.binary(max_size=80))
def test_any_bytes(data: bytes) -> None:
    for datagram in (data, b"\x03" + data, b"\x13" + data):
        with suppress(RemoteProtocolError):
            decode_untrusted(datagram)


def test_closer_nodes_beyond_a_row_are_ignored() -> None:
    nodes = tuple(("10.0.0.1", port) for port in range(1, 201))
    response = RpcResponse(7, ("10.0.0.2", 1), None, None, nodes, RpcErrorCode.NONE, b"value")
    decoded = decode_untrusted(encode_response(response))
    assert isinstance(decoded, RpcResponse)
    assert decoded.closer_nodes == nodes[:MOST_CLOSER_NODES]
    assert decoded.value == b"value"


def test_an_empty_value_reads_as_none() -> None:
    for message in (
        RpcRequest(7, ("10.0.0.2", 1), 3, value=b""),
        RpcResponse(7, ("10.0.0.2", 1), value=b""),
    ):
        assert decode_untrusted(encode(message)).value is None


def test_a_request_of_the_usual_size_with_a_longer_command() -> None:
    """The reader takes a message with a command of one byte at once, and any other message field by field."""
    usual = encode_request(RpcRequest(7, ("10.0.0.1", 5), 5, internal=False, target=bytes(32)))
    assert decode_untrusted(usual) == RpcRequest(7, ("10.0.0.1", 5), 5, internal=False, target=bytes(32))
    place = usual.index(b"\x05" + bytes(32))
    with pytest.raises(RemoteProtocolError):
        decode_untrusted(usual[:place] + b"\xfd" + bytes(32))
