"""Packets that no honest peer sends: they change nothing, cost little, and never raise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.support import retained
from peersockets_core.udx import (
    WritableAgain,
)
from properties.udx.packets import (
    DATA,
    HEARTBEAT,
    SACK,
    WINDOW,
    Packet,
    run,
    sack,
)
from properties.udx.victim import (
    LIMITS,
    MODULUS,
    OURS,
    REMOTE,
    STRANGER,
    THEIRS,
    Victim,
    data,
    make_victim,
    works,
)

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
