from __future__ import annotations

import pytest

from core.udx.support import ALICE, BOB, Pair, packet
from peersockets_core import LocalProtocolError
from peersockets_core.udx import DataReceived, EarlyPacket
from peersockets_core.udx.packet import Flag


@pytest.mark.parametrize("local_id", [2, -1, 1 << 32])
def test_an_id_that_is_taken_or_invalid_is_refused(local_id: int) -> None:
    endpoint = Pair().endpoints[BOB]
    with pytest.raises(LocalProtocolError):
        endpoint.open_stream(local_id, 0.0)


def test_packets_before_the_connection_of_a_stream_wait_for_it() -> None:
    pair = Pair(connect=False)
    endpoint = pair.endpoints[BOB]
    events = endpoint.receive_datagrams(packet(Flag.DATA, 0, 0, body=b"early"), 0, ALICE, 0.0)
    assert events == [EarlyPacket(pair.bob, ALICE)]
    endpoint.receive_datagrams(packet(Flag.DATA, 0, 0, to=9, body=b"earlier"), 0, ALICE, 0.0)
    pair.bob.connect(1, ALICE, 1.0)
    assert endpoint.next_deadline() <= 1.0
    assert endpoint.handle_deadline(1.0) == [DataReceived(pair.bob, bytearray(b"early"))]
    other = endpoint.open_stream(9, 1.0)
    other.connect(1, ALICE, 1.0)
    assert endpoint.handle_deadline(1.0) == [DataReceived(other, bytearray(b"earlier"))]


def test_datagrams_that_are_not_udx_are_counted() -> None:
    endpoint = Pair().endpoints[BOB]
    for data in (b"", b"\xff\x01", bytes(100), packet(Flag.DATA, to=99)):
        assert endpoint.receive_datagrams(data, 0, ALICE, 0.0) == []
    statistics = endpoint.statistics()
    assert (statistics.received, statistics.malformed, statistics.unknown) == (4, 3, 1)


def test_the_last_packet_of_a_run_may_be_too_short() -> None:
    pair = Pair()
    data = packet(Flag.DATA, 0, 0, body=b"payload!") + b"rest"
    events = pair.endpoints[BOB].receive_datagrams(data, 28, ALICE, 0.0)
    assert events == [DataReceived(pair.bob, bytearray(b"payload!"))]
    assert pair.endpoints[BOB].statistics().malformed == 1


def test_a_run_for_several_streams() -> None:
    pair = Pair()
    endpoint = pair.endpoints[BOB]
    other = endpoint.open_stream(9, 0.0)
    other.connect(1, ALICE, 0.0)
    run = b"".join(
        packet(Flag.DATA, seq, 0, to=to, body=body)
        for to, seq, body in ((2, 0, b"a"), (2, 1, b"b"), (9, 0, b"c"), (77, 0, b"d"), (2, 2, b"e"))
    )
    events = endpoint.receive_datagrams(run, 21, ALICE, 0.0)
    assert events == [
        DataReceived(pair.bob, bytearray(b"ab")),
        DataReceived(other, bytearray(b"c")),
        DataReceived(pair.bob, bytearray(b"e")),
    ]


def test_sizes_refused_by_this_machine_concern_one_destination() -> None:
    pair = Pair()
    endpoint = pair.endpoints[ALICE]
    endpoint.open_stream(5, 0.0)
    elsewhere = endpoint.open_stream(6, 0.0)
    elsewhere.connect(1, ("203.0.113.9", 9), 0.0)
    for stream in (pair.alice, elsewhere):
        stream.sending.mtud.mtu = 1500
    endpoint.datagrams_refused(BOB, 1472, 0.0)
    assert (pair.alice.mtu, elsewhere.mtu) == (1200, 1500)


