"""Connections and remotes for the tests of the wire."""

from __future__ import annotations

import itertools

from core.support import KEY, NOW, Cutter, entropy, key_pair, merged, whole
from peersockets_core import (
    Connection,
    DriveKey,
    Event,
)
from peersockets_core.wires.hypercore11.alpha import capability
from peersockets_core.wires.hypercore11.encoding import encode_buffer, encode_uint
from peersockets_core.wires.hypercore11.secret_stream import SecretStream

DISCOVERY_KEY = KEY.discovery_key


def connection(*, initiator: bool = False, label: str = "ours") -> Connection:
    return Connection(
        wire="hypercore11",
        initiator=initiator,
        key_pair=key_pair(label),
        entropy=entropy(f"connection {label}"),
        now=NOW,
    )


class Pair:
    """An initiator and a responder, connected in memory."""

    def __init__(self, *, cut: Cutter = whole) -> None:
        self.left = connection(initiator=True, label="left")
        self.right = connection(label="right")
        self.cut = cut
        self.events: dict[Connection, list[Event]] = {self.left: [], self.right: []}
        self.sent: dict[Connection, bytes] = {self.left: b"", self.right: b""}

    def exchange(self) -> Pair:
        for source, sink in itertools.cycle(((self.left, self.right), (self.right, self.left))):
            data = bytes(source.data_to_send(NOW))
            self.sent[source] += data
            for chunk in self.cut(data):
                self.events[sink] += sink.receive_data(chunk, NOW)
            if not self.left.has_output and not self.right.has_output:
                return self
        raise AssertionError

    def open(self, *keys: DriveKey) -> Pair:
        for key in keys or (KEY,):
            self.left.open_drive(key)
            self.right.open_drive(key)
        return self.exchange()

    def heard(self, side: Connection) -> list[Event]:
        """Return the events on a side since the last look."""
        events, self.events[side] = merged(self.events[side]), []
        return events


class RawPeer:
    """A remote that finishes the handshake, and then sends anything that a test wants."""

    def __init__(self, ours: Connection) -> None:
        self.ours = ours
        self.stream = SecretStream(
            initiator=not ours.initiator, entropy=entropy("raw peer"), key_pair=key_pair("raw")
        )
        self.events: list[Event] = []
        self._send()
        while self.stream.keys is None or self.ours.remote_public_key is None:
            self.heard()
            self._send()

    def _send(self) -> None:
        data = b"".join(self.stream.output)
        self.stream.output.clear()
        self.events += self.ours.receive_data(data, NOW)

    def heard(self) -> list[bytes]:
        """Return the messages that the connection has sent since the last look."""
        messages: list[bytes] = []
        self.stream.receive_data_untrusted(bytes(self.ours.data_to_send(NOW)), messages)
        return messages

    def encrypt(self, *messages: bytes) -> bytes:
        return b"".join(map(self.stream.encrypt, messages))

    def say(self, *messages: bytes) -> list[Event]:
        return self.ours.receive_data(self.encrypt(*messages), NOW)

    def offer(self, key: DriveKey = KEY, *, number: int = 1, reflected: bool = False) -> bytes:
        """Return the message that opens a drive."""
        keys = self.stream.keys
        assert keys is not None
        proof = capability(keys, key.public_key, initiator=self.ours.initiator == reflected)
        name = encode_buffer(b"hypercore/alpha") + encode_buffer(key.discovery_key)
        return b"\0\x01" + encode_uint(number) + name + b"\0" + proof


def extension(name: str, payload: bytes, number: int = 1) -> bytes:
    return encode_uint(number) + b"\x09" + encode_buffer(name.encode()) + payload


def closing(number: int = 1) -> bytes:
    return b"\0\x03" + encode_uint(number)


def feed(ours: Connection, data: bytes, cut: Cutter) -> list[Event]:
    return [event for chunk in cut(data) for event in ours.receive_data(chunk, NOW)]
