from __future__ import annotations

from collections.abc import Callable

from core.udx.support import ALICE, BOB, Pair, packet
from peersockets_core.udx import (
    AddressChanged,
    DataReceived,
    EndAcknowledged,
    MessageReceived,
    StreamClosed,
    StreamEnded,
    StreamReset,
    WritableAgain,
)
from peersockets_core.udx.packet import Flag, pack_ranges


def test_packets_that_cannot_be_the_remotes_change_nothing() -> None:
    pair = Pair()
    endpoint = pair.endpoints[BOB]
    for data in (
        packet(Flag.DATA, 0, 1, body=b"acknowledges what was not sent"),
        packet(Flag.DATA, 1 << 20, 0, body=b"far away"),
        packet(Flag.DESTROY, 0, 7),
        b"\xff\x02" + packet(Flag.DATA, 0, 0, body=b"another version")[2:],
    ):
        assert endpoint.receive_datagrams(data, 0, ("203.0.113.9", 9), 0.0) == []
    assert list(endpoint.datagrams_to_send(0.0)) == []
    assert endpoint.statistics().refused == 4


def test_an_address_that_changes_is_reported_once() -> None:
    pair = Pair()
    endpoint, elsewhere = pair.endpoints[BOB], ("203.0.113.9", 9)
    events = endpoint.receive_datagrams(packet(Flag.DATA, 0, 0, body=b"a"), 0, elsewhere, 0.0)
    assert events == [DataReceived(pair.bob, bytearray(b"a")), AddressChanged(pair.bob, elsewhere)]
    assert len(endpoint.receive_datagrams(packet(Flag.DATA, 1, 0, body=b"b"), 0, elsewhere, 0.0)) == 1
    assert pair.bob.remote_address == ALICE


def test_a_batch_may_acknowledge_more_and_more() -> None:
    pair = Pair()
    pair.bob.write(bytes(5000))
    pair.collect()
    acks = b"".join(packet(0, 0, ack) for ack in (1, 2, 3))
    pair.endpoints[BOB].receive_datagrams(acks, 20, ALICE, 0.1)
    assert pair.bob.sending.una == 3
    impossible = packet(0, 0, 4) + packet(0, 0, 9)
    pair.endpoints[BOB].receive_datagrams(impossible, 20, ALICE, 0.2)
    assert pair.bob.sending.una == 4
    assert pair.endpoints[BOB].statistics().refused == 1


def test_the_ranges_of_the_last_packet_of_a_batch_count() -> None:
    pair = Pair()
    pair.bob.write(bytes(9000))
    pair.collect()
    batch = b"".join(
        packet(Flag.SACK, 0, ack, body=pack_ranges(ranges))
        for ack, ranges in ((1, [(2, 3)]), (1, [(2, 4)]), (0, [(5, 6)]))
    )
    pair.endpoints[BOB].receive_datagrams(batch, 28, ALICE, 0.1)
    assert [(run.first, run.end) for run in pair.bob.sending.flight.runs] == [(1, 2), (4, 8)]


def test_packets_of_any_kind_in_one_batch() -> None:
    pair = Pair()
    endpoint = pair.endpoints[BOB]
    batch = (
        packet(Flag.DATA, 1, 0, body=b"second")
        + packet(Flag.MESSAGE, 0, 0, body=b"a note")
        + packet(Flag.DATA, 0, 0, body=b"first:")
        + packet(Flag.HEARTBEAT, 2, 0, body=b"......")
        + packet(Flag.DESTROY, 2, 0, body=b"......")
        + packet(Flag.DATA, 2, 0, body=b"unseen")
    )
    events = endpoint.receive_datagrams(batch, 26, ALICE, 0.0)
    *received, closed = events
    assert received == [
        MessageReceived(pair.bob, b"a note"),
        DataReceived(pair.bob, bytearray(b"first:second")),
    ]
    assert isinstance(closed, StreamClosed)
    assert isinstance(closed.error, StreamReset)


def test_a_remote_that_destroys_its_stream_acknowledges_its_input() -> None:
    pair = Pair()
    pair.bob.write(bytes(3000))
    pair.collect()
    endpoint = pair.endpoints[BOB]
    end = pair.bob.sending.next
    events = endpoint.receive_datagrams(packet(0, 0, end - 1) + packet(Flag.DESTROY, 0, end), 20, ALICE, 0.1)
    assert pair.bob.sending.una == end
    (closed,) = [event for event in events if isinstance(event, StreamClosed)]
    assert isinstance(closed.error, StreamReset)


def test_a_destroy_after_both_ends_is_no_reset() -> None:
    pair = Pair()
    pair.bob.end()
    pair.collect()
    end = pair.bob.sending.next
    batch = packet(Flag.END, 0, end) + packet(Flag.DESTROY, 1, end)
    events = pair.endpoints[BOB].receive_datagrams(batch, 20, ALICE, 0.1)
    assert events == [StreamEnded(pair.bob), EndAcknowledged(pair.bob), StreamClosed(pair.bob, None)]


