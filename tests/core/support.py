"""Parts of the core's tests: fixed entropy, ways to cut bytes, a remote that can send anything, a network."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Callable, Iterable, Iterator

from peersockets_core import (
    DEFAULT_LIMITS,
    Connection,
    ConnectionClosed,
    DriveKey,
    Event,
    ExtensionNames,
    HandshakeCompleted,
    Limits,
    MessagesReceived,
    OpenDrive,
    RemoteProtocolError,
    TopicHandle,
    Watch,
    WireName,
)
from peersockets_core.crypto.sodium import XSalsa20
from peersockets_core.wires.hypercore9 import frames, messages
from peersockets_core.wires.hypercore9.frames import FrameParser, Item
from peersockets_core.wires.hypercore9.handshake import Handshake
from peersockets_core.wires.hypercore9.messages import ChannelMessage, Close, Open, Options, Status
from simulation import streams
from simulation.identity import entropy as entropy
from simulation.identity import key_pair as key_pair

NOW = 1000.0
"""The time of tests in which time plays no part."""

KEY = DriveKey(bytes([0x44]) * 32)
OTHER_KEY = DriveKey(bytes([0x45]) * 32)

Cutter = Callable[[bytes], Iterable[bytes]]


# Ways to cut a byte string


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def byte_by_byte(data: bytes) -> Iterator[bytes]:
    return (data[position : position + 1] for position in range(len(data)))


def random_cuts(seed: int) -> Cutter:
    generator = random.Random(seed)

    def cut(data: bytes) -> Iterator[bytes]:
        position = 0
        while position < len(data):
            size = generator.choice((1, 2, 3, 7, 64, 1000))
            yield data[position : position + size]
            position += size

    return cut


CUTS: dict[str, Cutter] = {
    "whole": whole,
    "byte by byte": byte_by_byte,
    "cut at random": random_cuts(1),
    "cut at random again": random_cuts(2),
}


def at(*positions: int) -> Cutter:
    """Cut at the given positions."""

    def cut(data: bytes) -> Iterator[bytes]:
        return (data[start:stop] for start, stop in itertools.pairwise((0, *positions, len(data))))

    return cut


# Events


def error_of(events: list[Event]) -> str:
    """Return the text of the error that ends `events`. There has to be one."""
    assert events, "no events"
    closed = events[-1]
    assert isinstance(closed, ConnectionClosed), closed
    assert type(closed.error) is RemoteProtocolError, closed
    return str(closed.error)


def merged(events: Iterable[Event]) -> list[Event]:
    """Join consecutive messages of one extension: the result does not depend on how bytes arrive."""
    result: list[Event] = []
    for event in events:
        last = result[-1] if result else None
        if (
            isinstance(event, MessagesReceived)
            and isinstance(last, MessagesReceived)
            and (last.discovery_key, last.name) == (event.discovery_key, event.name)
        ):
            payloads = [*last.payloads, *event.payloads]
            result[-1] = MessagesReceived(last.discovery_key, last.name, payloads)
            continue
        result.append(event)
    return result


# Connections


def connection(
    *,
    initiator: bool = False,
    label: str = "ours",
    limits: Limits = DEFAULT_LIMITS,
    names: Iterable[str] = (),
    now: float = NOW,
) -> Connection:
    extensions = ExtensionNames()
    for name in names:
        extensions.register(name)
    return Connection(
        wire="hypercore9",
        initiator=initiator,
        key_pair=key_pair(label),
        entropy=entropy(f"connection {label}"),
        now=now,
        limits=limits,
        extensions=extensions,
    )


class Pair:
    """An initiator and a responder, connected in memory."""

    def __init__(
        self, *, names: Iterable[str] = ("chat",), limits: Limits = DEFAULT_LIMITS, cut: Cutter = whole
    ) -> None:
        names = list(names)
        self.left = connection(initiator=True, label="left", names=names, limits=limits)
        self.right = connection(label="right", names=names, limits=limits)
        self.cut = cut
        self.events: dict[Connection, list[Event]] = {self.left: [], self.right: []}
        self.sent: dict[Connection, bytes] = {self.left: b"", self.right: b""}

    def exchange(self) -> Pair:
        """Carry bytes both ways until no side has more."""
        for source, sink in itertools.cycle(((self.left, self.right), (self.right, self.left))):
            data = bytes(source.data_to_send(NOW))
            self.sent[source] += data
            for chunk in self.cut(data):
                self.events[sink] += sink.receive_data(chunk, NOW)
            if not self.left.has_output and not self.right.has_output:
                return self
        raise AssertionError

    def open(self, key: DriveKey = KEY) -> Pair:
        self.left.open_drive(key)
        self.right.open_drive(key)
        return self.exchange()


class RawPeer:
    """A remote that finishes the handshake, and then sends anything that a test wants."""

    def __init__(self, ours: Connection, *, label: str = "raw", behind_handshake: bytes = b"") -> None:
        self.ours = ours
        self.key_pair = key_pair(label)
        self._handshake = Handshake(
            initiator=not ours.initiator, key_pair=self.key_pair, entropy=entropy(f"raw {label}")
        )
        self._parser = FrameParser(8 * 1024 * 1024)
        self.events: list[Event] = []
        self._unread = b""
        self._shake_hands(behind_handshake)

    def _shake_hands(self, behind: bytes) -> None:
        ours = self.ours
        finished = False
        while not finished:
            self._unread = self._handshake.receive_data_untrusted(bytes(ours.data_to_send(NOW)))
            data = b"".join(self._handshake.output)
            self._handshake.output.clear()
            finished = self._handshake.finished
            if finished:
                self.sending_key, self.receiving_key = self._handshake.split()
                self._transmit = XSalsa20(self.sending_key, self._handshake.nonce)
                self._receive = XSalsa20(self.receiving_key, self._handshake.remote_nonce)
                data += self._transmit.apply(behind)
            self.events += ours.receive_data(data, NOW)

    def say(self, plain: bytes) -> list[Event]:
        """Encrypt and send bytes."""
        return self.ours.receive_data(bytes(self._transmit.apply(plain)), NOW)

    def encrypt(self, plain: bytes) -> bytes:
        return bytes(self._transmit.apply(plain))

    def send(self, channel: int, *messages: ChannelMessage) -> list[Event]:
        """Send messages on a channel."""
        return self.say(b"".join(frame(channel, message) for message in messages))

    def announce(self, *names: str) -> list[Event]:
        return self.send(0, Options(list(names)))

    def heard(self) -> list[Item]:
        """Return the frames that the connection has sent since the last look."""
        items: list[Item] = []
        data, self._unread = self._unread + bytes(self.ours.data_to_send(NOW)), b""
        self._parser.parse_untrusted(bytes(self._receive.apply(data)), items)
        return items

    def heard_messages(self) -> list[tuple[int, ChannelMessage]]:
        """Return the decoded messages that the connection has sent since the last look, except extension
        messages.
        """
        return [
            (item.channel, messages.decode_untrusted(messages.TYPES[item.type], item.body))
            for item in self.heard()
            if isinstance(item, frames.Frame)
        ]

    def offer(self, key: DriveKey = KEY) -> Open:
        """Return the message that opens a drive, with the proof that we know its key."""
        return Open(key.discovery_key, capability(key, self.sending_key, self.receiving_key))

    def reflected(self, key: DriveKey = KEY) -> Open:
        """Return the connection's own proof, sent back to it."""
        return Open(key.discovery_key, capability(key, self.receiving_key, self.sending_key))


