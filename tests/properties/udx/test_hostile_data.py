"""Data and ends that a hostile remote sends, and those of strangers."""

from __future__ import annotations

import random

import pytest

from fuzz.support import bounded_work, retained
from peersockets_core.udx import (
    Endpoint,
    MessageReceived,
    StreamClosed,
    StreamEnded,
    StreamReset,
)
from properties.udx.packets import (
    DATA,
    DESTROY,
    END,
    HEARTBEAT,
    MESSAGE,
    SACK,
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
