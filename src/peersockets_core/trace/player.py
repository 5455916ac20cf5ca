"""`Player`: plays one side of a session with a `Connection`, from a trace's commands to its reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from ..connection import Connection
from ..errors import LocalProtocolError, TraceError
from ..events import Event, WireName
from ..keys import DriveKey, KeyPair
from ..limits import DEFAULT_LIMITS, Limits
from .entries import (
    CloseCommand,
    Command,
    End,
    Keepalive,
    Kill,
    MessageReport,
    OpenCommand,
    Register,
    Report,
    Secrets,
    Send,
    Side,
    Unregister,
    reports,
)


class Player:
    """One side of a session."""

    def __init__(
        self,
        wire: WireName | None,
        side: Side,
        secrets: Secrets,
        *,
        now: float,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """Begin; a responder may pass None as the wire, and then recognizes it from the first bytes."""
        self.side = side
        self.connection = Connection(
            wire=wire,
            initiator=side == "initiator",
            key_pair=KeyPair(secrets.seed),
            entropy=secrets.entropy(),
            now=now,
            limits=limits,
        )
        self.reports: list[Report] = []
        """The reports so far."""
        self._registered: Counter[str] = Counter()

    def receive(self, data: bytes, now: float) -> None:
        """Take in bytes from the other side."""
        self._report(self.connection.receive_data(data, now))

    def receive_eof(self, now: float) -> None:
        """Take in the end of the stream."""
        self._report(self.connection.receive_eof(now))

    def handle_deadline(self, now: float) -> None:
        """Do whatever the connection's deadlines require by `now`."""
        self._report(self.connection.handle_deadline(now))

    def carry_out(self, command: Command) -> None:
        """Carry out a command of the application. Raises `TraceError` if the connection refuses it."""
        try:
            _COMMANDS[type(command)](self, command)
        except (LocalProtocolError, ValueError) as error:
            raise TraceError(f"the {self.side} cannot {command.kind[1]}: {error}") from None

    def data_to_send(self, now: float) -> bytes:
        """Return the queued output."""
        return bytes(self.connection.data_to_send(now))

    def _open(self, command: OpenCommand) -> None:
        self.connection.open_drive(DriveKey(command.key))

    def _close(self, command: CloseCommand) -> None:
        self.connection.close_drive(command.discovery_key)

    def _register(self, command: Register) -> None:
        self._registered[command.name] += 1
        self.connection.extensions.register(command.name)

    def _unregister(self, command: Unregister) -> None:
        if not self._registered[command.name]:
            raise LocalProtocolError(f"{command.name!r} is not registered")
        self._registered[command.name] -= 1
        self.connection.extensions.unregister(command.name)

    def _send(self, command: Send) -> None:
        self.connection.sender(command.discovery_key, command.name).send(command.payload)

    def _keepalive(self, _: Keepalive) -> None:
        self.handle_deadline(self.connection.next_deadline())

    def _end(self, _: End | Kill) -> None:
        self._report(self.connection.close())

    def _report(self, events: list[Event]) -> None:
        for event in events:
            for report in reports(self.side, event):
                # On hypercore11, `Connection` also reports messages for names that are not registered.
                if not isinstance(report, MessageReport) or self._registered[report.name]:
                    self.reports.append(report)


_COMMANDS: dict[type[Command], Callable[[Player, Any], None]] = {
    OpenCommand: Player._open,
    CloseCommand: Player._close,
    Register: Player._register,
    Unregister: Player._unregister,
    Send: Player._send,
    Keepalive: Player._keepalive,
    End: Player._end,
    Kill: Player._end,
}
