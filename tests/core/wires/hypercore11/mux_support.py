"""One side of a mux, and the messages of protomux in bytes."""

from __future__ import annotations

from peersockets_core import DEFAULT_LIMITS, Limits, RemoteProtocolError
from peersockets_core.outbox import Outbox
from peersockets_core.wires.hypercore11.encoding import encode_buffer, encode_uint
from peersockets_core.wires.hypercore11.protomux import Channel, Mux


class Recorder:
    """A handler that writes down its calls."""

    def __init__(self, *, error: bool = False) -> None:
        self.heard: list[object] = []
        self._error = error

    def opened_untrusted(self, handshake: bytes) -> None:
        self.heard.append(("opened", handshake))
        if self._error:
            raise RemoteProtocolError("a bad handshake")

    def message_untrusted(self, message_type: int, data: bytes, start: int, end: int) -> None:
        self.heard.append((message_type, data[start:end]))

    def closed(self) -> None:
        self.heard.append("closed")


class MuxSide:
    """A mux with one handler for all channels, and a list of the questions that it asks."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS, aliases: dict[str, str] | None = None) -> None:
        outbox = Outbox(limit=limits.send_buffer, reply_limit=limits.replies)
        self.mux = Mux(limits=limits, outbox=outbox, aliases=aliases)
        self.handler = Recorder()
        self.asked: list[tuple[str, bytes]] = []

    def open(self, protocol: str = "p", channel_id: bytes = b"id", handshake: bytes = b"") -> Channel:
        return self.mux.open(protocol, channel_id, handshake, self.handler)

    def decide_later(self, protocol: str = "p", channel_id: bytes | None = b"id") -> None:
        self.mux.pair(protocol, channel_id, self._later)

    def answer(self, protocol: str = "p", channel_id: bytes | None = b"id") -> None:
        self.mux.pair(protocol, channel_id, self._open)

    def _later(self, protocol: str, channel_id: bytes) -> bool:
        self.asked.append((protocol, channel_id))
        return True

    def _open(self, protocol: str, channel_id: bytes) -> bool:
        self.asked.append((protocol, channel_id))
        self.open(protocol, channel_id)
        return False

    def say(self, *messages: bytes) -> list[object]:
        """Receive messages. Return the calls of the handler."""
        for message in messages:
            self.mux.receive_untrusted(message)
        heard, self.handler.heard = self.handler.heard, []
        return heard

    def take(self) -> list[bytes]:
        messages = [(size, b"".join(chunks)) for size, chunks in self.mux.take_messages()]
        assert all(size == len(message) for size, message in messages)
        return [message for _, message in messages]

    def frames(self) -> list[str]:
        return [frame.hex() for frame in self.take()]


def opening(number: int, protocol: str = "p", channel_id: bytes = b"id", handshake: bytes = b"") -> bytes:
    return (
        b"\0\x01"
        + encode_uint(number)
        + encode_buffer(protocol.encode())
        + encode_buffer(channel_id)
        + handshake
    )


def rejecting(number: int) -> bytes:
    return b"\0\x02" + encode_uint(number)


def closing(number: int) -> bytes:
    return b"\0\x03" + encode_uint(number)


def message(number: int, message_type: int, body: bytes = b"") -> bytes:
    return encode_uint(number) + encode_uint(message_type) + body


def batch(first: int, *parts: bytes | int) -> bytes:
    """Return a batch of messages without their channel. A number switches to that channel."""
    return b"\0\0" + encode_uint(first) + b"".join(
        b"\0" + encode_uint(part) if isinstance(part, int) else encode_buffer(part) for part in parts
    )  # fmt: skip


def opened_side() -> tuple[MuxSide, Channel]:
    """Return a side with channel "p" open on both sides, with number 1 on each."""
    side = MuxSide()
    channel = side.open()
    assert side.say(opening(1)) == [("opened", b"")]
    side.take()
    return side, channel


def exchange(left: MuxSide, right: MuxSide) -> None:
    for _ in range(100):
        there, back = left.take(), right.take()
        if not there and not back:
            return
        for frame in there:
            right.mux.receive_untrusted(frame)
        for frame in back:
            left.mux.receive_untrusted(frame)
    raise AssertionError("the two sides talk for ever")
