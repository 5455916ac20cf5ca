from __future__ import annotations

from peersockets_core.udx import UdxLimits
from peersockets_core.udx.send_half import SendHalf
from peersockets_core.udx.timers import Timer, Timers


def half() -> SendHalf:
    return SendHalf(first=0, ipv6=False, phase=0, limits=UdxLimits(), timers=Timers(), now=0.0)


def test_a_run_of_packets_and_its_acknowledgement() -> None:
    sending = half()
    sending.write(bytes(3000))
    run = sending.next_run(0.0)
    assert run is not None
    assert (run.first, run.count, run.size, len(run.payload)) == (0, 3, 1152, 3000)
    assert sending.next_run(0.0) is None
    assert sending.unacknowledged == 3000
    sending.receive_ack(3, [], 0.1)
    assert (sending.una, sending.unacknowledged) == (3, 0)
    assert sending.rtt.smoothed == 0.1


def test_a_closed_window_lets_nothing_pass() -> None:
    sending = half()
    sending.receive_window(0, 1, 0)
    sending.write(b"data")
    assert sending.next_run(0.0) is None
    assert sending.wants_window
    sending.receive_window(1, 2, 0)
    sending._timers.due[Timer.WINDOW] = 1.0
    assert sending.next_run(0.0) is not None
