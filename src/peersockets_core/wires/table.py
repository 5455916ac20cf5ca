"""The table of wires, and how a listener detects the one that an initiator speaks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from ..crypto.sodium import Buffer
from ..errors import RemoteProtocolError
from ..events import Event, WireName
from ..keys import DriveKey
from .hypercore9.wire import Hypercore9
from .hypercore11.wire import Hypercore11
from .pieces import Pieces
from .wire import Sender, Wire


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
