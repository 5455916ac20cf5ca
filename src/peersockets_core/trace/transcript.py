"""The messages of a recorded session in the clear, decrypted with one side's secrets.

The class of a wire here only knows the order of that wire's layers. Handshake, ciphers and codecs come from
`hypercore9` and `hypercore11`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import attrs

from ..crypto.sodium import XSalsa20
from ..errors import RemoteProtocolError, TraceError
from ..events import WireName
from ..keys import KeyPair
from ..limits import HYPERCORE9_BODY
from ..secret import Secret
from ..wires.hypercore9 import messages as hypercore9
from ..wires.hypercore9 import varint
from ..wires.hypercore9.frames import ExtensionRun, Frame, FrameParser, Item
from ..wires.hypercore9.handshake import Handshake
from ..wires.hypercore11 import alpha, control, encoding
from ..wires.hypercore11.secret_stream import LENGTH_SIZE, OVERHEAD, SecretStream
from ..wires.keys import Keys
from .entries import SIDES, Secrets, Side

_HANDSHAKE_MESSAGES: dict[Side, int] = {"initiator": 2, "responder": 1}


@attrs.frozen
class WireMessage:
    """One message of a wire."""

    name: str
    """The name in the wire's own specification: "Open", "extension", "keepalive"."""
    channel: int | None = None
    """The sender's number for the channel, or None for a message about the whole stream."""
    fields: dict[str, Any] = attrs.field(factory=dict)
    about_data: bool = False
    """Whether it is about a drive's data, which peers that only exchange topic messages can ignore."""
    batch: int | None = None
    """The number of the sender's batch that contained it, counted from 0, or None."""

    @property
    def order(self) -> tuple[str, int | None]:
        """Messages with the same key have a fixed order. A peer may act on channels in any order."""
        if self.name == "Reject":
            return "the remote's channel", self.fields["channel"]
        return "channel", self.channel


class Transcript:
    """Decrypts what both sides send."""

    def __init__(self, wire: WireName, side: Side, secrets: Secrets) -> None:
        """Begin, knowing the secrets of `side`."""
        self._decoder = _DECODERS[wire](side, secrets)

    def feed(self, sender: Side, data: bytes) -> list[WireMessage]:
        """Take in the next bytes of one side, and return the messages that they complete.

        Raises `TraceError` for bytes that are not a session on that wire with these secrets.
        """
        try:
            return list(self._decoder.feed_untrusted(sender, data))
        except RemoteProtocolError as error:
            raise TraceError(f"the bytes of the {sender} cannot be read: {error}") from None


class _Decoder(Protocol):
    def __init__(self, side: Side, secrets: Secrets) -> None: ...
    def feed_untrusted(self, sender: Side, data: bytes) -> Iterator[WireMessage]: ...


