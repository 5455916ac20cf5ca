"""`Wire` and `Sender`: the interface that each wire implements for `Connection`."""

from __future__ import annotations

from typing import Protocol

from ..crypto.sodium import Buffer
from ..events import Event
from ..keys import DriveKey
from .hypercore11.protomux import Mux
from .pieces import Pieces


class Sender(Protocol):
    """Sends the messages of one extension on one connection."""

    def check_size(self, size: int) -> None:
        """Raise `MessageTooLarge` if a payload of `size` bytes cannot be sent."""
        ...

    def send(self, payload: bytes) -> None:
        """Queue one message. Raises `MessageTooLarge`, with nothing queued."""
        ...


class Wire(Protocol):
    """The calls that `Connection` makes on a wire."""

    keepalive: float
    """Seconds without output after which a keepalive is due."""
    unfinished: Pieces
    """What has come of a frame that is not complete."""

    @property
    def mux(self) -> Mux | None:
        """The channels for protocols beside hypercore's; None on a wire that has none."""

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
