"""The wires that there are, what they have in common, and how a listener tells them apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Protocol

from .errors import RemoteProtocolError
from .events import Event, WireName
from .hypercore9.wire import Hypercore9
from .hypercore11.wire import Hypercore11
from .keys import DriveKey
from .pieces import Pieces
from .sodium import Buffer


class Sender(Protocol):
    """Sends the messages of one extension on one connection."""

    def check_size(self, size: int) -> None:
        """Raise `MessageTooLarge` if a payload of `size` bytes cannot be sent."""
        ...

    def send(self, payload: bytes) -> None:
        """Queue one message. Raises `MessageTooLarge`, with nothing queued."""
        ...


class Wire(Protocol):
    """What a `Connection` asks of a wire."""

    keepalive: float
    unfinished: Pieces
    """What has come of a frame that is not complete."""

    @property
    def silence(self) -> float:
        """How long the remote may say nothing, in seconds."""

    @property
    def has_output(self) -> bool:
        """Whether `data_to_send` would return anything."""

    @property
    def has_input(self) -> bool:
        """Whether something waits for the next slice of work."""

    @property
    def between_messages(self) -> bool:
        """Whether the remote may end the stream here without cutting anything short."""

    @property
    def kept(self) -> int:
        """Bytes of memory that the remote makes this wire keep, answers to it left out."""
        ...

    def receive_data_untrusted(self, data: Buffer, events: list[Event]) -> None:
        """Append to `events` what `data`, which is spent, causes. Raises only `RemoteProtocolError`.

        Stops where the work that it shares is used up; then it `has_input`, and goes on with that when called
        again, with or without data. What stands behind the handshake is kept for the call after the one that
        has finished it.
        """

    def forget_input(self) -> None:
        """Let go of what has come of a message that will not be finished, and of what waits."""

    def data_to_send(self) -> bytes | memoryview:
        """Hand over everything queued, encrypted in one pass."""
        ...

    def send_keepalive(self) -> None:
        """Queue what says nothing."""

    def open_drive(self, key: DriveKey) -> None:
        """Open a drive, after the handshake."""

    def close_drive(self, discovery_key: bytes) -> None:
        """Close a drive that is open, after the handshake."""

    def sender(self, discovery_key: bytes | None, name: str) -> Sender:
        """Return what sends the messages of one extension. Raises `LocalProtocolError`."""
        ...


class Undecided:
    """Stands for the wire until the first byte has come: nothing to say, nothing that can be asked."""

    keepalive = silence = math.inf
    has_input = has_output = between_messages = False
    kept = 0
    unfinished = Pieces()

    def receive_data_untrusted(self, data: Buffer, events: list[Event]) -> None:
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


MAKERS: Final[dict[WireName, Callable[..., Wire]]] = {"hypercore9": Hypercore9, "hypercore11": Hypercore11}

_FIRST_BYTES: dict[int, WireName] = {0x3A: "hypercore9", 0x20: "hypercore11"}
"""What an initiator's first message begins with: its length, 58 as a varint or 32 as three bytes."""

WIRES: tuple[WireName, ...] = tuple(MAKERS)
"""The wires that a `Connection` speaks."""


def detect_untrusted(first_byte: int) -> WireName:
    """Tell the wire that an initiator speaks. Raises only `RemoteProtocolError`."""
    try:
        return _FIRST_BYTES[first_byte]
    except KeyError:
        raise RemoteProtocolError(
            f"handshake: a first byte of {first_byte:#04x} begins no known wire"
        ) from None
