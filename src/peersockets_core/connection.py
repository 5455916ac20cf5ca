"""`Connection`: one stream's state machine, whatever the wire, and the boundary where errors are sorted.

Feed it what the stream delivers and the time; send what it hands over; call `handle_deadline` when its
next deadline has come. Time is any monotonic clock in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

from .errors import LocalProtocolError, RemoteProtocolError
from .events import ConnectionClosed, Event, HandshakeCompleted, WireName
from .extensions import ExtensionNames
from .hypercore9.wire import Hypercore9
from .hypercore11.protomux import Mux
from .hypercore11.wire import Hypercore11
from .keys import DriveKey, Entropy, KeyPair
from .limits import DEFAULT_LIMITS, Limits
from .outbox import Outbox


class Sender(Protocol):
    """Sends the messages of one extension on one connection."""

    def check_size(self, size: int) -> None:
        """Raise `MessageTooLarge` if a payload of `size` bytes cannot be sent."""
        ...

    def send(self, payload: bytes) -> None:
        """Queue one message. Raises `MessageTooLarge`, with nothing queued."""
        ...


class _Wire(Protocol):
    keepalive: float
    silence: float

    @property
    def has_output(self) -> bool: ...
    @property
    def between_messages(self) -> bool: ...
    def receive_data_untrusted(self, data: bytes, events: list[Event]) -> None: ...
    def forget_input(self) -> None: ...
    def data_to_send(self) -> bytes | memoryview: ...
    def send_keepalive(self) -> None: ...
    def open_drive(self, key: DriveKey) -> None: ...
    def close_drive(self, discovery_key: bytes) -> None: ...
    def sender(self, discovery_key: bytes | None, name: str) -> Sender: ...


class _Undecided:
    """Stands for the wire until the first byte has come: nothing to say, nothing that can be asked."""

    keepalive = silence = math.inf
    has_output = between_messages = False

    def receive_data_untrusted(self, data: bytes, events: list[Event]) -> None:
        """There was no data."""

    def forget_input(self) -> None:
        """There was none."""

    def data_to_send(self) -> bytes:
        """A responder has to be spoken to first."""
        return b""

    def send_keepalive(self) -> None:
        raise AssertionError("no keepalive is due before the handshake")

    def open_drive(self, key: DriveKey) -> None:
        raise AssertionError("drives are opened after the handshake")

    def close_drive(self, discovery_key: bytes) -> None:
        raise AssertionError("drives are opened after the handshake")

    def sender(self, discovery_key: bytes | None, name: str) -> Sender:
        raise AssertionError("messages are sent after the handshake")


_WIRES: dict[WireName, Callable[..., _Wire]] = {"hypercore9": Hypercore9, "hypercore11": Hypercore11}

_FIRST_BYTES: dict[int, WireName] = {0x3A: "hypercore9", 0x20: "hypercore11"}
"""What an initiator's first message begins with: its length, 58 as a varint or 32 as three bytes."""

WIRES: tuple[WireName, ...] = tuple(_WIRES)
"""The wires that a `Connection` speaks."""


def _detect_untrusted(first_byte: int) -> WireName:
    """Tell the wire that an initiator speaks. Raises only `RemoteProtocolError`."""
    try:
        return _FIRST_BYTES[first_byte]
    except KeyError:
        raise RemoteProtocolError(
            f"handshake: a first byte of {first_byte:#04x} begins no known wire"
        ) from None