class _Hypercore9:
    def __init__(self, side: Side, secrets: Secrets) -> None:
        self._side = side
        self._handshake = Handshake(
            initiator=side == "initiator", key_pair=KeyPair(secrets.seed), entropy=secrets.entropy()
        )
        self._plain = {sender: bytearray() for sender in SIDES}
        self._handshakes = dict(_HANDSHAKE_MESSAGES)
        self._ciphers: dict[Side, XSalsa20] = {}
        self._frames = {sender: bytearray() for sender in SIDES}
        self._names: dict[Side, list[str]] = {sender: [] for sender in SIDES}

    def feed_untrusted(self, sender: Side, data: bytes) -> Iterator[WireMessage]:
        buffer = self._plain[sender]
        buffer += data
        while self._handshakes[sender]:
            decoded = varint.decode_untrusted(buffer, 0)
            if decoded is None or len(buffer) < sum(decoded):
                return
            end = sum(decoded)
            yield from self._handshake_untrusted(sender, bytes(buffer[:end]))
            del buffer[:end]
        if not self._handshake.finished or not buffer:
            return
        frames = self._frames[sender]
        frames += self._cipher(sender).apply(bytes(buffer))
        buffer.clear()
        while (decoded := varint.decode_untrusted(frames, 0)) is not None and len(frames) >= sum(decoded):
            frame = bytes(frames[: sum(decoded)])
            del frames[: sum(decoded)]
            yield from self._frame_untrusted(sender, frame)

    def _handshake_untrusted(self, sender: Side, message: bytes) -> Iterator[WireMessage]:
        self._handshakes[sender] -= 1
        if sender != self._side:
            self._handshake.receive_data_untrusted(message)
        yield WireMessage("handshake", fields={"bytes": message})

    def _cipher(self, sender: Side) -> XSalsa20:
        if not self._ciphers:
            other = SIDES[self._side == SIDES[0]]
            sending_key, receiving_key = self._handshake.split()
            self._ciphers[self._side] = XSalsa20(sending_key, self._handshake.nonce)
            self._ciphers[other] = XSalsa20(receiving_key, self._handshake.remote_nonce)
        return self._ciphers[sender]

    def _frame_untrusted(self, sender: Side, data: bytes) -> Iterator[WireMessage]:
        items: list[Item] = []
        FrameParser(HYPERCORE9_BODY).parse_untrusted(data, items)
        if not items:
            yield WireMessage("keepalive")
        for item in items:
            if isinstance(item, ExtensionRun):
                names = self._names[sender]
                name = names[item.id] if item.id < len(names) else None
                yield WireMessage("extension", 0, {"id": item.id, "name": name, "payload": item.payloads[0]})
            else:
                yield self._message_untrusted(sender, item)

    def _message_untrusted(self, sender: Side, frame: Frame) -> WireMessage:
        if frame.type >= len(hypercore9.TYPES):
            fields = {"type": frame.type, "body": frame.body}
            return WireMessage("extension of a channel", frame.channel, fields, about_data=True)
        message = hypercore9.decode_untrusted(hypercore9.TYPES[frame.type], frame.body)
        if isinstance(message, hypercore9.Options) and frame.channel == 0:
            self._names[sender] = message.extensions
        fields = attrs.asdict(message, filter=lambda _, value: value is not None)
        about_data = frame.channel != 0 and not isinstance(message, hypercore9.Open | hypercore9.Close)
        return WireMessage(type(message).__name__, frame.channel, fields, about_data)


