"""The hypercore9 wire: bytes in, events out; commands in, bytes out.

    bytes -> handshake -> XSalsa20 -> frames -> messages -> channels and extensions -> events

Source: hypercore-protocol 8.0.7 over simple-hypercore-protocol 2.1.2. This class ignores the same input as a
real peer: message types 11 to 14, messages on channels that are not open, and extension ids outside the
list. (A real peer sends such ids after it has removed an extension, because abstract-extension 3.1.1 does
not renumber the others.) It also ignores messages about a drive's data. Ignored frames are skipped without
decoding.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from ...buffer import Buffer
from ...crypto.sodium import XSalsa20
from ...errors import MessageTooLarge, RemoteProtocolError
from ...events import Event, HandshakeCompleted, MessagesReceived, WireName
from ...keys import DriveKey
from ...limits import HYPERCORE9_BODY
from ...work import ANSWER, MEMBERSHIP
from ..heads import Heads
from ..setup import WireSetup
from . import frames, messages
from .channels import Channels
from .handshake import Handshake

_TYPE_NUMBERS = {message_class: number for number, message_class in enumerate(messages.TYPES)}

_Heeded: TypeAlias = messages.Open | messages.Options | messages.Close
_CLASSES: dict[int, type[_Heeded]] = {
    _TYPE_NUMBERS[message_class]: message_class
    for message_class in (messages.Open, messages.Options, messages.Close)
}
_ON_CHANNEL_0 = {_TYPE_NUMBERS[messages.Options], messages.EXTENSION_TYPE}


def _ignores(first: int) -> bool:
    """Return whether to ignore a frame whose header begins with the byte `first`.

    The byte has the type and the lowest bits of the channel's number; its highest bit, 0x80, marks longer
    headers.
    """
    kind, channel = first & 0x0F, first >> 4
    return 0 < channel < 8 if kind in _ON_CHANNEL_0 else kind not in _CLASSES


_IGNORED = frozenset(filter(_ignores, range(0x100)))


class Hypercore9:
    """One connection's state on this wire."""

    name: Final[WireName] = "hypercore9"
    mux: Final = None

    def __init__(self, setup: WireSetup) -> None:
        """Begin a handshake."""
        limits = setup.limits
        self.keepalive = limits.keepalive
        self.silence = limits.silence
        self.outbox = setup.outbox
        self._limits = limits
        self._extensions = setup.extensions
        self._announced_version = -1
        self._remote_names: list[str] = []
        self._names_size = 0
        self._work = setup.work
        self._frames = frames.FrameParser(limits.frame_body, ignored=_IGNORED, work=self._work)
        self.unfinished = self._frames.unfinished
        """The received pieces of an incomplete frame."""
        self._decoding: tuple[int, messages.Decoder[_Heeded]] | None = None
        handshake = Handshake(initiator=setup.initiator, key_pair=setup.key_pair, entropy=setup.entropy)
        self._handshake: Handshake | None = handshake
        self._handshake_output = handshake.output
        self._rest = b""  # bytes that arrived together with the end of the handshake
        self._channels: Channels | None = None
        self.transmit: XSalsa20 | None = None
        self._receive: XSalsa20 | None = None

    @property
    def has_output(self) -> bool:
        """Whether `data_to_send` would return anything."""
        return bool(self.outbox.chunks or self._handshake_output)

    @property
    def has_input(self) -> bool:
        """Whether input waits for the next slice of work."""
        return self._frames.has_input or self._decoding is not None

    @property
    def between_messages(self) -> bool:
        """Whether the remote may end the stream here without cutting off a message."""
        return self._handshake is None and self._frames.empty and not self._rest

    @property
    def kept(self) -> int:
        """Bytes of memory that the remote makes this wire keep, not counting answers to it."""
        if self._handshake is not None:
            return self._handshake.kept
        decoding = self._decoding[1].kept if self._decoding is not None else 0
        return self._names_size + self._frames.kept + decoding + len(self._rest)

    def receive_data_untrusted(self, data: Buffer, events: list[Event]) -> None:
        """Append the events that `data` causes to `events`. Raises only `RemoteProtocolError`.

        Bytes that follow the handshake are kept for the next call.
        """
        if self._handshake is not None:
            self._rest = self._handshake.receive_data_untrusted(bytes(data))
            if self._handshake.finished:
                self._start(self._handshake, events)
            return
        if self._rest:
            data, self._rest = self._rest + data, b""
        if data:
            assert self._receive is not None
            size = self.unfinished.size
            if size and size + self.unfinished.missing > self._limits.stranger_frame:
                self._check_large_untrusted(size + self.unfinished.missing)
            self._frames.feed(self._receive.decrypt(data))
        while self.has_input and self._work.left > 0:
            if self._decoding is not None:
                self._decode_untrusted(*self._decoding, events)
                continue
            items: list[frames.Item] = []
            try:
                self._frames.take_untrusted(items)
            finally:
                for item in items:
                    self.receive_item_untrusted(item, events)

    def forget_input(self) -> None:
        """Drop the unfinished frame and all waiting input."""
        self._frames.clear()
        self._decoding = None
        self._remote_names, self._names_size = [], 0
        self._rest = b""

    def data_to_send(self) -> bytes | memoryview:
        """Return all queued output, encrypted in one pass."""
        if self._handshake_output:  # unencrypted, and ahead of all encrypted output
            plain = b"".join(self._handshake_output)
            self._handshake_output.clear()
            return plain + self.data_to_send()
        if self.transmit is None or not self.outbox.chunks:
            return b""
        return self.transmit.apply(*self.outbox.take())

    def send_keepalive(self) -> None:
        """Queue an empty frame."""
        self.outbox.append(frames.KEEPALIVE)

    def open_drive(self, key: DriveKey) -> None:
        """Open a drive, after the handshake."""
        assert self._channels is not None
        self._channels.open(key)

    def close_drive(self, discovery_key: bytes) -> None:
        """Close a drive that is open, after the handshake."""
        assert self._channels is not None
        self._channels.close(discovery_key)

    def sender(self, discovery_key: bytes | None, name: str) -> ExtensionSender:
        """Return the sender of a registered extension's messages. On this wire, extensions have no drive.

        Raises `LocalProtocolError` for a name that is not registered.
        """
        self._extensions.index(name)
        return ExtensionSender(self, name)

    def announce(self) -> None:
        """Send our list of names if the remote's copy is stale. Like real peers, we do so just before a
        message.
        """
        if self._announced_version != self._extensions.version:
            self._announced_version = self._extensions.version
            self._send(0, messages.Options(self._extensions.names))

    def _start(self, handshake: Handshake, events: list[Event]) -> None:
        sending_key, receiving_key = handshake.split()
        self._handshake = None
        self.transmit = XSalsa20(sending_key, handshake.nonce)
        self._receive = XSalsa20(receiving_key, handshake.remote_nonce)
        self._channels = Channels(
            sending_key=sending_key,
            receiving_key=receiving_key,
            send=self._send,
            reply_untrusted=self._reply_untrusted,
        )
        events.append(HandshakeCompleted(self.name, handshake.remote_public_key, handshake.handshake_hash))

    def _encode(self, channel: int, message: messages.ChannelMessage) -> bytes:
        return frames.encode(channel, _TYPE_NUMBERS[type(message)], messages.encode(message))

    def _send(self, channel: int, message: messages.ChannelMessage) -> None:
        self.outbox.append(self._encode(channel, message))

    def _reply_untrusted(self, channel: int, message: messages.ChannelMessage) -> None:
        self.outbox.append_reply_untrusted(self._encode(channel, message))

    def receive_item_untrusted(self, item: frames.Item, events: list[Event]) -> None:
        if isinstance(item, frames.ExtensionRun):
            if item.id < len(self._remote_names):
                name = self._remote_names[item.id]
                if name in self._extensions:
                    events.append(MessagesReceived(None, name, item.payloads))
            return
        message_class = _CLASSES.get(item.type)
        if message_class is not None and (item.channel == 0 or message_class is not messages.Options):
            decoder = messages.Decoder(
                message_class,
                item.body,
                max_items=self._limits.extension_names,
                max_size=self._limits.extension_names_size,
            )
            self._decode_untrusted(item.channel, decoder, events)

    def _check_large_untrusted(self, size: int) -> None:
        """Raise `RemoteProtocolError` if a stranger sends a large frame, of `size` bytes.

        A large extension message is skipped instead, because real peers send these to every peer, and no
        handle listens to strangers here.
        """
        if not self._may_be_large and not self._frames.skip_unfinished():
            raise RemoteProtocolError(f"a frame of {size} bytes from a remote that is not a member")

    @property
    def _may_be_large(self) -> bool:
        """Whether the remote's frames may be useful at any size."""
        assert self._channels is not None
        return self._channels.any_open or self._extensions.for_strangers

    def _decode_untrusted(
        self, channel: int, decoder: messages.Decoder[_Heeded], events: list[Event]
    ) -> None:
        """Continue to decode a protocol message, and handle it once it is complete."""
        message = decoder.go_on_untrusted(self._work)
        self._decoding = (channel, decoder) if message is None else None
        assert self._channels is not None
        before = len(events)
        if isinstance(message, messages.Open):
            self._work.left -= ANSWER
            self._channels.receive_open_untrusted(channel, message, events)
        elif isinstance(message, messages.Close):
            self._channels.receive_close_untrusted(channel, message, events)
        elif isinstance(message, messages.Options):
            self._remote_names, self._names_size = message.extensions, decoder.items_size
        self._work.left -= MEMBERSHIP * (len(events) - before)