class Connection:
    """One secured stream to one remote public key."""

    def __init__(
        self,
        *,
        wire: WireName | None = None,
        initiator: bool,
        key_pair: KeyPair,
        entropy: Entropy,
        now: float,
        limits: Limits = DEFAULT_LIMITS,
        extensions: ExtensionNames | None = None,
    ) -> None:
        """Begin a handshake; an initiator has output at once.

        A responder may leave the wire to be told from the first bytes. `extensions` may be shared by
        many connections, and is a table of its own if not given. Raises `ValueError` for an unknown
        wire, or an initiator without one.
        """
        if wire not in _WIRES and (initiator or wire is not None):
            raise ValueError(f"wire must be one of {', '.join(_WIRES)}, not {wire!r}")
        self.wire: WireName | None = None
        """The wire in use; None as long as the first bytes have not told."""
        self.initiator = initiator
        self.key_pair = key_pair
        """Our identity."""
        self.extensions = ExtensionNames() if extensions is None else extensions
        """The stream extensions registered here; messages of others are discarded."""
        self.remote_public_key: bytes | None = None
        """The remote's proved key, once the handshake is finished."""
        self.owner: Any = None
        """For the adapter's use: what moves this connection's bytes."""
        self.closed = False
        self.error: RemoteProtocolError | None = None
        """What the peer did wrong, where that closed the connection."""
        self._limits = limits
        self._entropy = entropy
        self._drives: dict[bytes, DriveKey] = {}
        self.outbox = Outbox(room=limits.send_buffer, reply_limit=limits.replies)
        """What is queued; its `size` is what back pressure looks at."""
        self._wire: _Wire = _Undecided()
        if wire is not None:
            self._begin(wire)
        self._now = now
        self._handshake_deadline = now + limits.handshake_time
        self._last_received = now
        self._last_sent = now
        self._reading = True

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take what the stream delivered; returns the events it caused, in order.

        A peer's fault comes as the last event, a `ConnectionClosed` with the error. Never raises for
        what the data holds. Data for a closed connection is ignored.
        """
        self._now = max(self._now, now)
        if self.closed:
            return []
        self._last_received = self._now
        events: list[Event] = []
        try:
            if self.wire is None and data:
                self._begin(_detect_untrusted(data[0]))
            self._wire.receive_data_untrusted(data, events)
        except RemoteProtocolError as error:
            # Its traceback, and that of its cause, would keep all that was being read.
            error.__cause__ = error.__context__ = None
            self._close(events, error.with_traceback(None))
        if self.remote_public_key is None and events and isinstance(events[0], HandshakeCompleted):
            self.remote_public_key = events[0].remote_public_key
            if self.remote_public_key == self.key_pair.public_keys[events[0].wire]:
                return self._close([], RemoteProtocolError("connected to ourselves"))
        return events

    def receive_eof(self, now: float) -> list[Event]:
        """The stream has ended; it is a fault only where it ends within something."""
        self._now = max(self._now, now)
        if self.closed:
            return []
        error = None
        if self.remote_public_key is None:
            error = RemoteProtocolError("the connection ended before the handshake was finished")
        elif not self._wire.between_messages:
            error = RemoteProtocolError("the connection ended within a message")
        return self._close([], error)

    @property
    def has_output(self) -> bool:
        """Whether `data_to_send` would return anything."""
        return self.error is None and self._wire.has_output

    def data_to_send(self, now: float | None = None) -> bytes | memoryview:
        """Hand over everything queued, encrypted in one pass; empty if there is nothing.

        Given `now`, the keepalive is timed from this sending; otherwise from the last time told.
        """
        if self.error is not None:
            return b""
        data = self._wire.data_to_send()
        if data:
            self._last_sent = self._now = max(self._now, self._now if now is None else now)
        return data

    def next_deadline(self) -> float:
        """When to call `handle_deadline`, at the latest; infinity for never."""
        if self.closed:
            return math.inf
        if self.remote_public_key is None:
            return self._handshake_deadline
        keepalive = self._last_sent + self._wire.keepalive
        return min(keepalive, self._last_received + self._wire.silence) if self._reading else keepalive

    def handle_deadline(self, now: float) -> list[Event]:
        """Do what has become due by `now`: send a keepalive, or give the peer up."""
        self._now = max(self._now, now)
        if self.closed or self._now < self.next_deadline():
            return []
        if self.remote_public_key is None:
            text = f"no handshake within {self._limits.handshake_time:g} seconds"
            if self.wire is not None:
                text += f"; does the remote speak {self.wire}?"
            return self._close([], RemoteProtocolError(text))
        if self._reading and self._now >= self._last_received + self._wire.silence:
            error = RemoteProtocolError(f"nothing received for {self._wire.silence:g} seconds")
            return self._close([], error)
        self._wire.send_keepalive()
        # The next is due from now on, even if this one cannot leave because the peer does not read.
        self._last_sent = self._now
        return []

    def pause_reading(self, now: float) -> None:
        """We read no further for a while, so that silence is not the peer's."""
        self._now = max(self._now, now)
        self._reading = False

    def resume_reading(self, now: float) -> None:
        """We read again: the peer has the full time to be heard."""
        self._last_received = self._now = max(self._now, now)
        self._reading = True

    def open_drive(self, key: DriveKey) -> None:
        """Open a drive here and offer it to the remote, as soon as the handshake is finished.

        Raises `LocalProtocolError` if it is open already.
        """
        self._check_open()
        if key.discovery_key in self._drives:
            raise LocalProtocolError(f"drive {key} is already open on this connection")
        self._drives[key.discovery_key] = key
        if self.remote_public_key is not None:
            self._wire.open_drive(key)

    def close_drive(self, discovery_key: bytes) -> None:
        """Close a drive that is open here. Raises `LocalProtocolError` if it is not."""
        self._check_open()
        if self._drives.pop(discovery_key, None) is None:
            raise LocalProtocolError(f"no drive with discovery key {discovery_key.hex()} is open")
        if self.remote_public_key is not None:
            self._wire.close_drive(discovery_key)

    def sender(self, discovery_key: bytes | None, name: str) -> Sender:
        """Return what sends the messages of one registered extension.

        Raises `LocalProtocolError` before the handshake is finished and after closing.
        """
        self._check_open()
        if self.remote_public_key is None:
            raise LocalProtocolError("the handshake is not finished")
        return self._wire.sender(discovery_key, name)

    @property
    def mux(self) -> Mux:
        """The channels of a hypercore11 connection, for protocols beside hypercore's.

        What is paired before the handshake is finished misses nothing that the remote opens. How to run a
        protocol: `peersockets_core.hypercore11.protomux`. Raises `LocalProtocolError` on another wire, and
        as long as the first bytes have not told which it is.
        """
        if not isinstance(self._wire, Hypercore11):
            raise LocalProtocolError(
                f"a mux needs the wire hypercore11, not {self.wire or 'one yet to be told'}"
            )
        return self._wire.mux

    def close(self) -> list[Event]:
        """Close from our side; what is queued can still be taken and sent."""
        return [] if self.closed else self._close([], None)

    def fail(self, error: RemoteProtocolError) -> list[Event]:
        """Close because of what the peer did on a layer above or below; nothing more is sent."""
        return [] if self.closed else self._close([], error)

    def _begin(self, wire: WireName) -> None:
        self.wire = wire
        self._wire = _WIRES[wire](
            initiator=self.initiator,
            key_pair=self.key_pair,
            entropy=self._entropy,
            limits=self._limits,
            extensions=self.extensions,
            outbox=self.outbox,
            drives=self._drives,
        )

    def _check_open(self) -> None:
        if self.closed:
            raise LocalProtocolError("the connection is closed")

    def _close(self, events: list[Event], error: RemoteProtocolError | None) -> list[Event]:
        self.closed = True
        self.error = error
        # A connection is part of cycles: as garbage it may wait for long, with megabytes of half a message.
        self._wire.forget_input()
        events.append(ConnectionClosed(error))
        return events
