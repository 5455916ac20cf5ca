"""Packets that no honest peer sends: they change nothing, cost little, and never raise."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.support import bounded_work, retained
from peersockets_core.udx import (
    DataReceived,
    Endpoint,
    MessageReceived,
    Stream,
    StreamClosed,
    StreamEnded,
    StreamReset,
    UdxLimits,
    WritableAgain,
)
from properties.udx.packets import (
    DATA,
    DESTROY,
    END,
    HEARTBEAT,
    MESSAGE,
    SACK,
    WINDOW,
    Packet,
    decode,
    run,
    sack,
)

OURS, THEIRS = 11, 22
REMOTE = ("10.0.0.2", 1000)
STRANGER = ("6.6.6.6", 6)
MODULUS = 1 << 32

LIMITS = UdxLimits(window=64 * 1024, window_excess=4 * 1024, reordered_packets=128, early_bytes=4 * 1024)


@attrs.define(eq=False)
class Victim:
    """A stream of ours whose remote is played by the test."""

    endpoint: Endpoint
    stream: Stream
    now: float = 1000.0
    events: list[Any] = attrs.field(factory=list)

    def hear(self, *packets: Packet, source: tuple[str, int] = REMOTE) -> list[Any]:
        """Receive packets, one per read. Return the events."""
        events: list[Any] = []
        for packet in packets:
            events += self.hear_raw(packet.encode(), source=source)
        return events

    def hear_raw(self, data: bytes, size: int = 0, *, source: tuple[str, int] = REMOTE) -> list[Any]:
        events = list(self.endpoint.receive_datagrams(data, size or len(data), source, self.now))
        self.events += events
        return events

    def say(self) -> list[Packet]:
        """Return the datagrams that we send now. All of them go to the remote."""
        packets = []
        for destination, buffers, size in self.endpoint.datagrams_to_send(self.now):
            assert destination == REMOTE
            data = b"".join(buffers)
            packets += [decode(data[start : start + size]) for start in range(0, len(data), size)]
        return packets

    def wait(self, seconds: float) -> list[Packet]:
        """Let time pass. Return the datagrams that we send in that time."""
        until, packets = self.now + seconds, self.say()
        while self.endpoint.next_deadline() <= until:
            self.now = max(self.now, self.endpoint.next_deadline())
            self.events += self.endpoint.handle_deadline(self.now)
            packets += self.say()
        self.now = until
        return packets

    @property
    def received(self) -> bytes:
        return b"".join(bytes(event.data) for event in self.events if isinstance(event, DataReceived))

    @property
    def closed(self) -> bool:
        return any(isinstance(event, StreamClosed) for event in self.events)


@pytest.fixture
def victim() -> Victim:
    return make_victim()


def make_victim(*, first: int = 0) -> Victim:
    """Return a connected stream. Both sides begin to count at `first`."""
    endpoint = Endpoint(limits=LIMITS, now=1000.0)
    stream = endpoint.open_stream(OURS, 1000.0)
    stream.connect(THEIRS, REMOTE, 1000.0, remote_seq=first, local_seq=first)
    return Victim(endpoint, stream)


def data(seq: int, payload: bytes, **fields: int) -> Packet:
    return Packet(OURS, fields.pop("flags", DATA), seq=seq, body=payload, **fields)


def works(victim: Victim, *, received: int = 0, sent: int = 0) -> None:
    """Check that the stream still passes bytes both ways, after this many received and acknowledged
    packets.
    """
    victim.events.clear()
    victim.hear(data(received, b"hello", ack=sent))
    assert victim.received == b"hello"
    victim.stream.write(b"there")
    [packet] = [packet for packet in victim.say() if packet.flags & DATA]
    assert (packet.to, packet.seq, packet.ack, packet.payload) == (THEIRS, sent, received + 1, b"there")
    victim.hear(Packet(OURS, seq=received + 1, ack=sent + 1))
    assert victim.stream.unacknowledged == 0
    assert not [packet for packet in victim.wait(10) if packet.flags & DATA], "it was acknowledged"
    assert not victim.closed


# Datagrams that are no packets of this stream


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\0",
        b"\xff",
        b"\xff\x01" + bytes(17),
        Packet(OURS, DATA, body=b"x", magic=0xFE).encode(),
        Packet(OURS, DATA, body=b"x", version=0).encode(),
        Packet(OURS, DATA, body=b"x", version=2).encode(),
        bytes(2000),
        b"\xff" * 2000,
    ],
    ids=range(9),
)
def test_garbage(victim: Victim, garbage: bytes) -> None:
    assert victim.hear_raw(garbage) == []
    assert victim.say() == []
    works(victim)


@pytest.mark.parametrize("flags", range(64))
def test_packets_for_an_unknown_id(victim: Victim, flags: int) -> None:
    assert victim.hear(Packet(OURS + 1, flags, body=b"12345678"), source=STRANGER) == []
    assert victim.say() == []
    works(victim)


def test_packets_for_many_unknown_ids_are_bounded(victim: Victim) -> None:
    before = retained(victim.endpoint)
    for number in range(5000):
        victim.hear(Packet(1000 + number, DATA, body=bytes(1000)), source=("6.6.6.6", number))
    assert retained(victim.endpoint) - before < 16 * LIMITS.early_bytes
    assert victim.say() == []
    works(victim)


@pytest.mark.parametrize("size", [0, -1, 1, 19, 20, 24, 25, 26, 1 << 40])
def test_a_segment_size_that_fits_no_packet(victim: Victim, size: int) -> None:
    packets = b"".join(data(seq, b"hello").encode() for seq in range(3))
    list(victim.endpoint.receive_datagrams(packets, size, REMOTE, victim.now))
    victim.say()
    assert not victim.closed


def test_a_bad_datagram_in_a_run_spoils_no_other(victim: Victim) -> None:
    bad = data(1, b"xxxxx")
    victim.hear_raw(
        *run(
            [
                data(0, b"aaaaa"),
                attrs.evolve(bad, magic=0),
                data(1, b"bbbbb"),
                attrs.evolve(bad, version=9),
                attrs.evolve(bad, to=99),
                data(2, b"ccccc"),
            ]
        )
    )
    assert victim.received == b"aaaaabbbbbccccc"


# Acknowledgements


@pytest.mark.parametrize("ack", [4, 5, 1000, 1 << 31, MODULUS - 1, MODULUS - 4])
def test_an_acknowledgement_of_packets_that_were_not_sent(victim: Victim, ack: int) -> None:
    for _ in range(3):
        victim.stream.write(b"x")
        victim.say()
    outstanding = victim.stream.unacknowledged
    victim.hear(Packet(OURS, ack=ack))
    assert victim.stream.unacknowledged == outstanding
    victim.hear(Packet(OURS, ack=3))
    assert victim.stream.unacknowledged == 0
    works(victim, sent=3)


@pytest.mark.parametrize(
    "ranges",
    [
        [(5, 5)],
        [(7, 5)],
        [(0, 1)],
        [(5, 100)],
        [(100, 200)],
        [(1 << 31, MODULUS - 1)],
        [(MODULUS - 5, 5)],
        [(2, 4), (3, 6)],
        [(8, 9), (2, 3)],
        [(2, 3)] * 50,
        [(2, 3)] * 300,
    ],
    ids=str,
)
def test_invalid_ranges(victim: Victim, ranges: Sequence[tuple[int, int]]) -> None:
    for number in range(10):
        victim.stream.write(bytes((number,)))
        victim.say()
    victim.hear(sack(OURS, 1, *ranges[:180]))
    # Packets that may have arrived are not sent again. The others are, the earliest first.
    claimed = {seq for start, end in ranges if 1 <= start < end <= 10 for seq in range(start, end)}
    again = [packet.seq for packet in victim.wait(4) if packet.flags & DATA]
    assert again
    assert min(again) == min(set(range(1, 10)) - claimed)
    assert not claimed & set(again)
    victim.hear(Packet(OURS, ack=10))
    assert victim.stream.unacknowledged == 0
    works(victim, sent=10)


@pytest.mark.parametrize("size", [1, 4, 7, 9, 15])
def test_ranges_that_are_cut_short(victim: Victim, size: int) -> None:
    victim.stream.write(b"x")
    victim.say()
    victim.hear(Packet(OURS, SACK, body=bytes(size)), Packet(OURS, SACK, offset=200, body=bytes(size)))
    victim.hear(Packet(OURS, ack=1))
    works(victim, sent=1)


def test_an_overtaken_packet_does_not_bring_back_its_window(victim: Victim) -> None:
    victim.stream.write(b"x")
    victim.say()
    victim.hear(Packet(OURS, seq=0, ack=1, window=WINDOW))
    victim.hear(Packet(OURS, seq=0, ack=0, window=0))  # overtaken by the packet above
    works(victim, sent=1)


def test_the_largest_possible_window_costs_no_memory(victim: Victim) -> None:
    victim.hear(Packet(OURS, window=MODULUS - 1))
    victim.stream.write(bytes(10_000_000))
    assert len(victim.say()) < 100, "more than the first flight before an acknowledgement"


def test_a_window_that_shrinks_makes_a_writer_wait_and_wakes_it(victim: Victim) -> None:
    """The writer did not have to wait for room before."""
    victim.stream.write(bytes(LIMITS.send_buffer))
    writable = [victim.stream.writable]
    victim.say()
    victim.hear(Packet(OURS, seq=1, window=0))
    writable.append(victim.stream.writable)
    assert writable == [True, False]
    victim.events.clear()
    victim.hear(Packet(OURS, seq=1, ack=1, window=WINDOW))
    assert [type(event) for event in victim.events] == [WritableAgain]


def test_a_closed_window_is_respected_and_probed(victim: Victim) -> None:
    victim.hear(Packet(OURS, window=0))
    victim.stream.write(bytes(50_000))
    packets = victim.say()
    for _ in range(20):
        packets += victim.wait(2)
        if any(packet.flags & HEARTBEAT for packet in packets[-3:]):
            victim.hear(Packet(OURS, window=0))
    assert not [packet for packet in packets if packet.flags & DATA]
    heartbeats = [packet for packet in packets if packet.flags & HEARTBEAT]
    assert 5 <= len(heartbeats) <= 45
    assert not victim.closed
    victim.hear(Packet(OURS, window=WINDOW))
    assert any(packet.flags & DATA for packet in victim.say())


# Data


@pytest.mark.parametrize("seq", [129, 1000, 1 << 30, 1 << 31, MODULUS - 1, MODULUS - 1000])
def test_a_number_far_away(victim: Victim, seq: int) -> None:
    assert victim.hear(data(seq, b"far")) == []
    assert all(packet.ack == 0 and not packet.ranges for packet in victim.say())
    works(victim)


@pytest.mark.parametrize("first", [0, MODULUS - 3])
def test_repeated_data_is_acknowledged_again_and_delivered_once(first: int) -> None:
    victim = make_victim(first=first)
    for _ in range(3):
        victim.hear(*[data(first + number, b"%d" % number, ack=first) for number in range(5)])
        assert {packet.ack for packet in victim.say()} == {(first + 5) % MODULUS}
    assert victim.received == b"01234"


def test_all_reported_packets_are_kept(victim: Victim) -> None:
    """A real peer frees packets that we report, so it can never send them again."""
    generator = random.Random(1)
    numbers = list(range(1, 400))
    generator.shuffle(numbers)
    reported: set[int] = set()
    for number in numbers:
        victim.hear(data(number, bytes((number % 256,)) * 100))
        for packet in victim.say():
            reported.update(seq for start, end in packet.ranges for seq in range(start, end))
    victim.hear(data(0, b"\0" * 100))
    acks = [packet.ack for packet in victim.say()]
    expected = next(number for number in range(1, 500) if number not in reported)
    assert max(acks) >= expected
    delivered = victim.received
    assert delivered == b"".join(bytes((number % 256,)) * 100 for number in range(len(delivered) // 100))
    assert max(reported) < len(delivered) // 100, "a packet was reported but is missing"


def test_gaps_are_bounded_in_memory_and_work(victim: Victim) -> None:
    before = retained(victim.endpoint)
    count = 3000
    with bounded_work(lambda: 400 * count):
        for number in range(count):
            victim.hear(data(2 * number + 1, b"x"))
            victim.say()
    assert retained(victim.endpoint) - before < 512 * LIMITS.reordered_packets
    assert victim.received == b""
    victim.hear(data(0, b"x"))
    assert victim.received == b"xx"


def test_data_beyond_the_window_is_not_kept(victim: Victim) -> None:
    seq = 0
    while len(victim.received) < 10 * LIMITS.window and seq < 2000:
        victim.hear(data(seq, bytes(1000)))
        victim.say()
        seq += 1
    assert len(victim.received) <= LIMITS.window + LIMITS.window_excess
    victim.stream.consume(len(victim.received))
    assert victim.say()[-1].window >= LIMITS.window // 2


def test_empty_data_is_acknowledged_and_not_delivered(victim: Victim) -> None:
    """In the layer above, no bytes would mean the end of the stream."""
    assert victim.hear(data(0, b""), data(1, b""), data(2, b"", flags=DATA | HEARTBEAT)) == []
    assert victim.say()[-1].ack == 3
    works(victim, received=3)


@pytest.mark.parametrize("offset", [1, 4, 5, 6, 255])
def test_padding(victim: Victim, offset: int) -> None:
    victim.hear(data(0, bytes(5) + b"hello", offset=offset))
    if offset == 5:
        assert victim.received == b"hello"
    else:
        assert victim.received in (b"", (bytes(5) + b"hello")[offset:])
    assert not victim.closed


def test_data_after_ranges_in_the_same_packet(victim: Victim) -> None:
    for _ in range(3):
        victim.stream.write(b"x")
        victim.say()
    body = sack(OURS, 0, (1, 3)).body
    victim.hear(Packet(OURS, DATA | SACK, body=body + b"hello", offset=len(body)))
    assert victim.received == b"hello"


# The end


def test_data_after_the_end_is_not_delivered(victim: Victim) -> None:
    victim.hear(data(0, b"last", flags=DATA | END))
    victim.hear(data(1, b"more"), data(2, b"more", flags=DATA | END), Packet(OURS, END, seq=3))
    assert victim.received == b"last"
    assert sum(isinstance(event, StreamEnded) for event in victim.events) == 1
    assert not victim.closed


def test_an_end_that_arrives_before_earlier_data(victim: Victim) -> None:
    victim.hear(Packet(OURS, END, seq=2))
    assert victim.events == []
    victim.hear(data(1, b"b"))
    victim.hear(data(0, b"a"))
    assert victim.received == b"ab"
    assert isinstance(victim.events[-1], StreamEnded)


def test_two_ends_in_different_places(victim: Victim) -> None:
    victim.hear(Packet(OURS, END, seq=3), Packet(OURS, END, seq=1), data(2, b"c"), data(0, b"a"))
    assert victim.received in (b"a", b"ac")  # nobody knows which of them is right
    assert [type(event) for event in victim.events][-1] is StreamEnded
    assert sum(isinstance(event, StreamEnded) for event in victim.events) == 1


def test_destroying(victim: Victim) -> None:
    victim.hear(data(0, b"x"))
    victim.hear(Packet(OURS, DESTROY, seq=0))  # older than the received data: it belongs to an earlier stream
    assert not victim.closed
    [event] = victim.hear(Packet(OURS, DESTROY, seq=1))
    assert isinstance(event, StreamClosed)
    assert isinstance(event.error, StreamReset)
    assert victim.say() == []
    assert victim.hear(data(1, b"x"), Packet(OURS, DESTROY, seq=1)) == []
    assert victim.wait(60) == []
    assert victim.endpoint.next_deadline() == float("inf")


def test_a_stranger_cannot_divert_the_stream(victim: Victim) -> None:
    """The id alone selects the stream, so a stranger's packet may count. But our packets go only to the
    remote.
    """
    victim.hear(data(0, b"x"), source=STRANGER)
    victim.stream.write(b"there")
    assert victim.say()  # `say` asserts the destination


def test_nothing_goes_to_a_stranger_before_the_stream_is_connected() -> None:
    endpoint = Endpoint(limits=LIMITS, now=1000.0)
    stream = endpoint.open_stream(OURS, 1000.0)
    victim = Victim(endpoint, stream)
    before = retained(endpoint)
    for number in range(1000):
        victim.hear(data(number % 20, bytes(1000)), Packet(OURS, HEARTBEAT), source=STRANGER)
    assert victim.say() == []
    assert retained(endpoint) - before < 16 * LIMITS.early_bytes
    stream.connect(THEIRS, REMOTE, victim.now)
    victim.wait(0.1)
    assert not victim.closed


# Messages and heartbeats


def test_messages_leave_nothing_behind(victim: Victim) -> None:
    before = retained(victim.endpoint)
    for number in range(2000):
        [event] = victim.hear(Packet(OURS, MESSAGE, seq=number, body=bytes(1000)))
        assert isinstance(event, MessageReceived)
        victim.events.clear()
    assert retained(victim.endpoint) - before < 2000
    works(victim)


def test_an_answer_is_no_larger_than_a_packet(victim: Victim) -> None:
    for number in range(300):
        victim.hear(data(2 * number + 1, b"x"))
    victim.say()
    victim.hear(Packet(OURS, HEARTBEAT))
    [answer] = victim.say()
    assert len(answer.encode()) <= 20 + 8 * 50


def test_a_run_of_heartbeats_gets_no_more_bytes_than_it_has(victim: Victim) -> None:
    heartbeats = [Packet(OURS, HEARTBEAT)] * 50
    victim.hear_raw(*run(heartbeats))
    assert 1 <= len(victim.say()) <= 50


# Everything at once

packets = st.builds(
    Packet,
    to=st.sampled_from([OURS, OURS, OURS, THEIRS, 0, MODULUS - 1]),
    flags=st.integers(0, 255),
    window=st.sampled_from([0, 1, 1000, WINDOW, MODULUS - 1]),
    seq=st.one_of(st.integers(-3, 20), st.integers(0, MODULUS - 1)),
    ack=st.one_of(st.integers(-3, 20), st.integers(0, MODULUS - 1)),
    body=st.one_of(
        st.binary(max_size=40),
        st.lists(st.integers(0, 20), max_size=8).map(
            lambda numbers: b"".join(number.to_bytes(4, "little") for number in numbers)
        ),
    ),
    offset=st.integers(0, 255) | st.integers(0, 16),
    magic=st.sampled_from([0xFF] * 9 + [0]),
    version=st.sampled_from([1] * 9 + [0]),
)


@settings(max_examples=300, derandomize=True)
@given(
    steps=st.lists(
        st.one_of(
            packets,
            st.lists(packets, min_size=2, max_size=5),
            st.floats(0, 3).filter(bool),
            st.sampled_from(["write", "end", "consume", "message"]),
        ),
        max_size=30,
    ),
    first=st.sampled_from([0, MODULUS - 5]),
)
def test_any_packets(steps: list[Any], first: int) -> None:
    victim = make_victim(first=first)
    for step in steps:
        if isinstance(step, Packet):
            victim.hear(attrs.evolve(step, seq=step.seq + first, ack=step.ack + first))
        elif isinstance(step, list):
            victim.hear_raw(b"".join(packet.encode().ljust(40, b"\0")[:40] for packet in step), 40)
        elif isinstance(step, float):
            victim.wait(step)
        elif victim.closed:
            continue
        elif step == "write" and victim.stream.writable:
            victim.stream.write(b"something")
        elif step == "end" and victim.stream.writable:
            victim.stream.end()
        elif step == "consume":
            victim.stream.consume(victim.stream.unread)
        elif step == "message":
            victim.stream.send_message(b"message")
        victim.say()
    assert retained(victim.endpoint) < 200_000
    if not victim.closed:
        victim.stream.destroy()
    victim.wait(100)
    assert victim.endpoint.next_deadline() == float("inf")
