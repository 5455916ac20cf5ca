"""hypercore/alpha for a peer without data: it proves that it knows the key, keeps the channel open, and
answers requests.

Source: hypercore 11.37.1 (`lib/replicator.js`, `lib/messages.js`, `lib/caps.js`).
"""

from __future__ import annotations

import hashlib
import hmac
import sys
from functools import lru_cache
from typing import Final

from ...errors import LocalProtocolError, MessageTooLarge, RemoteProtocolError
from ...events import DriveClosed, DriveOpened, Event, MessagesReceived
from ...keys import DriveKey
from ...limits import Limits
from ...secret import Secret
from ...work import ANSWER, MEMBERSHIP, RUN
from ..heads import Heads
from ..keys import Keys
from .batching import MAX_BATCH, ROOM
from .channel import Channel, ChannelState
from .encoding import decode_string_untrusted, decode_uint_untrusted, encode_buffer, encode_uint
from .protomux import Mux
from .secret_stream import MAX_PLAINTEXT, namespace

PROTOCOL: Final = "hypercore/alpha"
ALIASES: Final = {"hypercore": PROTOCOL}

MESSAGES: Final = (
    "Sync", "Request", "Cancel", "Data", "NoData", "Want", "Unwant", "Bitfield", "Range", "extension",
)  # fmt: skip
"""The names of the channel's messages, by their numbers."""

_SYNC, _REQUEST, _NO_DATA, EXTENSION = map(MESSAGES.index, ("Sync", "Request", "NoData", "extension"))
_EXTENSION_TYPE = bytes((EXTENSION,))
_CAPABILITY_SIZE = 32
_NAMESPACES = namespace(b"hypercore", 3)
_REPLICATE = {True: _NAMESPACES[1], False: _NAMESPACES[2]}  # by the role of the sender's stream

_UPLOADING, _DOWNLOADING = 2, 4
POLITE_SYNC = b"".join(map(encode_uint, (_UPLOADING | _DOWNLOADING, 0, 0, 0)))
"""Flags, fork, length, and the remote's length as far as we know. Without this message,
`core.update({wait: true})` waits for us for ever. With downloading off, the remote might close the
channel as idle."""

_ONE_BYTE, _TWO_BYTES = 0xFC, 0xFD  # as in encoding.py, which is too slow to call in a run of messages
_SMALLEST = 3  # bytes of a message without a name or a payload, after its size


def capability(keys: Keys, core_key: bytes, *, initiator: bool) -> Secret:
    """Return the capability: the proof that the side in this role knows a core's key."""
    named = _REPLICATE[initiator] + core_key
    return Secret(hashlib.blake2b(named, digest_size=32, key=keys.handshake_hash).digest())


class Core:
    """A drive that is open here, on one connection. It handles the drive's channel when there is one."""

    def __init__(
        self, mux: Mux, keys: Keys, key: DriveKey, *, initiator: bool, limits: Limits, events: list[Event]
    ) -> None:
        """Open the channel. The events of the channel are appended to `events`."""
        self.key = key
        self.channel: Channel | None = None
        """The channel, once both sides have opened it."""
        self.last_name_sent: str | None = None
        """The extension name that the next message on this channel may leave out."""
        self._mux = mux
        self._keys = keys
        self._initiator = initiator
        self._limits = limits
        self._events = events
        self._last_name_received = ""
        self.name_size = 0
        """Bytes of memory of the last extension name that the remote used, if it is a long one."""
        self._longest_name = min(
            _ONE_BYTE, limits.extension_name
        )  # the longest name that is decoded within a run
        self._channel: Channel | None = None
        self.offer()

    def offer(self) -> None:
        """Open our half of the channel, unless it is already open."""
        if self._channel is None:
            proof = capability(self._keys, self.key.public_key, initiator=self._initiator)
            # Seeking is not for peers without data: no flags.
            handshake = encode_uint(0) + bytes(proof)
            self._channel = self._mux.open(
                PROTOCOL, self.key.discovery_key, handshake, self, self.run_untrusted
            )
            if self._channel.state is ChannelState.OPEN:  # the remote opened its half first
                self.channel = self._channel

    def close(self) -> None:
        """Close the drive on this connection."""
        if self._channel is not None:
            self._mux.close(self._channel)
        self._reset()

    def opened_untrusted(self, handshake: bytes) -> None:
        """Handle the remote's Open. Raises only `RemoteProtocolError`, for a wrong capability."""
        self._mux.work.left -= MEMBERSHIP
        _, position = decode_uint_untrusted(handshake, 0, len(handshake))
        expected = capability(self._keys, self.key.public_key, initiator=not self._initiator)
        if not hmac.compare_digest(handshake[position : position + _CAPABILITY_SIZE], expected):
            raise RemoteProtocolError(f"invalid remote capability for drive {self.key}")
        self.channel = self._channel
        # If the remote opened first, the mux is still inside `offer`, so find the channel by its key.
        self._mux.send_to(PROTOCOL, self.key.discovery_key, _SYNC, POLITE_SYNC)
        self._events.append(DriveOpened(self.key.discovery_key))

    def message_untrusted(self, message_type: int, data: bytes, start: int, end: int) -> None:
        """Handle one message, and answer it if necessary. Raises only `RemoteProtocolError`."""
        if message_type == EXTENSION:
            if start < end and not data[start]:
                name, start = self._last_name_received, start + 1
            else:
                name, start = self._name_untrusted(data, start, end)
            self._payloads(name).append(data[start:end])
        elif message_type == _REQUEST:
            self._mux.work.left -= ANSWER
            _, position = decode_uint_untrusted(data, start, end)
            request, _ = decode_uint_untrusted(data, position, end)
            self._mux.send_to(PROTOCOL, self.key.discovery_key, _NO_DATA, encode_uint(request))

    def run_untrusted(self, data: bytes, position: int, end: int) -> int:
        """Handle the run of extension messages at `position` in a batch; returns the position at which it
        stops.

        It stops at any other or unusual message, or when the work is used up.
        """
        payloads: list[bytes] | None = None
        before = 0
        work = self._mux.work
        # Messages are not counted one by one: the bytes before `window` hold no more than the work allows.
        window = min(end, position + _SMALLEST * work.left)
        while position < window:
            size = data[position]
            start = position + 1
            if size > _ONE_BYTE:
                if size != _TWO_BYTES or start + 2 > end:
                    break
                size = data[start] | data[start + 1] << 8
                start += 2
            stop = start + size
            if size < 2 or stop > end or data[start] != EXTENSION:
                break
            named = data[start + 1]
            start += 2
            if named:
                after = start + named
                if named > self._longest_name or after > stop:
                    break
                try:
                    name = _decode_name(data[start:after])
                except UnicodeDecodeError:
                    break
                if name != self._last_name_received:
                    self._last_name_received = name
                    work.left -= len(payloads or ()) - before
                    payloads, before = None, 0
                start = after
            if payloads is None:
                payloads = self._payloads(self._last_name_received)
                before = len(payloads)
                work.left -= RUN
                window = min(end, position + _SMALLEST * work.left)
            payloads.append(data[start:stop])
            position = stop
        work.left -= len(payloads or ()) - before
        return position

    def closed(self) -> None:
        """Note that the remote has refused or closed the drive; it may open the drive later."""
        was_open = self.channel is not None
        self._reset()
        if was_open:
            self._mux.work.left -= MEMBERSHIP
            self._events.append(DriveClosed(self.key.discovery_key))

    def _payloads(self, name: str) -> list[bytes]:
        """Return the list for the next payload. Consecutive messages share one event."""
        last = self._events[-1] if self._events else None
        discovery_key = self.key.discovery_key
        if isinstance(last, MessagesReceived) and last.name == name and last.discovery_key == discovery_key:
            return last.payloads
        event = MessagesReceived(discovery_key, name, [])
        self._events.append(event)
        return event.payloads

    def _name_untrusted(self, data: bytes, start: int, end: int) -> tuple[str, int]:
        size, after = decode_uint_untrusted(data, start, end)
        if not size:
            return self._last_name_received, after
        if size > self._limits.extension_name:
            raise RemoteProtocolError(f"an extension's name of {size} bytes")
        self._last_name_received, start = decode_string_untrusted(data, start, end)
        self.name_size = sys.getsizeof(self._last_name_received)
        return self._last_name_received, start

    def forget_name(self) -> None:
        """Forget the last extension name that the remote used."""
        self._last_name_received = ""
        self.name_size = 0

    def _reset(self) -> None:
        self._channel = self.channel = None
        self._mux.batcher.interrupt()
        self.last_name_sent = None
        self.forget_name()


