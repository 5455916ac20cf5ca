"""`peersockets_core.work`: input of a remote is processed in slices, on both wires."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import peersockets_core
from core.support import CUTS, KEY, NOW, Cutter, RawPeer, connection, entropy, error_of, key_pair, merged
from core.wires.hypercore11 import wire_support as hypercore11
from peersockets_core import (
    Connection,
    ConnectionClosed,
    DriveOpened,
    Event,
    LocalProtocolError,
    MessagesReceived,
    WireName,
)
from peersockets_core.wires.hypercore9 import frames, messages
from peersockets_core.wires.hypercore9.messages import Close, Open, Options
from peersockets_core.wires.hypercore11.encoding import encode_buffer, encode_uint
from peersockets_core.work import UNBOUNDED, Work

PACKAGE = str(Path(peersockets_core.__file__).parent)
WIRES: tuple[WireName, ...] = ("hypercore9", "hypercore11")
DISCOVERY_KEY = KEY.discovery_key


class Remote:
    """A member on one wire that can send anything. Our side has a drive open."""

    def __init__(self, wire: WireName) -> None:
        self.ours = Connection(
            wire=wire, initiator=False, key_pair=key_pair("ours"), entropy=entropy("ours"), now=NOW
        )
        self.ours.extensions.register("chat")
        self.ours.open_drive(KEY)
        self.wire = wire
        self.raw: Any
        if wire == "hypercore9":
            self.raw = RawPeer(self.ours)
            opened = self.raw.announce("chat", "other") + self.raw.send(1, self.raw.offer())
        else:
            self.raw = hypercore11.RawPeer(self.ours)
            opened = self.raw.say(self.raw.offer())
        assert opened == [DriveOpened(DISCOVERY_KEY)]
        self.ours.data_to_send(NOW)


def batch(*parts: bytes, channel: int = 1) -> bytes:
    """Return one batch of protomux, with each part after its size."""
    return b"\0\0" + encode_uint(channel) + b"".join(encode_uint(len(part)) + part for part in parts)


NAMED = b"\x09" + encode_buffer(b"chat") + b"first"
SAYINGS: dict[WireName, dict[str, list[bytes]]] = {
    "hypercore9": {
        "messages": [b"".join(frames.extension_head(0, 1) + bytes((n % 256,)) for n in range(3000))],
        "messages by turns": [b"".join(frames.extension_head(n % 2, 1) + b"x" for n in range(3000))],
        "keepalives": [b"\0" * 3000 + frames.extension_head(0, 3) + b"end"],
        "ignored frames": [b"\x01\x02" * 3000 + frames.extension_head(0, 3) + b"end"],
        "ignored fields": [frames.encode(0, 2, b"\x08\0" * 3000) + frames.extension_head(0, 3) + b"end"],
        "names": [
            frames.encode(0, 1, messages.encode(Options([f"{n}" for n in range(2000)] + ["chat"])))
            + frames.extension_head(2000, 3)
            + b"end"
        ],
        "unknown fields": [
            frames.encode(5, 10, b"\x78\0" * 3000 + messages.encode(Close(bytes(32))))
            + frames.extension_head(0, 3)
            + b"end"
        ],
        "offers": [
            b"".join(
                frames.encode(n + 2, 0, messages.encode(Open(n.to_bytes(32, "big"), bytes(32))))
                for n in range(300)
            )
        ],
        "a fault behind messages": [(frames.extension_head(0, 1) + b"x") * 3000 + b"\x01\x0f"],
        "a fault among names": [frames.encode(0, 1, b"\x0a\0" * 3000 + b"\x0a\x01\xff")],
    },
    "hypercore11": {
        "messages": [batch(NAMED, *(b"\x09\0x" for _ in range(3000)))],
        "messages by turns": [
            batch(*(b"\x09" + encode_buffer((b"chat", b"other")[n % 2]) + b"x" for n in range(3000)))
        ],
        "messages in frames": [b"\x01" + NAMED for _ in range(1000)],
        "keepalives": [b""] * 1000 + [b"\x01" + NAMED],
        "unknown control messages": [batch(*(b"\x07" for _ in range(3000)), channel=0), b"\x01" + NAMED],
        "messages on no channel": [batch(*(b"\x07" for _ in range(3000)), channel=9), b"\x01" + NAMED],
        "switches": [b"\0\0\x01" + b"\0\x01" * 3000 + encode_uint(len(NAMED)) + NAMED],
        "offers": [
            batch(
                *(
                    b"\x01" + encode_uint(n + 2) + encode_buffer(b"p") + encode_buffer(b"%d" % n)
                    for n in range(300)
                ),
                channel=0,
            )
        ],
        "requests": [batch(*(b"\x01\0" + encode_uint(n) for n in range(1000)))],
        "early messages": [
            b"\0\x01\x02" + encode_buffer(b"later") + encode_buffer(b""),
            batch(*(b"\x07" for _ in range(300)), channel=2),
        ],
        "a fault behind messages": [batch(NAMED, *(b"\x09\0x" for _ in range(3000))) + b"\x09"],
        "a batch within a batch": [batch(*(b"\x07" for _ in range(300)), b"\0", channel=0)],
    },
}
KINDS = [pytest.param(wire, name, id=f"{wire}: {name}") for wire in WIRES for name in SAYINGS[wire]]


def encrypted(remote: Remote, said: list[bytes]) -> bytes:
    if remote.wire == "hypercore11":
        remote.ours.mux.pair("later", None, lambda *_: True)
    return b"".join(map(remote.raw.encrypt, said))


def slices(ours: Connection, data: bytes, budget: int) -> Iterator[list[Event]]:
    """Return the events of the data, slice by slice."""
    yield ours.receive_data(data, NOW, budget)
    while ours.has_input:
        yield ours.receive_data(b"", NOW, budget)


def at_once(
    wire: WireName, said: list[bytes], cut: Cutter = CUTS["whole"]
) -> tuple[tuple[list[Event], str], bytes]:
    """Return the events of the same data without a budget, and our output."""
    remote = Remote(wire)
    events = [
        event for chunk in cut(encrypted(remote, said)) for event in remote.ours.receive_data(chunk, NOW)
    ]
    return comparable(events), bytes(remote.ours.data_to_send(NOW))


def comparable(events: list[Event]) -> tuple[list[Event], str]:
    """Return events that can be compared, with the final error as text."""
    failed = events and isinstance(events[-1], ConnectionClosed) and events[-1].error is not None
    return merged(events[:-1] if failed else events), error_of(events) if failed else ""


def waits(ours: Connection) -> bool:
    return ours.has_input


@pytest.mark.parametrize("cut", [CUTS["whole"], CUTS["cut at random"]], ids=["whole", "cut"])
@pytest.mark.parametrize("budget", [1, 30, 1000])
@pytest.mark.parametrize(("wire", "name"), KINDS)
def test_slices_give_the_same_events_as_the_whole(
    wire: WireName, name: str, budget: int, cut: Cutter
) -> None:
    remote = Remote(wire)
    events = [
        event
        for chunk in cut(encrypted(remote, SAYINGS[wire][name]))
        for part in slices(remote.ours, chunk, budget)
        for event in part
    ]
    answered = bytes(remote.ours.data_to_send(NOW))
    assert (comparable(events), answered) == at_once(wire, SAYINGS[wire][name], cut)


@pytest.mark.parametrize(("wire", "name"), KINDS)
def test_a_slice_does_not_exceed_its_budget(wire: WireName, name: str) -> None:
    """Measured in calls of Python functions, and in delivered messages."""
    remote, budget = Remote(wire), 500
    data = encrypted(remote, SAYINGS[wire][name])
    count = 0
    for calls, events in counted(slices(remote.ours, data, budget)):
        count += 1
        assert calls <= 4 * budget + 200
        assert remote.ours.budget_left <= budget
        assert sum(len(event.payloads) for event in events if isinstance(event, MessagesReceived)) <= budget
    # Ignored input is skipped as a whole, however long it is.
    assert count > 1 or name == "ignored fields"


GROWING: dict[WireName, dict[str, Callable[[int], list[bytes]]]] = {
    "hypercore9": {
        "messages": lambda size: [(frames.extension_head(0, 1) + b"x") * size],
        "messages by turns": lambda size: [
            b"".join(frames.extension_head(n % 2, 1) + b"x" for n in range(size))
        ],
        "ignored frames": lambda size: [b"\x01\x02" * size],
        "names": lambda size: [
            frames.encode(0, 1, messages.encode(Options([f"{n:04}" for n in range(size)])))
        ],
        "unknown fields": lambda size: [frames.encode(5, 10, b"\x78\0" * size)],
        "one large message": lambda size: [frames.extension_head(0, 100 * size) + bytes(100 * size)],
    },
    "hypercore11": {
        "messages": lambda size: [batch(NAMED, *[b"\x09\0x"] * size)],
        "messages by turns": lambda size: [
            batch(*(b"\x09" + encode_buffer((b"chat", b"other")[n % 2]) + b"x" for n in range(size)))
        ],
        "messages in frames": lambda size: [b"\x01" + NAMED] * size,
        "unknown control messages": lambda size: [batch(*[b"\x07"] * size, channel=0)],
        "switches": lambda size: [b"\0\0\x01" + b"\0\x01" * size],
        "requests": lambda size: [batch(*(b"\x01\0" + encode_uint(n) for n in range(size)))],
        "one large message": lambda size: [b"\x01" + NAMED + bytes(100 * size)],
    },
}


@pytest.mark.parametrize("piece", [50, 1 << 20], ids=["in small pieces", "in one"])
@pytest.mark.parametrize(
    ("wire", "name"),
    [pytest.param(wire, name, id=f"{wire}: {name}") for wire in WIRES for name in GROWING[wire]],
)
def test_the_work_grows_in_proportion_to_the_bytes(wire: WireName, name: str, piece: int) -> None:
    """Twice as many bytes cause at most twice as many calls, however they are cut."""
    work = []
    for size in (200, 400, 800, 1600):
        remote = Remote(wire)
        data = encrypted(remote, GROWING[wire][name](size))
        pieces = [data[start : start + piece] for start in range(0, len(data), piece)]
        parts = itertools.chain.from_iterable(slices(remote.ours, part, 100) for part in pieces)
        work.append(sum(calls for calls, _ in counted(parts)))
    steps = [later - earlier for earlier, later in itertools.pairwise(work)]
    assert all(later <= 2.05 * earlier + 20 for earlier, later in itertools.pairwise(steps)), work


def counted(parts: Iterator[list[Event]]) -> Iterator[tuple[int, list[Event]]]:
    """Return slices, each with its number of calls of the package's functions.

    The garbage collector may run callbacks of other packages at any time.
    """
    calls = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code.co_filename.startswith(PACKAGE)

    while True:
        calls = 0
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            part = next(parts, None)
        finally:
            sys.setprofile(before)
        if part is None:
            return
        yield calls, part


@pytest.mark.parametrize("wire", WIRES)
def test_waiting_input_is_reported(wire: WireName) -> None:
    remote = Remote(wire)
    data = encrypted(remote, SAYINGS[wire]["messages"])
    remote.ours.receive_data(data, NOW, 100)
    assert waits(remote.ours)
    assert remote.ours.budget_left == 0
    remote.ours.receive_data(b"", NOW, 1_000_000)
    assert not waits(remote.ours)
    assert 990_000 < remote.ours.budget_left < 1_000_000
    remote.ours.receive_data(b"", NOW)
    assert remote.ours.budget_left == UNBOUNDED


@pytest.mark.parametrize("wire", WIRES)
def test_without_a_budget_everything_is_processed(wire: WireName) -> None:
    """This includes waiting input, which is processed before new input."""
    remote = Remote(wire)
    first, behind = (encrypted(remote, SAYINGS[wire]["messages"]) for _ in range(2))
    events = remote.ours.receive_data(first, NOW, 10)
    assert waits(remote.ours)
    events += remote.ours.receive_data(behind, NOW)
    assert not waits(remote.ours)
    expected, _ = at_once(wire, SAYINGS[wire]["messages"] * 2)
    assert comparable(events) == expected


@pytest.mark.parametrize("wire", WIRES)
def test_with_a_budget_new_data_waits_behind_waiting_data(wire: WireName) -> None:
    remote = Remote(wire)
    first, behind = (encrypted(remote, SAYINGS[wire]["messages"]) for _ in range(2))
    events = remote.ours.receive_data(first[:-5], NOW, 10)
    for piece in (first[-5:], behind[:7], behind[7:]):
        events += remote.ours.receive_data(piece, NOW, 10)
        assert waits(remote.ours)
    for part in slices(remote.ours, b"", 100):
        events += part
    expected, _ = at_once(wire, SAYINGS[wire]["messages"] * 2)
    assert comparable(events) == expected


def test_data_waits_behind_a_half_decoded_message() -> None:
    remote = Remote("hypercore9")
    events = remote.ours.receive_data(encrypted(remote, SAYINGS["hypercore9"]["names"]), NOW, 10)
    events += remote.ours.receive_data(remote.raw.encrypt(frames.extension_head(2000, 1) + b"!"), NOW, 10)
    assert not events
    for part in slices(remote.ours, b"", 100):
        events += part
    assert merged(events) == [MessagesReceived(None, "chat", [b"end", b"!"])]


@pytest.mark.parametrize("wire", WIRES)
def test_the_end_of_the_stream_loses_nothing(wire: WireName) -> None:
    remote = Remote(wire)
    events = remote.ours.receive_data(encrypted(remote, SAYINGS[wire]["messages"]), NOW, 10)
    events += remote.ours.receive_eof(NOW)
    (expected, _), _ = at_once(wire, SAYINGS[wire]["messages"])
    assert merged(events) == [*expected, ConnectionClosed(None)]


@pytest.mark.parametrize("wire", WIRES)
def test_a_fault_before_the_end_of_the_stream(wire: WireName) -> None:
    remote = Remote(wire)
    remote.ours.receive_data(encrypted(remote, SAYINGS[wire]["a fault behind messages"]), NOW, 10)
    events = remote.ours.receive_eof(NOW)
    assert error_of(events)
    assert len([event for event in events if isinstance(event, ConnectionClosed)]) == 1


@pytest.mark.parametrize("wire", WIRES)
def test_waiting_input_is_forgotten_when_we_close(wire: WireName) -> None:
    for name in SAYINGS[wire].keys() - {"ignored fields"}:
        remote = Remote(wire)
        remote.ours.receive_data(encrypted(remote, SAYINGS[wire][name]), NOW, 10)
        assert waits(remote.ours)
        assert remote.ours.close() == [ConnectionClosed(None)]
        assert not waits(remote.ours)
        assert remote.ours.receive_data(b"", NOW, 10) == []


def test_a_damaged_frame_waits_its_turn() -> None:
    """All messages before it are heard before the connection ends, however small the slices are."""
    remote = Remote("hypercore11")
    data = bytearray(encrypted(remote, [batch(NAMED, *(b"\x09\0x" for _ in range(300))), b"\x01" + NAMED]))
    data[-1] ^= 1
    parts = list(slices(remote.ours, bytes(data), 50))
    assert len(parts) > 5
    assert error_of(parts[-1]) == "a frame of 29 bytes does not decrypt"
    (received,) = merged([event for part in parts for event in part][:-1])
    assert isinstance(received, MessagesReceived)
    assert len(received.payloads) == 301


@pytest.mark.parametrize("budget", [0, -1])
def test_a_budget_of_0_raises_a_local_error(budget: int) -> None:
    ours = connection()
    with pytest.raises(ValueError, match="budget must be one item or more"):
        ours.receive_data(b"", NOW, budget)
    with pytest.raises(LocalProtocolError):
        ours.admit(NOW, budget)


@pytest.mark.parametrize("wire", WIRES)
def test_admitting_has_a_budget_as_well(wire: WireName) -> None:
    ours = Connection(
        wire=wire, initiator=False, key_pair=key_pair("ours"), entropy=entropy("ours"), now=NOW, hold=True
    )
    ours.extensions.register("chat")
    ours.open_drive(KEY)
    raw: Any
    if wire == "hypercore9":
        raw = RawPeer(ours)
        said = [frames.encode(0, 1, messages.encode(Options(["chat"]))), *SAYINGS[wire]["messages"]]
    else:
        raw = hypercore11.RawPeer(ours)
        said = [raw.offer(), *SAYINGS[wire]["messages"]]
    assert ours.receive_data(b"".join(map(raw.encrypt, said)), NOW) == []
    assert not waits(ours)
    parts = [ours.admit(NOW, 100), *slices(ours, b"", 100)]
    assert len(parts) > 10
    (received,) = [e for e in merged(e for part in parts for e in part) if isinstance(e, MessagesReceived)]
    assert len(received.payloads) >= 3000


def test_work_is_unbounded_without_a_budget() -> None:
    assert Work().left == UNBOUNDED
    assert Work(3).left == 3
