from __future__ import annotations

from peersockets_core.udx import UdxLimits
from peersockets_core.udx.receive_half import ReceiveHalf


def half(**limits: int) -> ReceiveHalf:
    return ReceiveHalf(first=0, limits=UdxLimits(**limits))


def test_data_in_order_and_out_of_order() -> None:
    receiving = half()
    assert receiving.receive(1, b"b", ended=False) is None
    assert receiving.ranges() == [(1, 2)]
    assert receiving.receive(0, b"a", ended=False) == bytearray(b"ab")
    assert receiving.receive(0, b"a", ended=False) is None
    assert (receiving.unread, receiving.ranges()) == (2, [])


def test_nothing_follows_the_end() -> None:
    receiving = half()
    assert receiving.receive(1, b"b", ended=True) is None
    assert receiving.receive(2, b"c", ended=True) is None
    assert receiving.receive(0, b"a", ended=False) == bytearray(b"ab")
    assert receiving.assembler.ended


def test_data_beyond_the_window_is_dropped() -> None:
    receiving = half(window=100, window_excess=10, reordered_packets=5)
    assert receiving.receive(6, b"", ended=False) is None
    assert receiving.receive(0, bytes(111), ended=False) is None
    assert receiving.dropped == 2
    assert receiving.receive(0, bytes(110), ended=False) == bytearray(110)
    assert receiving.window == 0
    assert receiving.advertise() == 0
    assert not receiving.consume(20)
    assert receiving.consume(30)
    assert receiving.advertise() == 40


def test_the_missing_packet_is_accepted_though_later_packets_fill_the_window() -> None:
    receiving = half(window=1000, window_excess=100)
    for number in range(1, 5):
        assert receiving.receive(number, bytes(200), ended=False) is None
    assert receiving.dropped == 1
    assert receiving.receive(0, bytes(200), ended=False) == bytearray(4 * 200)
    assert receiving.dropped == 1
