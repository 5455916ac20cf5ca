"""Invariant: decoders of the DHT raise only `RemoteProtocolError`, and what they return survives encoding.

The first byte of an input chooses the decoder. Encoding a message and decoding the bytes yields the same
message. Decoding never reads past the end, and keeps no list beyond its bound.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

from fuzz.support import Script, bounded_work
from peersockets_core import RemoteProtocolError
from peersockets_core.dht import messages
from peersockets_core.dht.rpc.messages import (
    MOST_CLOSER_NODES,
    RpcRequest,
    RpcResponse,
    decode_untrusted,
    encode_request,
    encode_response,
)
from peersockets_core.wires.hypercore11.encoding import encode_uint

CALLS: Final = 600
CALLS_PER_BYTE: Final = 4

SPARE: Final = 8
"""Bytes by which a payload of another version may grow, because only its version is read."""

MOST: Final = 20
"""Entries of the longest list that a message may hold."""


def _encode_datagram(message: RpcRequest | RpcResponse) -> bytes:
    if isinstance(message, RpcRequest):
        return encode_request(message)
    assert len(message.closer_nodes) <= MOST_CLOSER_NODES
    return encode_response(message)


def _encode_peers(peers: list[messages.Peer]) -> bytes:
    assert len(peers) <= MOST
    return messages.encode_peers([peer.encode() for peer in peers])


def _encode_put(put: tuple[bytes, messages.MutableValue]) -> bytes:
    return put[0] + put[1].encode()


def _encoded(message: Any) -> bytes:
    encoded: bytes = message.encode()
    return encoded


_CODECS: Final[tuple[tuple[Callable[[bytes], Any], Callable[[Any], bytes]], ...]] = (
    (decode_untrusted, _encode_datagram),
    (messages.decode_peer_untrusted, _encoded),
    (messages.decode_peers_untrusted, _encode_peers),
    (messages.decode_announcement_untrusted, _encoded),
    (messages.decode_mutable_put_untrusted, _encode_put),
    (messages.decode_mutable_untrusted, _encoded),
    (messages.decode_seq_untrusted, encode_uint),
    (messages.decode_handshake_untrusted, _encoded),
    (messages.decode_holepunch_untrusted, _encoded),
    (messages.decode_payload_untrusted, _encoded),
)


KEPT: Final = tuple(
    bytes((index,)) + data
    for index, data in (
        (0, bytes((0x13, 4, 1, 0)) + bytes(6) + bytes((21,)) + bytes(6 * 21)),
        (2, bytes((21,)) + bytes(33 * 21)),
        (9, bytes((1, 1, 0, 1, 7, 0xFE, 0xFF, 0xFF, 0xFF, 0x7F))),
        (9, bytes((1, 4, 0, 1)) + b"\xff" * 9),
        (7, b"\x03\x02\x05noise" + bytes(12)),
        (3, b"\x0f" + bytes(33 + 32 + 64) + b"\xff" * 9),
    )
)
"""Messages with lists that are missing or one item too long, and with every flag of an
announcement."""


def run(data: bytes) -> None:
    """Play an input."""
    script = Script(data)
    decode_untrusted, encode = _CODECS[script.choose(len(_CODECS))]
    rest = script.rest()
    with bounded_work(lambda: CALLS + CALLS_PER_BYTE * len(data)), contextlib.suppress(RemoteProtocolError):
        message = decode_untrusted(rest)
        again = encode(message)
        assert len(again) <= len(rest) + SPARE
        try:
            assert decode_untrusted(again) == message
        except RemoteProtocolError as error:
            raise AssertionError("what was encoded cannot be read") from error
