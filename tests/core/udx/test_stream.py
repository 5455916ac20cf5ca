from __future__ import annotations

import pytest

from core.udx.support import ALICE, BOB, DELAY, Pair, packet
from peersockets_core import LocalProtocolError
from peersockets_core.udx import (
    Address,
    EndAcknowledged,
    MessageReceived,
    State,
    StreamClosed,
    StreamEnded,
    StreamReset,
    StreamTimedOut,
    UdxLimits,
    WritableAgain,
)
from peersockets_core.udx.packet import Flag
from peersockets_core.udx.timers import Timer

ELSEWHERE = ("203.0.113.9", 9)


def writable(pair: Pair) -> bool:
    return pair.alice.writable


def error(pair: Pair, name: Address) -> object:
    (closed,) = pair.of(name, StreamClosed)
    assert isinstance(closed, StreamClosed)
    return closed.error


@pytest.mark.parametrize("size", [0, 1, 1152, 100_000, 3_000_000])
def test_bytes_arrive_and_both_sides_end(size: int) -> None:
    pair = Pair()
    data = bytes(range(251)) * (size // 251 + 1)
    pair.alice.write(data[:size])
    pair.alice.end()
    pair.bob.write(b"answer")
    pair.bob.end()
    pair.run()
    assert pair.received[BOB] == data[:size]
    assert pair.received[ALICE] == b"answer"
    for name in (ALICE, BOB):
        assert len(pair.of(name, StreamEnded)) == len(pair.of(name, EndAcknowledged)) == 1
        assert error(pair, name) is None
        assert pair.endpoints[name].streams == {}
    assert pair.alice.state is pair.bob.state is State.CLOSED
    assert pair.now < 60


def test_nothing_follows_once_both_ends_are_acknowledged() -> None:
    pair = Pair()
    pair.alice.end()
    pair.run()
    pair.bob.end()
    pair.run()
    sent = [(name, data[2], data[16]) for name, data, _ in pair.sent]
    assert sent == [(ALICE, Flag.END, 0), (BOB, 0, 1), (BOB, Flag.END, 1), (ALICE, 0, 1)]
    assert error(pair, ALICE) is error(pair, BOB) is None
    pair.endpoints[BOB].receive_datagrams(pair.sent[-1][1], 0, ALICE, pair.now)
    assert not list(pair.endpoints[BOB].datagrams_to_send(pair.now))


@pytest.mark.parametrize("lost", range(8))
def test_any_packet_of_a_short_exchange_may_be_lost(lost: int) -> None:
    pair = Pair()
    pair.lose = {lost}
    pair.alice.write(b"question")
    pair.alice.end()
    pair.bob.write(b"answer")
    pair.bob.end()
    pair.run()
    assert pair.received[BOB] == b"question"
    assert pair.received[ALICE] == b"answer"
    assert error(pair, ALICE) is error(pair, BOB) is None


def test_a_half_that_has_ended_still_receives() -> None:
    pair = Pair()
    pair.alice.end()
    pair.run()
    assert pair.alice.state is State.ENDED
    assert pair.bob.state is State.REMOTE_ENDED
    pair.bob.write(b"more")
    pair.run()
    assert pair.received[ALICE] == b"more"
    pair.bob.end()
    pair.run()
    assert error(pair, ALICE) is error(pair, BOB) is None


def test_impossible_calls_are_refused_and_change_nothing() -> None:
    pair = Pair(connect=False)
    stream = pair.alice
    with pytest.raises(LocalProtocolError):
        stream.write(b"x")
    with pytest.raises(LocalProtocolError):
        stream.end()
    with pytest.raises(LocalProtocolError):
        stream.send_message(b"x")
    with pytest.raises(LocalProtocolError):
        stream.change_remote(3, BOB, 0.0)
    with pytest.raises(LocalProtocolError):
        stream.consume(1)
    with pytest.raises(LocalProtocolError):
        stream.connect(1 << 32, BOB, 0.0)
    assert stream.state is State.OPEN
    assert (stream.unsent, stream.unacknowledged, stream.unread, stream.rtt, stream.in_flight) == (
        0,
        0,
        0,
        0,
        0,
    )
    assert not stream.writable
    stream.connect(2, BOB, 0.0)
    with pytest.raises(LocalProtocolError):
        stream.connect(2, BOB, 0.0)
    with pytest.raises(LocalProtocolError):
        stream.send_message(bytes(1153))
    with pytest.raises(LocalProtocolError):
        stream.consume(1)
    with pytest.raises(LocalProtocolError):
        stream.change_remote(-1, BOB, 0.0)
    stream.write(b"")
    assert stream.unsent == 0
    stream.end()
    with pytest.raises(LocalProtocolError):
        stream.write(b"x")


def test_destroying_is_announced_once() -> None:
    pair = Pair()
    pair.alice.write(b"never sent")
    pair.alice.destroy()
    pair.alice.destroy()
    pair.run()
    assert isinstance(error(pair, BOB), StreamReset)
    assert pair.of(ALICE, StreamClosed) == []
    assert len(pair.sent) == 1
    assert not pair.endpoints[ALICE].streams
    assert not pair.endpoints[BOB].streams


def test_destroying_an_unconnected_stream_sends_nothing() -> None:
    pair = Pair(connect=False)
    pair.alice.destroy()
    pair.run()
    assert pair.sent == []


def test_a_destroy_of_an_earlier_stream_is_ignored() -> None:
    pair = Pair()
    pair.alice.write(b"data")
    pair.run()
    assert pair.endpoints[BOB].receive_datagrams(packet(Flag.DESTROY, 0, 0), 0, ALICE, 1.0) == []
    assert pair.bob.state is State.CONNECTED


def test_a_stream_whose_remote_is_gone_times_out() -> None:
    pair = Pair()
    pair.alice.write(b"anybody there?")
    pair.lose = set(range(100))
    pair.run()
    assert isinstance(error(pair, ALICE), StreamTimedOut)
    assert 12 < pair.now < 14
    assert str(error(pair, ALICE)) == "udx: the remote has not answered for too long"
    assert pair.sent[-1][1][2] == Flag.DESTROY


def test_messages_are_sent_beside_the_data() -> None:
    pair = Pair()
    pair.alice.send_message(b"one")
    pair.alice.send_message(b"")
    pair.run()
    assert pair.of(BOB, MessageReceived) == [
        MessageReceived(pair.bob, b"one"),
        MessageReceived(pair.bob, b""),
    ]


def test_the_oldest_messages_give_way() -> None:
    pair = Pair(limits=UdxLimits(messages=100))
    for number in range(10):
        pair.alice.send_message(b"%d" % number * 30)
    pair.run()
    assert [
        event.data[:1] for event in pair.of(BOB, MessageReceived) if isinstance(event, MessageReceived)
    ] == [
        b"8",
        b"9",
    ]


def test_a_window_that_is_not_consumed_closes_and_opens_again() -> None:
    pair = Pair(limits=UdxLimits(window=20_000, window_excess=2000))
    pair.consume = False
    pair.alice.write(bytes(60_000))
    pair.run(until=30.0)
    assert 18_000 < pair.bob.unread <= 22_000
    assert pair.alice.unsent > 0
    asked = sum(data[2] == Flag.HEARTBEAT for _, data, _ in pair.sent)
    assert asked > 5, "it asks while the remote answers"
    pair.consume = True
    assert not pair.bob.consume(10)
    assert pair.bob.consume(pair.bob.unread)
    pair.run()
    assert len(pair.received[BOB]) == 60_000
    assert pair.alice.unacknowledged == 0


def test_a_closed_window_of_a_remote_that_is_gone_times_out() -> None:
    pair = Pair(limits=UdxLimits(window=20_000, window_excess=2000))
    pair.consume = False
    pair.alice.write(bytes(60_000))
    pair.run(until=2.0)
    pair.lose = set(range(10_000))
    pair.run()
    assert isinstance(error(pair, ALICE), StreamTimedOut)


def test_a_last_packet_is_sent_again_long_before_a_timeout() -> None:
    pair = Pair()
    pair.alice.write(b"0")
    pair.run(until=0.1)
    pair.lose = {len(pair.sent)}
    pair.alice.write(b"x")
    pair.run(until=0.2)
    assert pair.received[BOB] == b"0x"


def test_a_packet_overtaken_by_two_is_lost_after_a_while() -> None:
    pair = Pair()
    pair.alice.write(b"0")
    pair.run(until=0.1)
    pair.lose = {len(pair.sent)}
    for _ in range(3):
        pair.alice.write(b"x")
        pair.collect()
    pair.run(until=0.15)
    assert pair.received[BOB] == b"0xxx"


def test_writable_again() -> None:
    pair = Pair()
    pair.alice.write(bytes(1000))
    assert writable(pair)
    pair.run()
    assert pair.of(ALICE, WritableAgain) == []
    while pair.alice.writable:
        pair.alice.write(bytes(100_000))
    pair.run()
    assert pair.of(ALICE, WritableAgain) == [WritableAgain(pair.alice)]
    assert writable(pair)


def test_a_smaller_window_makes_a_stream_unwritable_for_a_while() -> None:
    pair = Pair()
    pair.alice.write(bytes(270_000))
    assert writable(pair)
    pair.alice.sending.controller.window = 0
    assert not writable(pair)
    pair.alice.sending.controller.window = 50_000
    pair.run()
    assert pair.of(ALICE, WritableAgain) == [WritableAgain(pair.alice)]


def test_keepalive_asks_the_remote_after_a_silence() -> None:
    pair = Pair()
    pair.alice.keepalive = 5.0
    pair.alice.timers.due[Timer.KEEPALIVE] = 5.0
    pair.endpoints[ALICE].schedule(pair.alice)
    pair.run(until=26.0)
    assert [data[2] for _, data, _ in pair.sent] == [Flag.HEARTBEAT, 0] * 5
    pair.lose = set(range(10_000))
    pair.run()
    assert isinstance(error(pair, ALICE), StreamTimedOut)
    assert pair.now > 26 + 6 * 5


def test_keepalive_is_quiet_while_packets_come() -> None:
    pair = Pair(limits=UdxLimits(keepalive=5.0))
    for second in range(1, 12):
        pair.run(until=float(second))
        pair.bob.write(b"tick")
        pair.alice.write(b"tack")
    assert not [data for _, data, _ in pair.sent if data[2] == Flag.HEARTBEAT]


def test_keepalive_is_quiet_while_data_waits_for_its_acknowledgement() -> None:
    pair = Pair(limits=UdxLimits(keepalive=0.5))
    pair.lose = set(range(10_000))
    pair.alice.write(b"lost")
    pair.run(until=5.0)
    assert {data[2] for name, data, _ in pair.sent if name == ALICE} == {Flag.DATA}


def test_changing_the_remote() -> None:
    pair = Pair()
    pair.alice.write(bytes(5000))
    pair.collect()
    pair.alice.change_remote(77, ELSEWHERE, 0.0)
    pair.alice.sending.timeout_due(1.0)
    destination, buffers, _ = next(iter(pair.endpoints[ALICE].datagrams_to_send(1.0)))
    assert destination == pair.alice.remote_address == ELSEWHERE
    assert b"".join(buffers)[4:8] == b"\x4d\0\0\0"


def test_after_a_change_of_the_remote_large_packets_in_flight_may_be_fragmented() -> None:
    pair = Pair()
    pair.alice.write(bytes(500_000))
    while pair.alice.mtu < 1500:
        pair.step()
    pair.collect()
    pair.alice.change_remote(2, ELSEWHERE, pair.now)
    assert pair.endpoints[ALICE].black_holes == {ELSEWHERE}
    pair.alice.change_remote(2, BOB, pair.now)
    assert pair.endpoints[ALICE].black_holes == {BOB}
    pair.run()
    assert pair.endpoints[ALICE].black_holes == set()
    assert len(pair.received[BOB]) == 500_000


def test_the_statistics_of_a_stream() -> None:
    pair = Pair()
    pair.alice.write(bytes(200_000))
    pair.collect()
    stream = pair.alice
    assert stream.in_flight == stream.congestion_window
    assert 0 < stream.unsent < stream.unacknowledged == 200_000
    pair.run()
    assert stream.mtu == 1500
    assert stream.rtt == pytest.approx(2 * DELAY, rel=0.2)
    assert stream.connected


def test_a_closed_stream_consumes_nothing() -> None:
    pair = Pair()
    pair.consume = False
    pair.bob.write(bytes(3_000_000))
    pair.run(until=5.0)
    pair.alice.destroy()
    assert not pair.alice.consume(pair.alice.unread)
    assert not writable(pair)
