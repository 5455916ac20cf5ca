"""`Core.run_untrusted`: how far it reads a batch, and the work that it counts."""

from __future__ import annotations

import itertools

import attrs
import pytest

from core.wires.hypercore11.test_alpha import DISCOVERY_KEY, SYNC, Side, closing, opened, theirs
from peersockets_core import DEFAULT_LIMITS, Limits, MessagesReceived
from peersockets_core.wires.hypercore11.encoding import encode_buffer
from peersockets_core.work import ANSWER, MEMBERSHIP, RECORD, RUN

LONGEST = 0xFC  # bytes of a name that is decoded within a run


def part(payload: bytes = b"", name: str | None = None) -> bytes:
    """Return an extension message in a batch, after its size; without a name, it repeats the last one."""
    return encode_buffer(b"\x09" + (b"\0" if name is None else encode_buffer(name.encode())) + payload)


class Run:
    """One call of the reader, on a batch with other bytes before and behind the messages."""

    def __init__(
        self,
        *parts: bytes,
        behind: bytes = b"",
        beyond: bytes = b"",
        left: int = 100_000,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.side = Side(limits=limits)
        core = self.side.open()
        self.side.say(theirs())
        self.side.events.clear()
        self.ends = list(itertools.accumulate(map(len, parts), initial=3))
        work = self.side.mux.work
        work.left = left
        data = b"\0\0\1" + b"".join(parts) + behind
        position = core.run_untrusted(data + beyond, 3, len(data))
        assert position in self.ends
        self.count = self.ends.index(position)
        """The number of messages that were read."""
        self.left = work.left
        self.used = left - work.left
        self.heard = [
            (event.name, payload)
            for event in self.side.events
            if isinstance(event, MessagesReceived)
            for payload in event.payloads
        ]


NAME = "n" * LONGEST
RUNS: dict[str, tuple[list[bytes], int, list[tuple[str, bytes]]]] = {
    "without a name": ([part(b"1"), part(b"2"), part()], 1, [("", b"1"), ("", b"2"), ("", b"")]),
    "a name once": ([part(b"1", "a"), part(b"2")], 1, [("a", b"1"), ("a", b"2")]),
    "a name twice": ([part(b"1", "a"), part(b"2", "a")], 1, [("a", b"1"), ("a", b"2")]),
    "two names in turn": (
        [part(b"1", "a"), part(b"2"), part(b"3", "b"), part(b"4", "a")],
        3,
        [("a", b"1"), ("a", b"2"), ("b", b"3"), ("a", b"4")],
    ),
    "names without a payload": ([part(b"", "a"), part(b"", "b")], 2, [("a", b""), ("b", b"")]),
    "the longest name": ([part(b"1", NAME), part(b"2", "b")], 2, [(NAME, b"1"), ("b", b"2")]),
    "sizes around one byte": (
        [part(bytes(size)) for size in (249, 250, 251, 252)],
        1,
        [("", bytes(size)) for size in (249, 250, 251, 252)],
    ),
    "sizes around two bytes": (
        [part(bytes(size)) for size in (253, 254, 0x1234, 65_533)],
        1,
        [("", bytes(size)) for size in (253, 254, 0x1234, 65_533)],
    ),
}


@pytest.mark.parametrize(("parts", "runs", "heard"), RUNS.values(), ids=RUNS)
def test_a_run_is_read_to_its_end(parts: list[bytes], runs: int, heard: list[tuple[str, bytes]]) -> None:
    """A message costs one item, and each run of one name costs `RUN` besides."""
    run = Run(*parts)
    assert run.count == len(parts)
    assert run.heard == heard
    assert run.used == RUN * runs + len(parts)


STOPS = {
    "nothing": b"",
    "a switch of channels": b"\0\1",
    "another type of message": b"\x02\x04\x01",
    "a type of 0": b"\x03\0\0x",
    "a message of one byte": b"\x01\x09",
    "a message cut short": b"\x04\x09\0x",
    "a size of two bytes, cut after the first": b"\xfd",
    "a size of two bytes, cut within": b"\xfd\x03",
    "a size of two bytes, and nothing else": b"\xfd\x03\0",
    "a long message cut short": b"\xfd\0\x01\x09\0" + bytes(253),
    "a size of four bytes": b"\xfe\x03\0\0\0\x09\0x",
    "a size of four bytes whose end looks like a message": b"\xfe\x03\0\x09\0xyz",
    "a size of eight bytes": b"\xff\x03" + bytes(7) + b"\x09\0x",
    "a name that is cut short": encode_buffer(b"\x09\x02n"),
    "a name that is not UTF-8": encode_buffer(b"\x09\x01\xff"),
    "a name that is too long for a run": encode_buffer(b"\x09" + encode_buffer(bytes(LONGEST + 1)) + b"x"),
}


@pytest.mark.parametrize("behind", STOPS.values(), ids=STOPS)
@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("beyond", [b"", b"\x03\x09\0!" * 9], ids=["alone", "with bytes beyond the end"])
def test_a_run_stops_at_any_other_message(beyond: bytes, before: int, behind: bytes) -> None:
    run = Run(*[part(b"x", "a")] * before, behind=behind, beyond=beyond)
    assert run.heard == [("a", b"x")] * before
    assert run.used == (RUN + before if before else 0)


@pytest.mark.parametrize("limit", [1, 3, LONGEST - 1, LONGEST, LONGEST + 1])
def test_the_longest_name_of_a_run_is_that_of_the_limits(limit: int) -> None:
    limits = attrs.evolve(DEFAULT_LIMITS, extension_name=limit)
    longest = min(limit, LONGEST)
    assert Run(part(b"x", "n" * longest), limits=limits).count == 1
    assert Run(part(b"x", "n" * (longest + 1)), limits=limits).heard == []


@pytest.mark.parametrize("left", [1, 2, RUN - 1, RUN, RUN + 1, RUN + 2, 20, 50, 107, 108, 109, 200])
@pytest.mark.parametrize("names", [(None,), ("a", "a"), ("a", "b"), (None, "a", "b")])
def test_a_run_reads_no_more_than_the_work_allows(left: int, names: tuple[str | None, ...]) -> None:
    """A slice may end in debt, but only by the cost of one run."""
    parts = [part(b"", name) for name, _ in zip(itertools.cycle(names), range(100), strict=False)]
    run = Run(*parts, left=left)
    assert 1 <= run.count <= max(1, left)
    assert -RUN <= run.left < left
    runs = 1 + sum(before != after for before, after in itertools.pairwise(name for name, _ in run.heard))
    assert run.used == RUN * runs + run.count
    if run.count < len(parts):
        # The bytes of the smallest messages are counted, so up to two thirds may remain.
        assert run.left < max(1, left / 2)
    if left >= RUN * 100 + 100:
        assert run.count == len(parts)


def test_without_work_nothing_is_read() -> None:
    for left in (0, -1, -RUN):
        run = Run(part(b"x"), left=left)
        assert (run.count, run.left) == (0, left)


def test_a_run_that_continues_an_event_counts_only_its_own_messages() -> None:
    side = opened()
    core, work = side.cores[DISCOVERY_KEY], side.mux.work
    data = part(b"1", "a") + part(b"2") + part(b"3", "b") + part(b"4", "a")
    side.events.clear()
    for _ in range(3):
        work.left = 1000
        assert core.run_untrusted(data, 0, len(data)) == len(data)
        assert work.left == 1000 - 3 * RUN - 4
    work.left = 1000
    data = part(b"5", "a")
    assert core.run_untrusted(data, 0, len(data)) == len(data)
    assert work.left == 1000 - RUN - 1
    assert [event.payloads for event in side.events if isinstance(event, MessagesReceived)] == [
        [b"1", b"2"], [b"3"], [b"4", b"1", b"2"], [b"3"], [b"4", b"1", b"2"], [b"3"], [b"4", b"5"],
    ]  # fmt: skip


def test_messages_outside_a_run_are_counted_as_well() -> None:
    side = Side()
    side.open()
    work = side.mux.work
    for message, items in (
        (theirs(), RECORD + ANSWER + MEMBERSHIP),
        (b"\x01\x09\0x", RECORD),
        (b"\x01" + SYNC, RECORD),
        (b"\x01\x01\x01\x05", RECORD + ANSWER),
        (closing(), RECORD + ANSWER + MEMBERSHIP),
    ):
        work.left = 10_000
        side.say(message)
        assert work.left == 10_000 - items