def capability(key: DriveKey, sending_key: bytes, receiving_key: bytes) -> bytes:
    """As in hypercore-crypto 2.3.2, `capability`."""
    return hashlib.blake2b(
        b"hypercore capability" + sending_key + key.public_key, digest_size=32, key=receiving_key
    ).digest()


def frame(channel: int, message: ChannelMessage) -> bytes:
    return frames.encode(channel, messages.TYPES.index(type(message)), messages.encode(message))


def extension_frame(extension_id: int, payload: bytes) -> bytes:
    return frames.extension_head(extension_id, len(payload)) + payload


EVERY_FRAME = b"".join((
    frames.KEEPALIVE,
    frame(0, Options(["a", "chat", "é"])),
    extension_frame(1, b"first"),
    extension_frame(1, b""),
    extension_frame(0, b"of nobody"),
    extension_frame(1, b"x" * 300),
    frame(3, Status(uploading=True)),
    frames.encode(0, 12, b"free"),
    frame(0, Options([f"{number:03}" for number in range(200)] + ["chat"])),
    extension_frame(200, b"a long id"),
    extension_frame(200, b"twice"),
    frame(77, Close(bytes(32))),
    frames.KEEPALIVE,
    extension_frame(200, b"last"),
))  # fmt: skip
"""Plain bytes of a session that contains every sort of frame. The receiver has registered "chat"."""