class _Hypercore11:
    def __init__(self, side: Side, secrets: Secrets) -> None:
        self._side = side
        self._handshake = SecretStream(
            initiator=side == "initiator", key_pair=KeyPair(secrets.seed), entropy=secrets.entropy()
        )
        self._buffers = {sender: bytearray() for sender in SIDES}
        self._handshakes = dict(_HANDSHAKE_MESSAGES)
        self._streams: dict[Side, SecretStream] = {}
        self._headers = dict.fromkeys(SIDES, False)
        self._batches = dict.fromkeys(SIDES, 0)
        self._protocols: dict[Side, dict[int, str]] = {sender: {} for sender in SIDES}
        self._last_names: dict[Side, dict[int, str]] = {sender: {} for sender in SIDES}

    def feed_untrusted(self, sender: Side, data: bytes) -> Iterator[WireMessage]:
        buffer = self._buffers[sender]
        buffer += data
        while len(buffer) >= LENGTH_SIZE:
            end = LENGTH_SIZE + int.from_bytes(buffer[:LENGTH_SIZE], "little")
            if len(buffer) < end or not (self._handshakes[sender] or self._handshake.keys):
                return
            frame = bytes(buffer[:end])
            del buffer[:end]
            yield from self._frame_untrusted(sender, frame)

    def _frame_untrusted(self, sender: Side, frame: bytes) -> Iterator[WireMessage]:
        if self._handshakes[sender]:
            self._handshakes[sender] -= 1
            if sender != self._side:
                self._handshake.receive_data_untrusted(frame, [])
            yield WireMessage("handshake", fields={"bytes": frame})
            return
        plain: list[bytes] = []
        self._stream(sender).receive_data_untrusted(frame, plain)
        if not self._headers[sender]:
            self._headers[sender] = True
            yield WireMessage("header", fields={"bytes": frame})
        elif len(frame) == LENGTH_SIZE + OVERHEAD:
            yield WireMessage("keepalive")
        for message in plain:
            yield from self._mux_untrusted(sender, message)

    def _stream(self, sender: Side) -> SecretStream:
        keys = self._handshake.keys
        assert keys is not None
        if not self._streams:
            # One stream reads the other side's output, and one reads our own side's output.
            own = Keys(keys.receiving_key, keys.sending_key, keys.handshake_hash, keys.remote_public_key)
            for side, reader, as_initiator in (
                (SIDES[self._side == SIDES[0]], keys, self._side == "initiator"),
                (self._side, own, self._side != "initiator"),
            ):
                self._streams[side] = SecretStream(initiator=as_initiator, entropy=bytes, keys=reader)
        return self._streams[sender]

    def _mux_untrusted(self, sender: Side, data: bytes) -> Iterator[WireMessage]:
        channel, position = encoding.decode_uint_untrusted(data, 0, len(data))
        message_type, start = encoding.decode_uint_untrusted(data, position, len(data))
        if (channel, message_type) != (control.CONTROL, control.BATCH):
            yield self._message_untrusted(sender, channel, data[position:])
            return
        channel, position = encoding.decode_uint_untrusted(data, start, len(data))
        batch = self._batches[sender]
        self._batches[sender] += 1
        while position < len(data):
            entry, position = encoding.decode_buffer_untrusted(data, position, len(data))
            if entry:
                yield attrs.evolve(self._message_untrusted(sender, channel, entry), batch=batch)
            else:
                channel, position = encoding.decode_uint_untrusted(data, position, len(data))

    def _message_untrusted(self, sender: Side, channel: int, data: bytes) -> WireMessage:
        message_type, start = encoding.decode_uint_untrusted(data, 0, len(data))
        if channel == control.CONTROL:
            return self._control_untrusted(sender, message_type, data, start)
        known = self._protocols[sender].get(channel) == alpha.PROTOCOL and message_type < len(alpha.MESSAGES)
        if not known:
            return WireMessage(f"type {message_type}", channel, {"body": data[start:]})
        if message_type != alpha.EXTENSION:
            return WireMessage(alpha.MESSAGES[message_type], channel, {"body": data[start:]}, about_data=True)
        given, start = encoding.decode_string_untrusted(data, start, len(data))
        name = given or self._last_names[sender].get(channel, "")
        self._last_names[sender][channel] = name
        fields = {"name": name, "compressed": not given, "payload": data[start:]}
        return WireMessage("extension", channel, fields)

    def _control_untrusted(self, sender: Side, message_type: int, data: bytes, start: int) -> WireMessage:
        channel, position = encoding.decode_uint_untrusted(data, start, len(data))
        if message_type == control.REJECT:
            return WireMessage("Reject", None, {"channel": channel})
        if message_type == control.CLOSE:
            return WireMessage("Close", channel)
        if message_type != control.OPEN:
            return WireMessage(f"control {message_type}", None, {"body": data[start:]})
        protocol, position = encoding.decode_string_untrusted(data, position, len(data))
        protocol = alpha.ALIASES.get(protocol, protocol)
        channel_id, position = encoding.decode_buffer_untrusted(data, position, len(data))
        self._protocols[sender][channel] = protocol
        self._last_names[sender].pop(channel, None)
        fields: dict[str, Any] = {"protocol": protocol, "id": channel_id}
        if protocol == alpha.PROTOCOL:
            fields["flags"], position = encoding.decode_uint_untrusted(data, position, len(data))
            fields["capability"] = Secret(data[position:])
        else:
            fields["handshake"] = data[position:]
        return WireMessage("Open", channel, fields)


_DECODERS: dict[WireName, type[_Decoder]] = {"hypercore9": _Hypercore9, "hypercore11": _Hypercore11}
