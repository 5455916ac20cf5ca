"""The frames of `peersockets.v1`, without I/O: see `docs/protocol/browser.md`."""

from __future__ import annotations

import json
import struct
from typing import Final, TypeAlias

import attrs

from peersockets_core import RemoteProtocolError

from .limits import LARGEST_BATCH, LARGEST_MESSAGE, LARGEST_TEXT, LARGEST_TOPIC

SUBPROTOCOL: Final = "peersockets.v1"
LARGEST_NUMBER: Final = 0xFFFFFFFF
"""The largest handle."""
LARGEST_FRAME: Final = LARGEST_MESSAGE + 8
"""Bytes of the largest frame of a page."""

BATCH_HEAD: Final = bytes(4)
"""The first bytes of a batch: the handle 0."""
RECORD_HEAD: Final = struct.Struct(">III")
"""The head of a record of a batch: handle, peer id, length of the message."""
_MESSAGE: Final = struct.Struct(">II")


@attrs.frozen
class JoinTopic:
    """The page joins a topic."""

    handle: int
    topic: str


@attrs.frozen
class WatchMembers:
    """The page watches the members of the drive."""

    handle: int


@attrs.frozen
class CloseHandle:
    """The page closes a handle."""

    handle: int


PageCommand: TypeAlias = JoinTopic | WatchMembers | CloseHandle

PageMessage: TypeAlias = tuple[int, int, bytes]
"""A message of the page: its handle, the receiver's id, and the payload. It is a tuple for speed."""


def read_text_untrusted(text: str) -> PageCommand:
    """Read a text frame of a page. Raises `RemoteProtocolError`."""
    _check_size("a text frame", text, LARGEST_TEXT)
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise RemoteProtocolError("a text frame is not JSON") from None
    match fields:
        case ["join", handle, str(topic)]:
            _check_size("a topic", topic, LARGEST_TOPIC)
            return JoinTopic(_handle(handle), topic)
        case ["watch", handle]:
            return WatchMembers(_handle(handle))
        case ["close", handle]:
            return CloseHandle(_handle(handle))
    raise RemoteProtocolError("a text frame is none of join, watch and close")


def read_binary_untrusted(data: bytes) -> list[PageMessage]:
    """Read a binary frame of a page: one message, or a batch. Raises `RemoteProtocolError`."""
    if data[:4] == BATCH_HEAD:
        return _read_batch_untrusted(data)
    if len(data) < _MESSAGE.size:
        raise RemoteProtocolError("a binary frame is shorter than its head")
    handle, peer_id = _MESSAGE.unpack_from(data)
    return [(handle, peer_id, data[_MESSAGE.size :])]


def _read_batch_untrusted(data: bytes) -> list[PageMessage]:
    """Read a batch. Raises `RemoteProtocolError`."""
    end = len(data)
    if end - len(BATCH_HEAD) > LARGEST_BATCH:
        raise RemoteProtocolError(f"a batch is larger than {LARGEST_BATCH} bytes")
    messages = []
    position = len(BATCH_HEAD)
    while position < end:
        body = position + RECORD_HEAD.size
        if body > end:
            raise RemoteProtocolError("a batch ends within the head of a record")
        handle, peer_id, length = RECORD_HEAD.unpack_from(data, position)
        position = body + length
        if position > end:
            raise RemoteProtocolError("a batch ends within a message")
        if not handle:
            raise RemoteProtocolError("a record of a batch has the handle 0")
        messages.append((handle, peer_id, data[body:position]))
    if not messages:
        raise RemoteProtocolError("a batch has no record")
    return messages


def write_text(*fields: object) -> str:
    """Return a text frame with these fields."""
    return json.dumps(fields, separators=(",", ":"))


def write_messages(chunks: list[bytes], count: int) -> bytes:
    """Return a binary frame from the heads and payloads of `count` messages: a message alone, or a batch."""
    if count == 1:
        head, payload = chunks
        return head[: _MESSAGE.size] + payload
    return b"".join([BATCH_HEAD, *chunks])


def _handle(value: object) -> int:
    if type(value) is not int or not 0 < value <= LARGEST_NUMBER:
        raise RemoteProtocolError(f"a handle is not an integer from 1 to {LARGEST_NUMBER}")
    return value


def _check_size(name: str, text: str, largest: int) -> None:
    """Raise `RemoteProtocolError` for a text that is too large, or that UTF-8 cannot carry."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise RemoteProtocolError(f"{name} has lone surrogates") from None
    if size > largest:
        raise RemoteProtocolError(f"{name} is larger than {largest} bytes")