# Machines


class RecordingHost:
    """A host that notes the requests of its machine."""

    def __init__(self) -> None:
        self.noted: list[TopicHandle | Watch] = []
        self.read: list[Connection] = []
        self.reroutings = 0
        self.woken: list[Connection] = []
        self.retired: list[Connection] = []
        self.dropped: list[tuple[Connection, RemoteProtocolError]] = []

    def news(self, handle: TopicHandle | Watch) -> None:
        self.noted.append(handle)

    def readable(self, connection: Connection) -> None:
        self.read.append(connection)

    def rerouted(self) -> None:
        self.reroutings += 1

    def wake(self, connection: Connection) -> None:
        self.woken.append(connection)

    def retire(self, connection: Connection) -> None:
        self.retired.append(connection)

    def drop(self, connection: Connection, error: RemoteProtocolError) -> None:
        self.dropped.append((connection, error))


class Node(streams.Node):
    """A machine with its identity, and a host that only notes the machine's requests."""

    def __init__(self, label: str, *, limits: Limits = DEFAULT_LIMITS, wire: WireName = "hypercore9") -> None:
        self.host = RecordingHost()
        self.wire: WireName = wire
        super().__init__(label, limits=limits, host=self.host)

    def connection(self, *, initiator: bool, now: float = NOW) -> Connection:
        """Begin a connection. On the answering side, the first bytes decide the wire."""
        return self.make_connection(self.wire if initiator else None, now)

    def open(self, key: DriveKey = KEY) -> OpenDrive:
        return self.machine.open_drive(key)

    @property
    def public_key(self) -> bytes:
        return self.key_pair.public_keys[self.wire]


class Network:
    """The simulated network, for tests that use connections, and nodes with a recording host."""

    def __init__(self) -> None:
        self.streams = streams.Network()

    @property
    def now(self) -> float:
        return self.streams.now

    @now.setter
    def now(self, now: float) -> None:
        self.streams.now = now

    @property
    def connections(self) -> list[Connection]:
        """Both sides of the present connections, each dialler's side before the other."""
        return [end.connection for end in self.streams.ends]

    def connect(self, dialler: Node, answerer: Node) -> tuple[Connection, Connection]:
        """Begin a connection. Return the dialler's and the answerer's side."""
        near = self.streams.connect(dialler, answerer, dialler.wire)
        return near.connection, near.far.connection

    def settle(self, *only: Connection) -> None:
        """Carry bytes until no side has more, on all connections or only from the given sides."""
        moved = True
        while moved:
            moved = False
            for near in only or self.connections:
                moved |= self.carry(near)

    def carry(self, near: Connection) -> bool:
        """Carry the output of one side of a connection. Return whether there was any."""
        end = _end(near)
        moved = not end.gone and end.write()
        if moved:
            end.far.receive()
        return moved

    def cut(self, near: Connection) -> None:
        """Carry nothing more of a connection, without a notice to either side."""
        for end in (_end(near), _end(near).far):
            end.gone = True
            end.node.ends.remove(end)

    def end(self, near: Connection, *, reason: str = "", unsent: int = 0) -> None:
        """End a connection at both ends, `near` first."""
        end = _end(near)
        near.close()
        end.remove(reason, unsent)
        end.far.connection.receive_eof(self.now)
        end.far.remove(reason, 0)


def _end(connection: Connection) -> streams.End:
    assert isinstance(connection.owner, streams.End)
    return connection.owner


def handshake_event(events: Iterable[Event]) -> HandshakeCompleted:
    return next(event for event in events if isinstance(event, HandshakeCompleted))


def handshaken(*, initiator: bool = False) -> RawPeer:
    """Return a remote whose handshake with our connection happened at `NOW`. All output has been taken."""
    remote = RawPeer(connection(initiator=initiator, names=["chat"]))
    remote.heard()
    return remote
