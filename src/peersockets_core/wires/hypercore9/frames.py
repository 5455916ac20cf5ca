"""Frames: varint length, varint header (channel << 4 | type), body. Source: simple-message-channels 1.2.1.

Parsing is the hot path of receiving. One loop therefore parses as much of a read as the slice of work
allows. Topics use extension messages on channel 0; consecutive ones with the same id come out as one run.
"""

from __future__ import annotations

from collections.abc import Container
from functools import partial
from typing import Final, NamedTuple, TypeAlias

import attrs

from ...errors import RemoteProtocolError
from ...work import RECORD, RUN, Work
from ..pieces import Pieces
from . import varint
from .messages import EXTENSION_TYPE

KEEPALIVE: Final = b"\0"
"""A frame of length zero."""

_SMALLEST: Final = 3
"""Bytes of the smallest extension message."""

_HEAD: Final = 3
"""Bytes of the type and of an id of two bytes; no longer id begins a run."""

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

# This takes half the time of the constructor. If a peer sends to many topics in turn, every message needs a
# run.
_make_run = partial(tuple.__new__, ExtensionRun)


def encode(channel: int, message_type: int, body: bytes) -> bytes:
    """Return one frame."""
    header = varint.encode(channel << 4 | message_type)
    return varint.encode(len(header) + len(body)) + header + body


def extension_head(extension_id: int, payload_size: int) -> bytes:
    """Return the bytes that precede the payload of an extension message on channel 0."""
    encoded_id = varint.encode(extension_id)
    return varint.encode(1 + len(encoded_id) + payload_size) + bytes((EXTENSION_TYPE,)) + encoded_id


