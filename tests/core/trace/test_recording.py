from __future__ import annotations

import math

import pytest

from core.support import CUTS, KEY, NOW, entropy, key_pair
from peersockets_core import DEFAULT_LIMITS, TraceError, WireName
from peersockets_core.trace import (
    ClosedReport,
    Digest,
    End,
    Keepalive,
    MessageReport,
    OpenCommand,
    Recording,
    Register,
    Send,
    Sent,
    Side,
    draw_secrets,
    read,
    replay,
    write,
)
from peersockets_core.trace.recording import LARGEST_CHUNK

WIRES: list[WireName] = ["hypercore9", "hypercore11"]
CHAT = "peersockets/v0/chat"


def recording(wire: WireName | None, side: Side) -> Recording:
    return Recording(wire, side, draw_secrets(key_pair(side), entropy(side)), now=NOW)


def exchange(a: Recording, b: Recording, now: float = NOW, cut: str = "whole") -> None:
    while data := (a.data_to_send(now), b.data_to_send(now)):
        if not any(data):
            return
        for receiver, chunk in ((b, data[0]), (a, data[1])):
            for piece in CUTS[cut](chunk) if chunk else ():
                receiver.receive(piece, now)


def session(wire: WireName, *, cut: str = "whole", message: bytes = b"hello") -> tuple[Recording, Recording]:
    a, b = recording(wire, "initiator"), recording(None, "responder")
    for side in (a, b):
        side.carry_out(Register(side.side, CHAT))
        side.carry_out(OpenCommand(side.side, KEY.public_key))
    exchange(a, b, cut=cut)
    drive = KEY.discovery_key if wire == "hypercore11" else None
    a.carry_out(Send("initiator", drive, CHAT, message))
    exchange(a, b, cut=cut)
    b.carry_out(Send("responder", drive, CHAT, b"hello yourself"))
    exchange(a, b, cut=cut)
    assert a.handle_deadline(NOW + 10) == b.handle_deadline(NOW + 10) == []
    exchange(a, b, NOW + 10, cut)
    a.carry_out(End("initiator"))
    b.receive_eof(NOW + 10)
    return a, b


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("wire", WIRES)
def test_a_recording_replays(wire: WireName, cut: str) -> None:
    for side in session(wire, cut=cut):
        assert side.closed
        assert side.wire == wire
        trace = side.trace(shows="A test.", produced_by={"peersockets": "1"})
        replay(read(write(trace)))
        replay(trace, cut=CUTS["byte by byte"])
        assert any(isinstance(entry, MessageReport) for entry in trace.entries)
        assert any(isinstance(entry, Keepalive) for entry in trace.entries)
        assert isinstance(trace.entries[-1], ClosedReport)


@pytest.mark.parametrize("wire", WIRES)
def test_our_large_chunks_are_recorded_as_digests(wire: WireName) -> None:
    a, b = session(wire, message=bytes(LARGEST_CHUNK))
    for side, digests in ((a, 1), (b, 0)):
        trace = side.trace(shows="", produced_by={})
        sent = [entry.sent for entry in trace.entries if isinstance(entry, Sent)]
        assert len([one for one in sent if isinstance(one, Digest)]) == digests
        replay(trace)


def test_a_timeout_is_reported_and_not_recorded() -> None:
    _, b = recording("hypercore9", "initiator"), recording(None, "responder")
    assert b.handle_deadline(b.next_deadline()) == [ClosedReport("responder", fault=True)]
    assert b.entries == []
    assert b.next_deadline() == math.inf


def test_a_keepalive_is_not_mistaken_for_a_deadline() -> None:
    a, b = session("hypercore9")
    assert a.next_deadline() == math.inf
    exchange(a, b)
    limit = DEFAULT_LIMITS.handshake_time
    waiting = recording(None, "responder")
    assert waiting.next_deadline() == NOW + limit
    assert waiting.handle_deadline(NOW) == []
    assert waiting.entries == []


@pytest.mark.parametrize("wire", WIRES)
def test_input_after_the_end_is_not_recorded(wire: WireName) -> None:
    a, _ = session(wire)
    entries = list(a.entries)
    assert a.receive(b"more", NOW + 10) == a.receive_eof(NOW + 10) == []
    assert a.entries == entries


def test_a_recording_needs_bytes_that_identify_the_wire() -> None:
    with pytest.raises(TraceError, match="identify the wire"):
        recording(None, "responder").trace(shows="", produced_by={})
