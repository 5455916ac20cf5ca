from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from core.support import CUTS, NOW
from peersockets_core import DriveKey, TraceError
from peersockets_core.trace import OpenCommand, Player, Sent, Side, Trace, Transcript, WireMessage
from traces.files import load


def said(trace: Trace, knowing: Side, cut: str = "whole") -> dict[Side, list[WireMessage]]:
    transcript = Transcript(trace.wire, knowing, trace.secrets[knowing])
    messages: dict[Side, list[WireMessage]] = {"initiator": [], "responder": []}
    for entry in trace.entries:
        if isinstance(entry, Sent):
            assert isinstance(entry.sent, bytes)
            for chunk in CUTS[cut](entry.sent):
                messages[entry.side] += transcript.feed(entry.side, chunk)
    return messages


def drive_of(trace: Trace) -> DriveKey:
    return next(DriveKey(entry.key) for entry in trace.entries if isinstance(entry, OpenCommand))


def without_secrets(messages: list[WireMessage]) -> Iterator[tuple[str, int | None, dict[str, Any]]]:
    """Yield names, channels and fields, without the bytes that serve only as proofs."""
    for message in messages:
        fields = {k: v for k, v in message.fields.items() if k not in ("bytes", "capability")}
        yield message.name, message.channel, fields


def test_hypercore9() -> None:
    trace = load("hypercore9-chat")
    dkey = drive_of(trace).discovery_key
    name = "peersockets/v0/chat"
    assert list(without_secrets(said(trace, "responder")["initiator"])) == [
        ("handshake", None, {}),
        ("handshake", None, {}),
        ("Open", 1, {"discovery_key": dkey}),
        ("Status", 1, {"uploading": False, "downloading": True}),
        ("Options", 0, {"extensions": [name]}),
        ("extension", 0, {"id": 0, "name": name, "payload": b"hello"}),
        ("extension", 0, {"id": 0, "name": name, "payload": b"bye"}),
    ]


def test_hypercore11() -> None:
    trace = load("hypercore11-chat")
    dkey = drive_of(trace).discovery_key
    name = "peersockets/v0/chat"
    messages = said(trace, "responder")["initiator"]
    assert list(without_secrets(messages)) == [
        ("handshake", None, {}),
        ("handshake", None, {}),
        ("header", None, {}),
        ("Open", 1, {"protocol": "hypercore/alpha", "id": dkey, "flags": 0}),
        ("Sync", 1, {"body": bytes((6, 0, 0, 0))}),
        ("extension", 1, {"name": name, "compressed": False, "payload": b"hello"}),
        ("extension", 1, {"name": name, "compressed": True, "payload": b"bye"}),
    ]
    assert [message.batch for message in messages] == [None, None, None, 0, 1, 2, 3]
    assert [message.name for message in messages if message.about_data] == ["Sync"]


@pytest.mark.parametrize("wire", ["hypercore9", "hypercore11"])
def test_refusals_closes_and_keepalives(wire: str) -> None:
    refused = said(load(f"{wire}-no-common-drive"), "initiator")
    assert {"hypercore9": "Close", "hypercore11": "Reject"}[wire] in [m.name for m in refused["responder"]]
    assert "Close" in [m.name for m in said(load(f"{wire}-reopen"), "initiator")["responder"]]
    keepalives = said(load(f"{wire}-keepalives"), "initiator")
    assert [m.name for m in keepalives["responder"]].count("keepalive") == 2


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", ["hypercore9-several-topics", "hypercore11-names-compressed"])
def test_the_secrets_of_either_side_and_any_chunks_give_the_same_transcript(name: str, cut: str) -> None:
    trace = load(name)
    assert said(trace, "initiator", cut) == said(trace, "responder")


@pytest.mark.parametrize("wire", ["hypercore9", "hypercore11"])
def test_other_secrets(wire: str) -> None:
    trace = load(f"{wire}-chat")
    secrets = attrs.evolve(trace.secrets["initiator"], ephemeral=bytes([1]) * 32)
    with pytest.raises(TraceError, match="the bytes of the responder cannot be read"):
        said(attrs.evolve(trace, secrets={"initiator": secrets}), "initiator")


def test_other_protocols() -> None:
    messages = said(load("hypercore11-foreign-protocol"), "initiator")["responder"]
    strange = [message for message in messages if message.channel in (2, 3)]
    assert list(without_secrets(strange)) == [
        ("Open", 2, {"protocol": "example/protocol", "id": b"", "handshake": b""}),
        ("type 0", 2, {"body": b"early"}),
        ("Open", 3, {"protocol": "hypercore/beta", "id": b"", "handshake": b""}),
        ("type 0", 3, {"body": b"early"}),
    ]


def test_an_unknown_control_message() -> None:
    a = Player("hypercore11", "initiator", load("hypercore11-chat").secrets["initiator"], now=NOW)
    b = Player(None, "responder", load("hypercore11-chat").secrets["responder"], now=NOW)
    transcript = Transcript("hypercore11", "responder", load("hypercore11-chat").secrets["responder"])
    messages: list[WireMessage] = []
    for _ in range(3):
        for sender, receiver in ((a, b), (b, a)):
            data = sender.data_to_send(NOW)
            messages += transcript.feed(sender.side, data)
            receiver.receive(data, NOW)
    wire: Any = a.connection.wire_machine
    wire.mux.queue(0, bytes((9, 5)))
    assert transcript.feed("initiator", a.data_to_send(NOW)) == [
        WireMessage("control 9", fields={"body": b"\x05"}, batch=0)
    ]
