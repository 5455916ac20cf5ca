"""Frames: varint length, varint header (channel << 4 | type), body. Source: simple-message-channels 1.2.1.

Parsing is the hot path of receiving, so one loop reads everything that a read brought, and consecutive
extension messages with the same id on channel 0, where topics live, come out as one run.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import attrs

from ..errors import RemoteProtocolError
from . import varint
from .messages import EXTENSION_TYPE

KEEPALIVE: Final = b"\0"
"""A frame of length zero."""

_MORE = 0x80


@attrs.frozen
class Frame:
    """One frame that is not an extension message on channel 0."""

    channel: int
    type: int
    body: bytes


@attrs.frozen
class ExtensionRun:
    """Consecutive extension messages on channel 0 with the same id."""

    id: int
    payloads: list[bytes]


Item: TypeAlias = Frame | ExtensionRun


def encode(channel: int, message_type: int, body: bytes) -> bytes:
    """Return one frame."""
    header = varint.encode(channel << 4 | message_type)
    return varint.encode(len(header) + len(body)) + header + body


def extension_head(extension_id: int, payload_size: int) -> bytes:
    """Return what stands before the payload of an extension message on channel 0."""
    encoded_id = varint.encode(extension_id)
    return varint.encode(1 + len(encoded_id) + payload_size) + bytes((EXTENSION_TYPE,)) + encoded_id


class FrameParser:
    """Cuts a decrypted byte stream into frames, whatever chunks it comes in."""

    __slots__ = ("_buffer", "_max_body", "_wanted")

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._buffer = bytearray()
        self._wanted = 0  # bytes that must be there before a look is worth while

    @property
    def empty(self) -> bool:
        """Whether the stream stands between two frames."""
        return not self._buffer

    def clear(self) -> None:
        """Let go of what has come of a frame."""
        self._buffer.clear()

    def parse_untrusted(self, data: bytes, items: list[Item]) -> None:
        """Append what the next bytes complete to `items`. Raises only `RemoteProtocolError`."""
        buffer = self._buffer
        if buffer:
            buffer += data
            if len(buffer) < self._wanted:
                return
            data = bytes(buffer)
            buffer.clear()
        position, end = 0, len(data)
        run_id = -1
        payloads: list[bytes] = []
        self._wanted = 0
        while position < end:
            # The length and the id of a short message are single bytes; everything else goes the long way.
            length = data[position]
            start = position + 1
            if length >= _MORE:
                decoded = varint.decode_untrusted(data, position)
                if decoded is None:
                    break
                length, start = decoded
                if length > self._max_body + varint.MAX_SIZE:
                    raise self._too_large(length)
            if not length:  # a keepalive
                position = start
                continue
            stop = start + length
            if stop > end:
                self._wanted = stop - position
                break
            if data[start] == EXTENSION_TYPE and length > 1 and data[start + 1] < _MORE:
                if length - 1 > self._max_body:
                    raise self._too_large(length)
                if data[start + 1] != run_id:
                    run_id = data[start + 1]
                    payloads = []
                    items.append(ExtensionRun(run_id, payloads))
                payloads.append(data[start + 2 : stop])
            else:
                run_id = -1
                items.append(self._frame_untrusted(data[start:stop]))
            position = stop
        if position < end:
            buffer += data[position:] if position else data

    def _frame_untrusted(self, frame: bytes) -> Item:
        decoded = varint.decode_untrusted(frame, 0)
        if decoded is None:
            raise RemoteProtocolError("a frame ends within its header")
        header, start = decoded
        if len(frame) - start > self._max_body:
            raise self._too_large(len(frame))
        channel, message_type = header >> 4, header & 15
        if message_type != EXTENSION_TYPE:
            return Frame(channel, message_type, frame[start:])
        decoded = varint.decode_untrusted(frame, start)
        if decoded is None:
            raise RemoteProtocolError("an extension message ends within its id")
        if channel:
            return Frame(channel, message_type, frame[start:])
        extension_id, start = decoded
        return ExtensionRun(extension_id, [frame[start:]])

    def _too_large(self, length: int) -> RemoteProtocolError:
        return RemoteProtocolError(f"frame of {length} bytes is over the limit of {self._max_body}")
