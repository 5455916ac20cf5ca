from __future__ import annotations

from typing import Any

import attrs
import pytest

from peersockets_core import (
    ConnectionClosed,
    DriveClosed,
    DriveOpened,
    HandshakeCompleted,
    MessagesReceived,
    RemoteProtocolError,
)
from peersockets_core.trace import (
    ClosedReport,
    CloseReport,
    HandshakeReport,
    MessageReport,
    OpenCommand,
    OpenReport,
    Received,
    Secrets,
    Sent,
    Trace,
)
from peersockets_core.trace.entries import ENTRIES, reports

KEY = bytes(32)


def test_every_kind_has_one_class() -> None:
    assert len({entry.kind for entry in ENTRIES}) == len(ENTRIES)


def test_secrets_are_drawn_in_the_order_of_the_wires() -> None:
    draw = Secrets(bytes(32), b"e" * 32, b"n" * 24).entropy()
    assert draw(32) == b"e" * 32
    assert draw(24) == b"n" * 24


def test_secrets_do_not_change_from_one_player_to_the_next() -> None:
    secrets = Secrets(bytes(32), b"e" * 32, b"n" * 24)
    assert secrets.entropy()(32) == secrets.entropy()(32)


def test_reports() -> None:
    error = RemoteProtocolError("")
    for event, expected in (
        (
            HandshakeCompleted("hypercore9", KEY, bytes(64)),
            [HandshakeReport("initiator", KEY, bytes(64))],
        ),
        (DriveOpened(KEY), [OpenReport("initiator", KEY)]),
        (DriveClosed(KEY), [CloseReport("initiator", KEY)]),
        (
            MessagesReceived(None, "chat", [b"a", b"b"]),
            [MessageReport("initiator", None, "chat", b"a"), MessageReport("initiator", None, "chat", b"b")],
        ),
        (ConnectionClosed(None), [ClosedReport("initiator", False)]),
        (ConnectionClosed(error), [ClosedReport("initiator", True)]),
    ):
        assert list(reports("initiator", event)) == expected


TRACE = Trace(wire="hypercore9", shows="", produced_by={}, comparison="bytes", secrets={})


@pytest.mark.parametrize(
    ("cls", "arguments", "complaint"),
    [
        (Sent, ("nobody", b""), "side"),
        (Sent, ("initiator", "text"), "sent"),
        (Received, ("initiator", -1), "received"),
        (OpenCommand, ("initiator", bytes(31)), "key must be 32 bytes"),
        (OpenCommand, ("initiator", "text"), "key must be bytes"),
        (CloseReport, ("initiator", bytes(33)), "discovery_key must be 32 bytes"),
        (ClosedReport, ("initiator", 1), "fault"),
        (Secrets, (bytes(32), bytes(32), bytes(32)), "nonce must be 24 bytes"),
    ],
)
def test_wrong_values(cls: Any, arguments: tuple[object, ...], complaint: str) -> None:
    with pytest.raises((TypeError, ValueError), match=complaint):
        cls(*arguments)


@pytest.mark.parametrize(
    "change",
    [
        {"wire": "hypercore10"},
        {"shows": b""},
        {"produced_by": {"node": 20}},
        {"comparison": "hopefully"},
        {"secrets": {"somebody": Secrets(bytes(32), bytes(32), bytes(24))}},
    ],
    ids=str,
)
def test_wrong_headers(change: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        attrs.evolve(TRACE, **change)
