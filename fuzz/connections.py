"""A connection of ours, and a remote that obeys no rule except the encryption, for both wires.

An input is a script of the remote's plaintext messages and of our own actions between them. See `play`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from peersockets_core import (
    Connection,
    ConnectionClosed,
    DriveClosed,
    DriveKey,
    DriveOpened,
    Event,
    HandshakeCompleted,
    KeyPair,
    LocalProtocolError,
    MessagesReceived,
    WireName,
)

from .support import KEYS, LIMITS, Script, bounded_work, cuts, fixed_entropy, retained

NAME: Final = "chat"
"""The extension that is registered on our side."""

CALLS: Final = 200
CALLS_PER_BYTE: Final = 20
"""Calls of Python functions allowed for our own actions, and for each byte of input."""

OWN: Final = 128
"""Bytes of protocol output that one action of ours may queue, and one answer to the remote."""

MEMORY: Final = 48 * 1024
"""Bytes that a connection may hold with `LIMITS`, whatever the remote has sent."""


class Remote(Protocol):
    """The remote's side of one wire, after the handshake."""

    def encrypt(self, plain: bytes) -> bytes:
        """Encrypt the remote's next message."""
        ...

    def offer(self, key: DriveKey, number: int) -> bytes:
        """Return the plaintext message that opens a drive, with the proof that the remote knows its key."""
        ...


class Observer:
    """Checks that the events of a connection come in a possible order."""

    def __init__(self, ours: Connection) -> None:
        self._ours = ours
        self._count = 0
        self._opened: set[bytes] = set()
        self._closed = False
        self.payload_size = 0
        """Bytes of received messages, and one more for each message."""

    def see(self, events: list[Event]) -> None:
        """Check the next events."""
        for event in events:
            assert not self._closed, f"{event} after the end"
            first = isinstance(event, HandshakeCompleted | ConnectionClosed)
            assert first if not self._count else not isinstance(event, HandshakeCompleted), event
            self._count += 1
            if isinstance(event, DriveOpened):
                assert event.discovery_key not in self._opened
                self._opened.add(event.discovery_key)
            elif isinstance(event, DriveClosed):
                self._opened.remove(event.discovery_key)
            elif isinstance(event, MessagesReceived):
                assert event.discovery_key is None or event.discovery_key in self._opened
                assert event.payloads
                self.payload_size += sum(map(len, event.payloads)) + len(event.payloads)
            elif isinstance(event, ConnectionClosed):
                self._closed = True
        assert self._closed == self._ours.closed

    def forget(self, discovery_key: bytes) -> None:
        """Note that we have closed a drive, because no event reports that."""
        self._opened.discard(discovery_key)


def connection(wire: WireName | None, *, initiator: bool, seed: int = 7) -> Connection:
    """Return a connection of ours with the first drive open. It is the same in every run."""
    made = Connection(
        wire=wire,
        initiator=initiator,
        key_pair=KeyPair.from_seed(bytes((seed,)) * 32),
        entropy=fixed_entropy(seed),
        now=0.0,
        limits=LIMITS,
    )
    made.extensions.register(NAME)
    made.open_drive(KEYS[0])
    return made


class _Play:
    def __init__(self, ours: Connection, remote: Remote, observer: Observer, script: Script) -> None:
        self.ours = ours
        self.remote = remote
        self.observer = observer
        self.script = script
        self.now = 0.0
        self.heard = 0
        self.done = 0
        self.open = {KEYS[0].discovery_key}
        self.own = 2 * OWN

    def hear(self, plain: bytes, size: int = 0) -> None:
        for piece in cuts(self.remote.encrypt(plain), size):
            self.heard += len(piece)
            self.observer.see(self.ours.receive_data(piece, self.now))

    def say(self) -> None:
        """Let the remote send any bytes, in one encrypted piece."""
        self.hear(self.script.chunk())

    def say_in_pieces(self) -> None:
        """Do the same, but let the bytes arrive in pieces."""
        size = self.script.byte()
        self.hear(self.script.chunk(), size)

    def offer(self) -> None:
        """Let the remote open a drive correctly."""
        key = KEYS[self.script.choose(len(KEYS))]
        self.hear(self.remote.offer(key, self.script.byte()))

    def toggle(self) -> None:
        """Open a drive on our side, or close it."""
        self.own += OWN
        key = KEYS[self.script.choose(len(KEYS))]
        if key.discovery_key in self.open:
            self.open.remove(key.discovery_key)
            self.observer.forget(key.discovery_key)
            self.ours.close_drive(key.discovery_key)
        else:
            self.open.add(key.discovery_key)
            self.ours.open_drive(key)

    def send(self) -> None:
        """Send a message, if the remote is a member."""
        self.own += OWN
        key = KEYS[self.script.choose(len(KEYS))].discovery_key
        try:
            sender = self.ours.sender(key if self.ours.wire == "hypercore11" else None, NAME)
        except LocalProtocolError:
            return
        if self.ours.outbox.size < self.ours.outbox.room:
            sender.send(self.script.take(self.script.byte()))

    def read(self) -> None:
        """Let the remote take our output."""
        self.ours.data_to_send(self.now)

    def wait(self) -> None:
        """Let time pass."""
        self.own += OWN
        self.now += self.script.byte()
        self.observer.see(self.ours.handle_deadline(self.now))

    def pause(self) -> None:
        """Stop reading, and then read again."""
        self.ours.pause_reading(self.now)
        self.now += self.script.byte()
        self.ours.resume_reading(self.now)

    def end(self) -> None:
        """End the stream."""
        self.observer.see(self.ours.receive_eof(self.now))


_ACTS: Final[tuple[Callable[[_Play], None], ...]] = (
    _Play.say, _Play.say_in_pieces, _Play.offer, _Play.toggle, _Play.send, _Play.read, _Play.wait,
    _Play.pause, _Play.end,
)  # fmt: skip


def play(ours: Connection, remote: Remote, observer: Observer, script: Script) -> None:
    """Play a script against a connection whose handshake is finished, until it is closed."""
    the = _Play(ours, remote, observer, script)
    with bounded_work(lambda: CALLS * (1 + the.done) + CALLS_PER_BYTE * the.heard):
        while script and not ours.closed:
            _ACTS[script.choose(len(_ACTS))](the)
            the.done += 1
            assert ours.outbox.size - ours.outbox.message_size <= LIMITS.replies + the.own
    check(ours, observer, the.heard)


def check(ours: Connection, observer: Observer, heard: int) -> None:
    """Check the facts that hold after any input of `heard` bytes."""
    assert observer.payload_size <= heard
    assert retained(ours) <= MEMORY, retained(ours)
    if ours.closed:
        assert ours.next_deadline() == float("inf")
        assert ours.receive_data(b"late", 0.0) == ours.handle_deadline(1e9) == ours.receive_eof(1e9) == []
    if ours.error is not None:
        assert not ours.has_output
        assert not ours.data_to_send()
