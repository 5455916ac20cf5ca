"""Frames: varint length, varint header (channel << 4 | type), body. Source: simple-message-channels 1.2.1.

Parsing is the hot path of receiving, so one loop reads everything that a read brought, and consecutive
extension messages with the same id on channel 0, where topics live, come out as one run.
"""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple, TypeAlias

import attrs

from ..errors import RemoteProtocolError
from ..pieces import Pieces
from . import varint
from .messages import EXTENSION_TYPE

KEEPALIVE: Final = b"\0"
"""A frame of length zero."""

_MORE = 0x80
_NO_ID = -1


@attrs.frozen
class Frame:
    """One frame that is not an extension message on channel 0."""

    channel: int
    type: int
    body: bytes


class ExtensionRun(NamedTuple):
    """Consecutive extension messages on channel 0 with the same id."""

    id: int
    payloads: list[bytes]


Item: TypeAlias = Frame | ExtensionRun

# In half the time: there is one for each message where many topics are spoken to in turn.
_make_run = partial(tuple.__new__, ExtensionRun)


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

    __slots__ = ("_id", "_max_body", "_unfinished")

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        # Of an extension message on channel 0 only the payload is kept, so that it needs no further copy.
        self._unfinished = Pieces()
        self._id = _NO_ID

    @property
    def empty(self) -> bool:
        """Whether the stream stands between two frames."""
        return not self._unfinished

    def clear(self) -> None:
        """Let go of what has come of a frame."""
        self._unfinished.take()

    def parse_untrusted(self, data: bytes, items: list[Item]) -> None:
        """Append what the next bytes complete to `items`. Raises only `RemoteProtocolError`."""
        position = 0
        if self._unfinished:
            if len(data) < self._unfinished.missing:
                self._unfinished.add(data)
                return
            data, position = self._complete(data, items)
        end = len(data)
        run_id = _NO_ID
        payloads: list[bytes] = []
        largest = self._max_body + 1  # with a header of one byte
        while position < end:
            # Lengths and ids of one and two bytes are read in place: a call costs more than all the rest
            # of a short message.
            length = data[position]
            start = position + 1
            if length >= _MORE:
                if start < end and data[start] < _MORE:
                    length += (data[start] << 7) - _MORE
                    start += 1
                else:
                    decoded = varint.decode_untrusted(data, position)
                    if decoded is None:
                        self._keep(data[position:], missing=1)
                        return
                    length, start = decoded
                if length > self._max_body + varint.MAX_SIZE:
                    raise self._too_large(length)
            stop = start + length
            body = start + 2
            extension_id = _NO_ID
            if 1 < length <= largest and body <= end and data[start] == EXTENSION_TYPE:
                extension_id = data[start + 1]
                if extension_id >= _MORE:
                    if length > 2 and body < end and data[body] < _MORE:
                        extension_id += (data[body] << 7) - _MORE
                        body += 1
                    else:
                        extension_id = _NO_ID
            if stop > end:
                piece = data[position:] if extension_id == _NO_ID else data[body:]
                self._keep(piece, missing=stop - end, extension_id=extension_id)
                return
            if extension_id != _NO_ID:
                if extension_id != run_id:
                    run_id = extension_id
                    payloads = []
                    items.append(_make_run((run_id, payloads)))
                payloads.append(data[body:stop])
            elif length:  # and not a keepalive
                run_id = _NO_ID
                items.append(self._frame_untrusted(data[start:stop]))
            position = stop

    def _keep(self, piece: bytes, *, missing: int, extension_id: int = _NO_ID) -> None:
        self._unfinished.begin(piece, missing=missing)
        self._id = extension_id

    def _complete(self, data: bytes, items: list[Item]) -> tuple[bytes, int]:
        """Finish what is unfinished with `data`; returns what is left to parse, and from where on."""
        pieces, missing = self._unfinished.take(), self._unfinished.missing
        if self._id == _NO_ID:
            return b"".join((*pieces, data)), 0
        items.append(ExtensionRun(self._id, [b"".join((*pieces, memoryview(data)[:missing]))]))
        return data, missing

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
