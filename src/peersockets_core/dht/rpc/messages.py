"""The datagrams of dht-rpc: requests and responses.

Source: dht-rpc 6.27.0, `lib/io.js` (`RpcRequest.decode`, `decodeReply`, `_encodeRequest`, `_sendReply`).
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

import attrs

from ...address import SocketAddress
from ...errors import RemoteProtocolError
from ...wires.hypercore11.encoding import encode_buffer, encode_uint
from .address import ID_SIZE, encode_address
from .reader import Reader

REQUEST: Final = 0x03
"""The first byte of a request: version 3 in the low half, type 0 in the high one."""

RESPONSE: Final = 0x13
"""The first byte of a response: version 3, type 1."""

TOKEN_SIZE: Final = 32
MOST_CLOSER_NODES: Final = 20
"""The most closer nodes that are read from one response; the reference sends no more than a table row
holds."""

_ID, _TOKEN = 1, 2
_INTERNAL, _TARGET, _VALUE = 4, 8, 16  # of requests
_CLOSER, _ERROR = 4, 8  # of responses, which share _VALUE


_HEAD: Final = struct.Struct("<BBH")
_QUESTION: Final = struct.Struct(f"<BBH4BHB{ID_SIZE}s")
"""A request that has a target and no other optional field."""
_QUESTION_SIZE: Final = _QUESTION.size
_QUESTION_FLAGS: Final = frozenset({_TARGET, _TARGET | _INTERNAL})
_LONGER: Final = 0xFD
"""The smallest first byte of a number of more than one byte."""


class RpcCommand(IntEnum):
    """The commands of dht-rpc itself, marked as internal on the wire."""

    PING = 0
    PING_NAT = 1
    FIND_NODE = 2
    DOWN_HINT = 3
    DELAYED_PING = 4


class RpcErrorCode(IntEnum):
    """The errors in answers of dht-rpc itself."""

    NONE = 0
    UNKNOWN_COMMAND = 1
    INVALID_TOKEN = 2


@attrs.frozen
class RpcRequest:
    """A request to one node."""

    tid: int
    """The transaction id, 16 bits; the response repeats it."""
    to: SocketAddress
    """The destination of the datagram: the receiver's address as the sender sees it."""
    command: int
    internal: bool = False
    """Whether `command` is one of dht-rpc's own (`RpcCommand`)."""
    id: bytes | None = None
    """The sender's node id, if it is a persistent node."""
    token: bytes | None = None
    target: bytes | None = None
    """The 32-byte key that the request is about."""
    value: bytes | None = None


@attrs.frozen
class RpcResponse:
    """The answer to a request."""

    tid: int
    to: SocketAddress
    """The destination of the datagram: the asker's address as the answering node sees it."""
    id: bytes | None = None
    token: bytes | None = None
    """For a later commit to the same node: proof that we receive datagrams at our address."""
    closer_nodes: tuple[SocketAddress, ...] = ()
    """Nodes closer to the target that the answering node knows."""
    error: int = RpcErrorCode.NONE
    value: bytes | None = None


def encode_request(request: RpcRequest) -> bytes:
    """Return the datagram of a request."""
    flags = (
        (request.id is not None) * _ID
        | (request.token is not None) * _TOKEN
        | request.internal * _INTERNAL
        | (request.target is not None) * _TARGET
        | (request.value is not None) * _VALUE
    )
    return b"".join(
        (
            _HEAD.pack(REQUEST, flags, request.tid),
            encode_address(request.to),
            request.id or b"",
            request.token or b"",
            encode_uint(request.command),
            request.target or b"",
            b"" if request.value is None else encode_buffer(request.value),
        )
    )


def encode_response(response: RpcResponse) -> bytes:
    """Return the datagram of a response."""
    return encode_answer(
        response.tid,
        response.to,
        response.id,
        response.token,
        encode_nodes([encode_address(address) for address in response.closer_nodes]),
        response.error,
        response.value,
    )


def encode_nodes(addresses: list[bytes]) -> bytes:
    """Return a list of encoded addresses as a response has it, or nothing for an empty one."""
    return encode_uint(len(addresses)) + b"".join(addresses) if addresses else b""


def encode_answer(
    tid: int,
    to: SocketAddress,
    id: bytes | None,
    token: bytes | None,
    closer: bytes,
    error: int,
    value: bytes | None,
) -> bytes:
    """Return the datagram of a response with these fields. `closer` is the encoded list of the closer nodes;
    empty, it is left out.
    """
    flags = 0
    fields = b""
    if id is not None:
        flags = _ID
        fields = id
    if token is not None:
        flags |= _TOKEN
        fields += token
    if closer:
        flags |= _CLOSER
        fields += closer
    if error:
        flags |= _ERROR
        fields += encode_uint(error)
    if value is not None:
        flags |= _VALUE
        fields += encode_buffer(value)
    return _HEAD.pack(RESPONSE, flags, tid) + encode_address(to) + fields


def decode_untrusted(datagram: bytes) -> RpcRequest | RpcResponse:
    """Read a datagram. Like the reference, this ignores bytes after the message.

    An empty value is read as None, and closer nodes past the first `MOST_CLOSER_NODES` are left out. Raises
    only `RemoteProtocolError`.
    """
    if not datagram:
        raise RemoteProtocolError("a datagram is empty")
    kind = datagram[0]
    if kind not in (REQUEST, RESPONSE):
        raise RemoteProtocolError(f"a datagram that begins with {kind:#04x} is not a DHT message")
    if kind == REQUEST and len(datagram) == _QUESTION_SIZE and datagram[1] in _QUESTION_FLAGS:
        # Most datagrams of a busy node are these: an ephemeral node asks about a target.
        _, flags, tid, a, b, c, d, port, command, target = _QUESTION.unpack(datagram)
        if command < _LONGER:
            return RpcRequest(tid, (f"{a}.{b}.{c}.{d}", port), command, flags != _TARGET, None, None, target)
    reader = Reader(datagram, 1)
    flags = reader.uint_untrusted()
    tid = int.from_bytes(reader.fixed_untrusted(2), "little")
    to = reader.address_untrusted()
    sender_id = reader.fixed_untrusted(ID_SIZE) if flags & _ID else None
    token = reader.fixed_untrusted(TOKEN_SIZE) if flags & _TOKEN else None
    if kind == REQUEST:
        command = reader.uint_untrusted()
        target = reader.fixed_untrusted(ID_SIZE) if flags & _TARGET else None
        value = (reader.buffer_untrusted() or None) if flags & _VALUE else None
        return RpcRequest(tid, to, command, bool(flags & _INTERNAL), sender_id, token, target, value)
    closer = reader.addresses_untrusted(MOST_CLOSER_NODES) if flags & _CLOSER else ()
    error = reader.uint_untrusted() if flags & _ERROR else RpcErrorCode.NONE
    value = (reader.buffer_untrusted() or None) if flags & _VALUE else None
    return RpcResponse(tid, to, sender_id, token, closer, error, value)