class ExtensionSender:
    """Sends the messages of one stream extension on one connection."""

    __slots__ = ("_extensions", "_heads", "_id", "_name", "_outbox", "_version", "_wire")

    def __init__(self, wire: Hypercore9, name: str) -> None:
        self._wire = wire
        self._name = name
        self._extensions = wire._extensions
        self._outbox = wire.outbox
        self._version = -1
        self._id = 0
        self._heads = Heads(self._head)

    def check_size(self, size: int) -> None:
        """Raise `MessageTooLarge` if a real peer does not accept a payload of `size` bytes."""
        extension_id = self._extensions.index(self._name)
        head = frames.extension_head(extension_id, 0)
        largest = HYPERCORE9_BODY - (len(head) - 2)
        if size > largest:
            raise MessageTooLarge(size, largest)

    def send(self, payload: bytes) -> None:
        """Queue one message. Raises `MessageTooLarge`, or `LocalProtocolError` if the extension is no longer
        registered; then nothing is queued.
        """
        size = len(payload)
        if self._version != self._extensions.version:
            self.check_size(size)
            self._wire.announce()
            self._version = self._extensions.version
            self._id = self._extensions.index(self._name)
            self._heads.clear()
        head = self._heads[size]
        outbox = self._outbox
        chunks = outbox.chunks
        chunks.append(head)
        chunks.append(payload)
        outbox.size += len(head) + size

    def _head(self, size: int) -> bytes:
        self.check_size(size)
        return frames.extension_head(self._id, size)
