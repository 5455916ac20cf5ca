from __future__ import annotations

from core.udx.support import BOB, packet
from peersockets_core.udx import UdxLimits
from peersockets_core.udx.farewells import Farewells
from peersockets_core.udx.packet import Flag, parse_run_untrusted
from peersockets_core.udx.transmission import Transmission

END = parse_run_untrusted(packet(Flag.END), 20)
ACK = parse_run_untrusted(packet(0), 20)


def test_a_last_acknowledgement_is_repeated_for_a_while() -> None:
    farewells = Farewells(UdxLimits(farewells=2, farewell_time=10.0))
    last: Transmission = (BOB, [b"state"], 5)
    for local_id in (1, 2, 3):
        farewells.add(local_id, last, 0.0)
    assert farewells.reply_untrusted(1, END, 1.0) is None
    assert farewells.reply_untrusted(2, END, 1.0) is last
    assert farewells.reply_untrusted(2, ACK, 1.0) is None
    assert farewells.reply_untrusted(2, END, 11.0) is None
    assert farewells.reply_untrusted(2, END, 1.0) is None
    farewells.forget(3)
    assert farewells.reply_untrusted(3, END, 1.0) is None


def test_an_expired_acknowledgement_is_dropped_when_another_stream_ends() -> None:
    farewells = Farewells(UdxLimits(farewell_time=10.0))
    last: Transmission = (BOB, [b"state"], 5)
    for local_id, now in ((1, 0.0), (2, 1.0), (3, 10.5)):
        farewells.add(local_id, last, now)
    assert [local_id in farewells for local_id in (1, 2, 3)] == [False, True, True]