class FrameParser:
    """Cuts a decrypted byte stream, which arrives in any chunks, into frames."""

    __slots__ = (
        "_completed", "_continued", "_data", "_id", "_ignored", "_max_body", "_position", "_skipping",
        "_work", "unfinished",
    )  # fmt: skip

    def __init__(
        self, max_body: int, *, ignored: Container[int] = frozenset(), work: Work | None = None
    ) -> None:
        """Begin. Frames whose first byte after the length is in `ignored` are skipped without being kept."""
        self._max_body = max_body
        self._ignored = ignored
        self._work = work or Work()
        # Input that waits for the next slice of work: a message whose last piece has arrived, and the data
        # after it.
        self._completed: list[Item] = []
        self._data = b""
        self._position = 0
        # An unfinished extension message on channel 0 is kept without its head, so that its payload needs no
        # further copy.
        self.unfinished = Pieces()
        """The received pieces of an incomplete frame."""
        self._id = _NO_ID
        self._continued = False  # whether the input starts with a frame that was incomplete before
        self._skipping = 0  # bytes of an ignored frame that are still to come

    @property
    def has_input(self) -> bool:
        """Whether input waits for the next slice of work."""
        return self._position < len(self._data) or bool(self._completed)

    @property
    def empty(self) -> bool:
        """Whether the input so far ends between two frames."""
        return not (self.unfinished or self._skipping or self.has_input)

    @property
    def kept(self) -> int:
        """Bytes that are kept: an unfinished frame, and input for the next slice of work."""
        return self.unfinished.size + len(self._data)

    def skip_unfinished(self) -> bool:
        """Skip the unfinished frame, including its bytes to come, if it is an extension message on channel 0.

        Returns whether it is one.
        """
        if self._id == _NO_ID:
            return False
        self._skipping = self.unfinished.missing
        self.unfinished.take()
        return True

    def clear(self) -> None:
        """Drop the unfinished frame and all waiting input."""
        self.unfinished.take()
        self._completed.clear()
        self._data = b""
        self._position = self._skipping = 0

    def feed(self, data: bytes) -> None:
        """Take in the next bytes of the stream."""
        position = 0
        self._continued = False
        if self._position < len(self._data):
            data = self._data[self._position :] + data
        elif self._skipping:
            position = min(self._skipping, len(data))
            self._skipping -= position
        elif self.unfinished:
            if len(data) < self.unfinished.missing:
                self.unfinished.add(data)
                return
            data, position = self._complete(data)
            self._continued = not position
        self._data, self._position = (data, position) if position < len(data) else (b"", 0)

    def parse_untrusted(self, data: bytes, items: list[Item]) -> None:
        """Append the items that the next bytes complete to `items`, as far as the work allows.

        Raises only `RemoteProtocolError`.
        """
        self.feed(data)
        while self.has_input and self._work.left > 0:
            self.take_untrusted(items)

    def take_untrusted(self, items: list[Item]) -> None:
        """Append complete items to `items`, up to and including the next `Frame`, as far as the work allows.

        It stops at each `Frame` because a frame may change the meaning of later ones. Call it again as
        long as `has_input`. Raises only `RemoteProtocolError`.
        """
        items += self._completed
        self._completed.clear()
        data = self._data
        position = self._cut_untrusted(data, self._position, items)
        self._data, self._position = (data, position) if position < len(data) else (b"", 0)

    def _cut_untrusted(self, data: bytes, position: int, items: list[Item]) -> int:
        """Cut frames from `position` on; returns the position at which the next slice of work continues."""
        end = len(data)
        run_id = _NO_ID
        payloads: list[bytes] = []
        before = window = 0
        largest = self._max_body + 1  # the longest frame with a header of one byte
        ignored, work = self._ignored, self._work
        while True:
            # The messages of a run are not counted one by one: the bytes before `window` hold no more
            # messages than the work allows.
            if position >= window:
                work.left -= len(payloads) - before
                before = len(payloads)
                if position >= end or work.left <= 0:
                    break
                window = min(end, position + _SMALLEST * work.left)
            # Lengths and ids of one and two bytes are decoded here, because a call costs more than the
            # rest of a short message.
            length = data[position]
            start = position + 1
            if length >= _MORE:
                if start < end and data[start] < _MORE:
                    length += (data[start] << 7) - _MORE
                    start += 1
                else:
                    decoded = varint.decode_untrusted(data, position)
                    if decoded is None:
                        self._keep(data[position:], position, missing=1)
                        position = end
                        break
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
            if extension_id == _NO_ID:
                work.left -= 1
                window = 0
                if not length or (length <= largest and start < end and data[start] in ignored):
                    position = stop
                    continue
            if stop > end:
                if extension_id != _NO_ID:
                    self._keep(data[body:], position, missing=stop - end, extension_id=extension_id)
                else:
                    # The next bytes may show that the frame is ignored, or is an extension message.
                    undecided = start == end or (data[start] == EXTENSION_TYPE and end - start < _HEAD)
                    self._keep(data[position:], position, missing=1 if undecided else stop - end)
                position = end
                break
            position = stop
            if extension_id == _NO_ID:
                work.left -= RECORD
                items.append(self._frame_untrusted(data[start:stop]))
                break
            if extension_id != run_id:
                work.left -= RUN + len(payloads) - before
                before = window = 0
                run_id = extension_id
                payloads = []
                items.append(_make_run((run_id, payloads)))
            payloads.append(data[body:stop])
        work.left -= len(payloads) - before
        self._skipping = max(0, position - end)
        return position

    def _keep(self, piece: bytes, position: int, *, missing: int, extension_id: int = _NO_ID) -> None:
        """Keep the first piece of the frame at `position`."""
        self.unfinished.begin(piece, missing=missing, again=self._continued and not position)
        self._id = extension_id

    def _complete(self, data: bytes) -> tuple[bytes, int]:
        """Finish the incomplete frame with `data`; returns the data to parse next, and the position at which
        to start.
        """
        pieces, missing = self.unfinished.take(), self.unfinished.missing
        if self._id == _NO_ID:
            return b"".join((*pieces, data)), 0
        self._completed.append(ExtensionRun(self._id, [b"".join((*pieces, memoryview(data)[:missing]))]))
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