def test_a_mere_acknowledgement_may_wait() -> None:
    pair = Pair()
    endpoint = pair.endpoints[BOB]
    endpoint.receive_datagrams(packet(Flag.DATA, 0, 0, body=b"a"), 0, ALICE, 0.0)
    seen = [endpoint.only_acknowledges]
    pair.bob.write(b"answer")
    assert [*seen, endpoint.only_acknowledges] == [True, False]
    ((_, buffers, _),) = endpoint.datagrams_to_send(0.0)
    assert b"".join(buffers)[16:20] == b"\1\0\0\0"


def test_the_caller_can_see_whether_other_streams_are_ready() -> None:
    pair = Pair()
    endpoint = pair.endpoints[ALICE]
    other = endpoint.open_stream(7, 0.0)
    other.connect(8, BOB, 0.0)
    pair.alice.write(b"alone")
    assert [endpoint.others_ready for _ in endpoint.datagrams_to_send(0.0)] == [False]
    pair.alice.write(b"both")
    other.write(b"both")
    assert [endpoint.others_ready for _ in endpoint.datagrams_to_send(0.0)] == [True, False]
    pair.alice.write(b"and the last packet of a stream")
    other.destroy()
    assert [endpoint.others_ready for _ in endpoint.datagrams_to_send(0.0)] == [True, False]


def test_a_caller_may_stop_sending_and_continue_later() -> None:
    pair = Pair()
    pair.alice.write(bytes(3000))
    pair.alice.send_message(b"note")
    endpoint = pair.endpoints[ALICE]
    first = next(iter(endpoint.datagrams_to_send(0.0)))
    rest = list(endpoint.datagrams_to_send(0.0))
    assert b"".join(first[1])[2] == Flag.MESSAGE
    assert len(rest) == 1
    assert endpoint.statistics().sent == 4


def test_data_queued_while_packets_are_taken_leaves_with_them() -> None:
    pair = Pair()
    pair.alice.receiving.ack_due = True
    pair.endpoints[ALICE].ready(pair.alice)
    taken = []
    for transmission in pair.endpoints[ALICE].datagrams_to_send(0.0):
        taken.append(b"".join(transmission[1])[2])
        if len(taken) == 1:
            pair.alice.send_message(b"note")
            pair.alice.write(b"data")
    assert taken == [0, Flag.MESSAGE, Flag.DATA]


def test_a_stream_may_end_while_its_packets_are_taken() -> None:
    pair = Pair()
    pair.alice.write(bytes(3000))
    pair.alice.send_message(b"note")
    taken = []
    for transmission in pair.endpoints[ALICE].datagrams_to_send(0.0):
        taken.append(b"".join(transmission[1])[2])
        pair.alice.destroy()
    assert taken == [Flag.MESSAGE, Flag.DESTROY]


def test_the_last_acknowledgement_is_repeated() -> None:
    pair = Pair()
    pair.alice.end()
    pair.bob.end()
    pair.run()
    endpoint = pair.endpoints[BOB]
    endpoint.receive_datagrams(packet(Flag.END, 0, 0), 0, ALICE, pair.now)
    assert len(list(endpoint.datagrams_to_send(pair.now))) == 1
    endpoint.open_stream(2, pair.now)
    assert endpoint.receive_datagrams(packet(Flag.END, 0, 0), 0, ALICE, pair.now) != []


def test_timers_of_closed_streams_are_forgotten() -> None:
    pair = Pair()
    pair.alice.write(b"x")
    pair.collect()
    pair.alice.destroy()
    endpoint = pair.endpoints[ALICE]
    assert endpoint.handle_deadline(100.0) == []
    assert endpoint.next_deadline() == float("inf")


def test_a_packet_of_another_version_for_an_open_stream_is_malformed() -> None:
    pair = Pair(connect=False)
    data = b"\xfe\x01" + packet(Flag.DATA)[2:]
    assert pair.endpoints[BOB].receive_datagrams(data, 0, ALICE, 0.0) == []
    assert pair.endpoints[BOB].statistics().malformed == 1
