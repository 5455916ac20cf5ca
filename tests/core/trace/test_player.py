from __future__ import annotations

from collections.abc import Callable

import pytest

from core.support import KEY, NOW
from peersockets_core import TraceError, WireName
from peersockets_core.trace import (
    CloseCommand,
    ClosedReport,
    Command,
    End,
    HandshakeReport,
    Keepalive,
    Kill,
    MessageReport,
    OpenCommand,
    OpenReport,
    Player,
    Register,
    Secrets,
    Send,
    Side,
    Unregister,
)

WIRES: list[WireName] = ["hypercore9", "hypercore11"]
DKEY = KEY.discovery_key
CHAT = "peersockets/v0/chat"


def secrets(side: Side) -> Secrets:
    letter = side[:1].encode()
    return Secrets(letter * 32, letter.upper() * 32, letter * 24)


class Line:
    """Two players, connected in memory."""

    def __init__(self, wire: WireName) -> None:
        self.wire = wire
        self.a = Player(wire, "initiator", secrets("initiator"), now=NOW)
        self.b = Player(None, "responder", secrets("responder"), now=NOW)

    def exchange(self) -> None:
        while self.a.connection.has_output or self.b.connection.has_output:
            for sender, receiver in ((self.a, self.b), (self.b, self.a)):
                receiver.receive(sender.data_to_send(NOW), NOW)

    def do(self, command: Callable[[Side], Command]) -> None:
        for player in (self.a, self.b):
            player.carry_out(command(player.side))
        self.exchange()

    def send(self, name: str, payload: bytes) -> None:
        self.a.carry_out(Send("initiator", DKEY if self.wire == "hypercore11" else None, name, payload))
        self.exchange()


@pytest.mark.parametrize("wire", WIRES)
def test_a_session(wire: WireName) -> None:
    line = Line(wire)
    line.do(lambda side: Register(side, CHAT))
    line.do(lambda side: OpenCommand(side, KEY.public_key))
    line.send(CHAT, b"hello")
    line.a.carry_out(End("initiator"))
    line.b.receive_eof(NOW)
    handshake, *rest = line.b.reports
    assert isinstance(handshake, HandshakeReport)
    assert handshake.remote_public_key == line.a.connection.key_pair.public_keys[wire]
    drive = DKEY if wire == "hypercore11" else None
    assert rest == [
        OpenReport("responder", DKEY),
        MessageReport("responder", drive, CHAT, b"hello"),
        ClosedReport("responder", fault=False),
    ]
    assert [type(report) for report in line.a.reports] == [HandshakeReport, OpenReport, ClosedReport]


@pytest.mark.parametrize("wire", WIRES)
def test_only_registered_extensions_are_reported(wire: WireName) -> None:
    line = Line(wire)
    line.do(lambda side: Register(side, CHAT))
    line.do(lambda side: OpenCommand(side, KEY.public_key))
    line.b.carry_out(Register("responder", CHAT))  # twice
    for times in (2, 1, 0):
        line.send(CHAT, b"%d" % times)
        if times:
            line.b.carry_out(Unregister("responder", CHAT))
    heard = [report.payload for report in line.b.reports if isinstance(report, MessageReport)]
    assert heard == [b"2", b"1"]


@pytest.mark.parametrize("wire", WIRES)
def test_a_keepalive_needs_no_clock(wire: WireName) -> None:
    line = Line(wire)
    line.do(lambda side: OpenCommand(side, KEY.public_key))
    line.a.carry_out(Keepalive("initiator"))
    assert len(line.a.data_to_send(NOW)) == {"hypercore9": 1, "hypercore11": 20}[wire]
    assert len(line.a.reports) == 2


def test_a_deadline() -> None:
    player = Player(None, "responder", secrets("responder"), now=NOW)
    player.handle_deadline(NOW + 1)
    assert player.reports == []
    player.handle_deadline(NOW + 10)
    assert player.reports == [ClosedReport("responder", fault=True)]


@pytest.mark.parametrize(
    "command",
    [
        CloseCommand("initiator", DKEY),
        Unregister("initiator", CHAT),
        Send("initiator", None, CHAT, b""),
        Send("initiator", DKEY, CHAT, b""),
    ],
)
def test_commands_that_are_not_possible_yet_are_refused(command: Command) -> None:
    player = Player("hypercore11", "initiator", secrets("initiator"), now=NOW)
    with pytest.raises(TraceError, match="the initiator cannot"):
        player.carry_out(command)
    assert player.reports == []


def test_a_cut() -> None:
    player = Player("hypercore9", "initiator", secrets("initiator"), now=NOW)
    player.carry_out(Kill("initiator"))
    assert player.reports == [ClosedReport("initiator", fault=False)]
