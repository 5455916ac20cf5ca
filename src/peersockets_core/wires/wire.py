"""`Wire` and `Sender`: the interface that each wire implements for `Connection`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..buffer import Buffer
from ..events import Event
from ..keys import DriveKey
from .pieces import Pieces

if TYPE_CHECKING:
    from .hypercore11.protomux import Mux


class Sender(Protocol):
    """Sends the messages of one extension on one connection."""

    def check_size(self, size: int) -> None:
        """Raise `MessageTooLarge` if a payload of `size` bytes cannot be sent."""
        ...

    def send(self, payload: bytes) -> None:
        """Queue one message. Raises `MessageTooLarge`, and then queues nothing."""
        ...


class Wire(Protocol):
    """The calls that `Connection` makes on a wire."""

    keepalive: float
    """Seconds without output after which a keepalive is due."""
    unfinished: Pieces
    """The received pieces of an incomplete frame."""

    @property
    def mux(self) -> Mux | None:
        """The channels for protocols besides hypercore's; None on a wire that has none."""

    @property
    def silence(self) -> float:
        """Seconds that the remote may be silent."""

    @property
    def has_output(self) -> bool:
        """Whether `data_to_send` would return anything."""

    @property
    def has_input(self) -> bool:
        """Whether input waits for the next slice of work."""

    @property
    def between_messages(self) -> bool:
        """Whether the remote may end the stream here without cutting off a message."""

    @property
    def kept(self) -> int:
        """Bytes of memory that the remote makes this wire keep, not counting answers to it."""
        ...

    def receive_data_untrusted(self, data: Buffer, events: list[Event]) -> None:
        """Append the events that `data` causes to `events`, and overwrite `data` if it is writable. Raises
        only `RemoteProtocolError`.

        The call stops when the shared work is used up. `has_input` is then true, and the next call continues
        with that input, with or without data. Bytes that follow the handshake are kept for the next call.
        """

    def forget_input(self) -> None:
        """Drop the unfinished message and all waiting input."""

    def data_to_send(self) -> bytes | memoryview:
        """Return all queued output, encrypted in one pass."""
        ...

    def send_keepalive(self) -> None:
        """Queue a keepalive."""

    def open_drive(self, key: DriveKey) -> None:
        """Open a drive, after the handshake."""

    def close_drive(self, discovery_key: bytes) -> None:
        """Close a drive that is open, after the handshake."""

    def sender(self, discovery_key: bytes | None, name: str) -> Sender:
        """Return the sender of one extension's messages. Raises `LocalProtocolError`."""
        ...
