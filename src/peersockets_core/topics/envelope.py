"""The envelope of requests and replies: the encoding of a request as a topic message.

An envelope is a CBOR array (RFC 8949) in deterministic form; docs/requests.md shows the bytes:

    [0, id, data]   request      [2, id, text]   error, instead of a reply
    [1, id, data]   reply        [3, id]         cancel, by the asker
"""

from __future__ import annotations

import enum
import re
from typing import Final, NamedTuple

import cbor2

from ..errors import RemoteProtocolError

LARGEST_ID: Final = 2**32 - 1
"""The largest id, of four bytes. Every language can read it as an exact number, JavaScript in one call."""


class Kind(enum.IntEnum):
    """The first item of an envelope."""

    REQUEST = 0
    REPLY = 1
    ERROR = 2
    CANCEL = 3


class Envelope(NamedTuple):
    """One message."""

    kind: Kind
    id: int
    """The asker's number for the request, up to `LARGEST_ID`."""
    data: bytes = b""
    """The data of a request or a reply."""
    text: str = ""
    """The text of an error, for people."""


_HEADS: Final = re.compile(
    rb"(?:\x83[\x00-\x02]|\x82\x03)"  # an array of two or three items, of which the first is the kind
    rb"(?:[\x00-\x17]|\x18.|\x19..|\x1a.{4})"  # an unsigned integer of at most four bytes
    rb"(?:[\x40-\x5b\x60-\x7b]|\Z)",  # bytes or text of a definite length, or nothing
    re.DOTALL,
)
"""The beginning of an envelope. Only messages that match reach the decoder: any other one could make
cbor2 6.3.0 compile a regular expression, or build a list of millions of items."""


def encode(kind: Kind, number: int, body: bytes | str | None = None) -> bytes:
    """Encode an envelope. The body is data for a request or reply, text for an error, and None for a cancel.

    Lone surrogates in a text become question marks.
    """
    if body is None:
        return cbor2.dumps([int(kind), number])
    if isinstance(body, str):
        body = body.encode(errors="replace").decode()
    return cbor2.dumps([int(kind), number, body])


def decode_untrusted(message: bytes) -> Envelope:
    """Decode an envelope. Raises only `RemoteProtocolError`, for any message that `encode` does not make."""
    if not _HEADS.match(message):
        raise RemoteProtocolError("request: not an envelope")
    try:
        items = cbor2.loads(message)
    except cbor2.CBORDecodeError as error:
        raise RemoteProtocolError(f"request: {error}") from None
    # Each envelope has exactly one encoding: every head is as short as possible, and no bytes follow.
    if cbor2.dumps(items) != message:
        raise RemoteProtocolError("request: not in the deterministic form")
    match items:
        case [Kind.REQUEST | Kind.REPLY as kind, number, bytes(data)]:
            return Envelope(Kind(kind), number, data=data)
        case [Kind.ERROR, number, str(text)]:
            return Envelope(Kind.ERROR, number, text=text)
        case [Kind.CANCEL, number]:
            return Envelope(Kind.CANCEL, number)
    raise RemoteProtocolError("request: a body of the wrong type")
