"""The table of wires, from which a listener also detects the wire of an initiator.

The first connection on a wire loads the modules of that wire, because most programs speak only one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

from ..buffer import Buffer
from ..errors import RemoteProtocolError
from ..events import Event, WireName
from ..keys import DriveKey
from .duplicates import Judge
from .hypercore9.duplicates import judge as judge_hypercore9
from .hypercore11.duplicates import judge as judge_hypercore11
from .pieces import Pieces
from .setup import WireSetup
from .wire import Sender, Wire


class Undecided:
    """Stands for the wire until the first byte has arrived; it has no output and accepts no commands."""

    keepalive = silence = math.inf
    has_input = has_output = between_messages = False
    kept = 0
    mux = None
    unfinished = Pieces()

    def receive_data_untrusted(self, data: Buffer, events: list[Event]) -> None:
        """Ignore an empty read."""

    def forget_input(self) -> None:
        """Do nothing, because there is no input."""

    def data_to_send(self) -> bytes:
        """Return nothing, because a responder does not speak first."""
        return b""

    def send_keepalive(self) -> None:
        raise AssertionError("no keepalive is due before the handshake")

    def open_drive(self, key: DriveKey) -> None:
        raise AssertionError("drives are opened after the handshake")

    def close_drive(self, discovery_key: bytes) -> None:
        raise AssertionError("drives are opened after the handshake")

    def sender(self, discovery_key: bytes | None, name: str) -> Sender:
        raise AssertionError("messages are sent after the handshake")


def _make_hypercore9(setup: WireSetup) -> Wire:
    from .hypercore9.wire import Hypercore9

    return Hypercore9(setup)


def _make_hypercore11(setup: WireSetup) -> Wire:
    from .hypercore11.wire import Hypercore11

    return Hypercore11(setup)


class WireKind(NamedTuple):
    """The properties of a wire that are known before a connection exists."""

    make: Callable[[WireSetup], Wire]
    first_byte: int
    """The first byte of an initiator's first message, which is the first byte of its length."""
    takes_keys: bool
    """Whether it can start with the keys of a handshake that took place elsewhere."""
    has_drive_extensions: bool
    """Whether an extension belongs to a drive instead of the connection."""
    judge: Judge
    """The rule that decides which of two connections of one peer stays."""


KINDS: Final[dict[WireName, WireKind]] = {
    "hypercore9": WireKind(
        make=_make_hypercore9,
        first_byte=0x3A,  # 58, as a varint
        takes_keys=False,
        has_drive_extensions=False,
        judge=judge_hypercore9,
    ),
    "hypercore11": WireKind(
        make=_make_hypercore11,
        first_byte=0x20,  # 32, as three bytes
        takes_keys=True,
        has_drive_extensions=True,
        judge=judge_hypercore11,
    ),
}

WIRES: tuple[WireName, ...] = tuple(KINDS)
"""The wires that a `Connection` speaks."""


def parse_wire(name: str | None) -> WireName:
    """Return the wire of that name, typed as a `WireName`. Raises `ValueError` for any other name."""
    for wire in WIRES:
        if wire == name:
            return wire
    raise ValueError(f"wire must be one of {', '.join(WIRES)}, not {name!r}")


_BY_FIRST_BYTE: Final = {kind.first_byte: wire for wire, kind in KINDS.items()}


def detect_untrusted(first_byte: int) -> WireName:
    """Return the wire of an initiator from its first byte. Raises only `RemoteProtocolError`."""
    try:
        return _BY_FIRST_BYTE[first_byte]
    except KeyError:
        raise RemoteProtocolError(
            f"handshake: the first byte {first_byte:#04x} begins no known wire"
        ) from None