def test_a_heartbeat_is_answered() -> None:
    pair = Pair()
    pair.endpoints[BOB].receive_datagrams(packet(Flag.HEARTBEAT, 0, 0), 0, ALICE, 0.0)
    (answer,) = pair.endpoints[BOB].datagrams_to_send(0.0)
    assert answer[1][0][2] == 0


def test_a_packet_without_payload_is_no_data() -> None:
    pair = Pair()
    endpoint = pair.endpoints[BOB]
    assert endpoint.receive_datagrams(packet(Flag.DATA, 0, 0), 0, ALICE, 0.0) == []
    padded = bytearray(packet(Flag.DATA, 1, 0, body=b"padding"))
    padded[3] = 7
    assert endpoint.receive_datagrams(padded, 0, ALICE, 0.0) == []
    assert pair.bob.receiving.assembler.next == 2


def test_padding_is_skipped() -> None:
    pair = Pair()
    padded = bytearray(packet(Flag.DATA, 0, 0, body=bytes(9) + b"data"))
    padded[3] = 9
    events = pair.endpoints[BOB].receive_datagrams(padded, 0, ALICE, 0.0)
    assert events == [DataReceived(pair.bob, bytearray(b"data"))]


def test_a_source_address_that_changes_back() -> None:
    pair = Pair()
    endpoint, elsewhere = pair.endpoints[BOB], ("203.0.113.9", 9)
    for number, source in enumerate([elsewhere, ALICE, elsewhere]):
        endpoint.receive_datagrams(packet(Flag.DATA, number, 0, body=b"x"), 0, source, 0.0)
    assert pair.bob.source == elsewhere


def test_data_after_the_end_is_acknowledged_and_dropped() -> None:
    pair = Pair()
    endpoint = pair.endpoints[BOB]
    endpoint.receive_datagrams(packet(Flag.END, 0, 0), 0, ALICE, 0.0)
    assert endpoint.receive_datagrams(packet(Flag.DATA, 1, 0, body=b"more"), 0, ALICE, 0.0) == []
    assert pair.bob.receiving.ack_due


def answered() -> Pair:
    """Return a pair in which Bob has received Alice's answer to his question in a single packet."""
    pair = Pair()
    pair.bob.write(b"question")
    pair.collect()
    answer = packet(Flag.DATA, 0, 1, body=b"answer")
    assert pair.endpoints[BOB].receive_datagrams(answer, 0, ALICE, 0.1) == [
        DataReceived(pair.bob, bytearray(b"answer"))
    ]
    return pair


def test_the_next_packet_leaves_before_an_answer_is_measured() -> None:
    pair = answered()
    pair.bob.write(b"another question")
    transmissions = pair.endpoints[BOB].datagrams_to_send(0.2)
    assert bytes(next(transmissions)[1][1]) == b"another question"
    assert pair.bob.rtt == 0
    assert list(transmissions) == []
    assert pair.bob.rtt == 0.1, "the round trip ends when the answer arrives"
    assert (pair.bob.sending.una, pair.bob.unacknowledged) == (1, len(b"another question"))


def test_an_answer_is_measured_without_a_next_packet() -> None:
    pair = answered()
    (state,) = pair.endpoints[BOB].datagrams_to_send(0.2)
    assert (state[2], pair.bob.rtt) == (20, 0.1)


def test_an_answer_is_measured_before_anything_that_follows() -> None:
    follows: list[Callable[[Pair], object]] = [
        lambda pair: pair.endpoints[BOB].receive_datagrams(packet(0, 1, 1), 0, ALICE, 0.2),
        lambda pair: pair.endpoints[BOB].receive_datagrams(packet(Flag.DATA, 1, 1, body=b"x"), 0, ALICE, 0.2),
        lambda pair: pair.endpoints[BOB].handle_deadline(pair.endpoints[BOB].next_deadline()),
        lambda pair: pair.bob.unacknowledged,
    ]
    for follow in follows:
        pair = answered()
        follow(pair)
        assert (pair.bob.rtt, pair.bob.sending.una) == (0.1, 1)
        assert not pair.bob.sending.flight.runs


def test_an_answer_makes_room_at_once() -> None:
    pair = Pair()
    pair.bob.write(bytes(1000))
    pair.collect()
    pair.bob.sending.window = pair.bob.sending.controller.window = 0
    pair.bob.write(bytes(pair.endpoints[BOB].limits.send_buffer - 500))
    pair.bob.held_up = False
    answer = packet(Flag.DATA, 0, 1, window=0, body=b"answer")
    pair.endpoints[BOB].receive_datagrams(answer, 0, ALICE, 0.1)
    assert pair.bob.sending.una == 0
    assert pair.bob.writable


def test_an_answer_wakes_a_waiting_writer_at_once() -> None:
    pair = Pair()
    while pair.bob.writable:
        pair.bob.write(bytes(4096))
    pair.collect()
    answer = packet(Flag.DATA, 0, pair.bob.sending.next, body=b"answer")
    events = pair.endpoints[BOB].receive_datagrams(answer, 0, ALICE, 0.1)
    assert events == [DataReceived(pair.bob, bytearray(b"answer")), WritableAgain(pair.bob)]