@lru_cache(4096)
def _decode_name(encoded: bytes) -> str:
    """Decode the name of an extension, up to 252 bytes. The cache for all connections takes up to a
    megabyte.
    """
    return encoded.decode()


def _heads(name: bytes) -> Heads:
    return Heads(lambda size: encode_uint(1 + len(name) + size) + _EXTENSION_TYPE + name)


class ExtensionSender:
    """Sends the messages of one extension on one drive's channel."""

    __slots__ = ("_batcher", "_core", "_encoded_name", "_heads", "_name", "_named_heads", "_outbox", "_room")

    def __init__(self, mux: Mux, core: Core, name: str) -> None:
        self._batcher = mux.batcher
        self._core = core
        self._name = name
        self._encoded_name = encode_buffer(name.encode())
        self._outbox = mux.outbox
        self._room = ROOM + len(self._encoded_name)
        self._heads = _heads(b"\0")  # with the name left out
        self._named_heads = _heads(self._encoded_name)

    def check_size(self, size: int) -> None:
        """Raise `MessageTooLarge` if a payload of `size` bytes and the extension's full name do not fit into
        a frame.
        """
        channel = self._core.channel
        number = encode_uint(channel.local if channel is not None else 1)
        largest = MAX_PLAINTEXT - len(number) - 1 - len(self._encoded_name)
        if size > largest:
            raise MessageTooLarge(size, largest)

    def send(self, payload: bytes) -> None:
        """Queue one message. Raises `MessageTooLarge`, and then queues nothing."""
        batcher, outbox, size = self._batcher, self._outbox, len(payload)
        if batcher.sender is self and outbox.size + size + self._room <= batcher.end:
            head = self._heads[size]
        elif size + self._room > MAX_BATCH or self._core.channel is None:
            self._send_alone(payload)
            return
        else:
            head = self._enter(self._core.channel, size)
        chunks = outbox.chunks
        chunks.append(head)
        chunks.append(payload)
        outbox.size += len(head) + size

    def _enter(self, channel: Channel, size: int) -> bytes:
        """Continue the batch with a message of ours; returns the bytes that precede its payload."""
        core = self._core
        self._outbox.extend(self._batcher.enter(channel.local, size + self._room, self))
        if core.last_name_sent == self._name:
            return self._heads[size]
        core.last_name_sent = self._name
        return self._named_heads[size]

    def _send_alone(self, payload: bytes) -> None:
        core = self._core
        self.check_size(len(payload))
        channel = core.channel
        if channel is None:
            raise LocalProtocolError(f"drive {core.key} is no longer open on both sides")
        name = b"\0" if core.last_name_sent == self._name else self._encoded_name
        core.last_name_sent = self._name
        self._outbox.extend(self._batcher.place(channel.local, _EXTENSION_TYPE + name, payload))
