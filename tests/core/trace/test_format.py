from __future__ import annotations

import itertools
from contextlib import suppress
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peersockets_core import TraceError
from peersockets_core.trace import (
    VERSION,
    CloseCommand,
    ClosedReport,
    CloseReport,
    Digest,
    End,
    Ended,
    Entry,
    HandshakeReport,
    Keepalive,
    Kill,
    MessageReport,
    OpenCommand,
    OpenReport,
    Received,
    Register,
    Secrets,
    Send,
    Sent,
    Trace,
    Unregister,
    read,
    write,
)
from peersockets_core.trace.entries import ENTRIES

KEY = bytes(range(32))
ALL: list[Entry] = [
    Sent("initiator", b"bytes"),
    Sent("responder", Digest(1 << 20, KEY)),
    Received("responder", 5),
    Ended("initiator"),
    OpenCommand("initiator", KEY),
    CloseCommand("initiator", KEY),
    Register("initiator", "\U0001f600"),
    Unregister("initiator", ""),
    Send("initiator", None, "chat", b"hello"),
    Send("initiator", KEY, "chat", b"A" * 5000),
    Keepalive("responder"),
    End("responder"),
    Kill("initiator"),
    HandshakeReport("responder", KEY, bytes(64)),
    OpenReport("responder", KEY),
    CloseReport("responder", KEY),
    MessageReport("responder", KEY, "chat", b"\0" * 1024),
    ClosedReport("responder", fault=True),
]
SECRETS = Secrets(bytes(32), bytes(32), bytes(24))


def trace(*entries: Entry) -> Trace:
    return Trace(
        wire="hypercore11",
        shows="Everything.",
        produced_by={"a": "1", "b": "2"},
        comparison="channels",
        secrets={"initiator": SECRETS},
        entries=list(entries),
    )


HEADER: dict[str, Any] = cbor2.loads(write(trace()))


def test_every_class_is_tested() -> None:
    assert {type(entry) for entry in ALL} == set(ENTRIES)


def test_a_written_trace_reads_back() -> None:
    assert read(write(trace(*ALL))) == trace(*ALL)


def test_a_sequence_of_items() -> None:
    data = write(trace(Sent("initiator", b"bytes"), Send("responder", KEY, "chat", b"A" * 1024)))
    assert data == b"".join(
        map(
            cbor2.dumps,
            (
                {
                    "peersocketsTrace": VERSION,
                    "wire": "hypercore11",
                    "shows": "Everything.",
                    "producedBy": {"a": "1", "b": "2"},
                    "comparison": "channels",
                    "secrets": {"initiator": {"seed": bytes(32), "ephemeral": bytes(32), "nonce": bytes(24)}},
                },
                {"side": "initiator", "sent": b"bytes"},
                {
                    "side": "responder",
                    "command": "send",
                    "discoveryKey": KEY,
                    "name": "chat",
                    "payload": {"repeat": b"A", "size": 1024},
                },
            ),
        )
    )


def test_every_beginning_is_a_shorter_trace_or_refused() -> None:
    data = write(trace(*ALL))
    lengths = {0}
    for size in range(len(data)):
        with suppress(TraceError):
            lengths.add(len(read(data[:size]).entries))
    assert lengths == set(range(len(ALL)))


@pytest.mark.parametrize(
    ("items", "complaint"),
    [
        ([], "no header"),
        ([1], "no header"),
        ([{"side": "initiator", "sent": b""}], "no header"),
        ([HEADER | {"peersocketsTrace": 2}], "format 2, not 1"),
        ([HEADER | {"wire": "tcp"}], "item 0: 'wire'"),
        ([{"peersocketsTrace": 1}], "item 0: no 'wire'"),
        ([HEADER | {"secrets": {"initiator": {"seed": KEY}}}], "item 0"),
        ([HEADER | {"secrets": 5}], "item 0"),
        ([HEADER | {"secrets": {"initiator": 5}}], "item 0"),
        ([HEADER, 5], "item 1: an entry is a map"),
        ([HEADER, {"side": "initiator"}], "item 1: an entry of no known kind"),
        ([HEADER, {"side": "initiator", "command": "dance"}], "item 1: an entry of no known kind"),
        ([HEADER, {"side": "initiator", "command": []}], "item 1"),
        ([HEADER, {"sent": b""}], "item 1"),
        ([HEADER, {"side": "initiator", "sent": b"", "more": 1}], "item 1"),
        ([HEADER, {"side": "initiator", "sent": {"size": 5}}], "item 1"),
        ([HEADER, {"side": "initiator", "received": 1.5}], "item 1"),
        ([HEADER, {"side": "initiator", "ended": False}], "item 1"),
        ([HEADER, {5: "initiator", "sent": b""}], "item 1"),
    ],
)
def test_bytes_that_are_no_trace_are_refused(items: list[Any], complaint: str) -> None:
    with pytest.raises(TraceError, match=complaint):
        read(b"".join(map(cbor2.dumps, items)))


@pytest.mark.parametrize(
    "payload",
    [{"repeat": b"AB", "size": 5}, {"repeat": b"A", "size": -1}, {"repeat": b"A", "size": 1 << 40}, "text"],
    ids=str,
)
def test_wrong_payloads_are_refused(payload: object) -> None:
    item = {"side": "initiator", "command": "send", "discoveryKey": None, "name": "", "payload": payload}
    with pytest.raises(TraceError, match=r"item 1|repeats more"):
        read(cbor2.dumps(HEADER) + cbor2.dumps(item))


def test_all_repetitions_are_bounded_together() -> None:
    payload = {"repeat": b"A", "size": 1 << 24}
    item = {"side": "initiator", "command": "send", "discoveryKey": None, "name": "", "payload": payload}
    with pytest.raises(TraceError, match="repeats more than"):
        read(cbor2.dumps(HEADER) + cbor2.dumps(item) * 100)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for start in (b"", write(trace())):
        with suppress(TraceError):
            read(start + data)


@given(st.integers(min_value=0), st.integers(1, 255))
def test_any_byte_changed(position: int, change: int) -> None:
    data = bytearray(write(trace(*ALL)))
    data[position % len(data)] ^= change
    with suppress(TraceError):
        read(bytes(data))


def test_deep_nesting() -> None:
    with pytest.raises(TraceError):
        read(b"\x81" * 100_000)


def test_not_utf8() -> None:
    with pytest.raises(TraceError):
        read(write(trace()) + bytes(itertools.chain(b"\xa1\x64side", b"\x61\xff")))
