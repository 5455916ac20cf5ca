from __future__ import annotations

import math

import pytest

from peersockets_core.udx import StreamTimedOut, UdxLimits
from peersockets_core.udx.flight import Fate, Run
from peersockets_core.udx.packet import HEADER_SIZE
from peersockets_core.udx.recovery import Phase
from peersockets_core.udx.send_half import MAX_RUN, SendHalf
from peersockets_core.udx.timers import Timer, Timers

RTT = 0.1


class Sender:
    """A sending half on a path without a bottleneck."""

    def __init__(self, **limits: int) -> None:
        self.timers = Timers()
        self.half = SendHalf(
            first=0, ipv6=False, phase=0, limits=UdxLimits(**limits), timers=self.timers, now=0.0
        )

    def send(self, size: int, now: float) -> list[Run]:
        """Write this many bytes, and take the runs that may leave."""
        if size:
            self.half.write(bytes(size))
        runs = []
        while run := self.half.next_run(now):
            runs.append(run)
        return runs

    def phase(self) -> Phase:
        return self.half.recovery.phase

    def app_limited(self) -> bool:
        return self.half.rate.app_limited

    def black_hole(self) -> bool:
        return self.half.black_hole

    def due(self, timer: Timer) -> float:
        return self.timers.due[timer]


def widened(sender: Sender, mtu: int = 1500) -> None:
    """Set the known capacity of the path."""
    sender.half.mtud.mtu = mtu
    sender.half.mtud.maximum = mtu


def test_a_run_of_packets_and_its_acknowledgement() -> None:
    sender = Sender()
    (run,) = sender.send(3000, 0.0)
    assert (run.first, run.count, run.size, len(run.payload)) == (0, 3, 1152, 3000)
    assert sender.half.unacknowledged == 3000
    assert sender.due(Timer.TIMEOUT) == 1.0
    sender.half.receive_ack(3, [], RTT)
    assert (sender.half.una, sender.half.unacknowledged) == (3, 0)
    assert sender.half.rtt.smoothed == RTT
    assert sender.timers.next() == math.inf


def test_the_first_flight_is_ten_packets() -> None:
    sender = Sender()
    runs = sender.send(1_000_000, 0.0)
    assert sum(run.count for run in runs) == 10
    assert sender.half.flight.in_flight == sender.half.controller.window


def test_a_full_window_is_no_sign_of_a_slow_application() -> None:
    sender = Sender()
    sender.send(10 * 1152, 0.0)
    assert not sender.app_limited()
    sender.half.receive_ack(10, [], RTT)
    sender.send(1000, RTT)
    assert sender.app_limited()


def test_data_beyond_the_remotes_window_waits() -> None:
    sender = Sender()
    sender.half.receive_window(3000, 1, 0)
    assert sum(run.count for run in sender.send(9000, 0.0)) == 2
    sender.half.receive_window(9000, 1, 0)
    assert sum(run.count for run in sender.send(0, 0.0)) == 5


def test_a_closed_window_lets_nothing_pass_and_a_small_one_lets_one_packet_pass() -> None:
    sender = Sender()
    sender.half.receive_window(0, 1, 0)
    assert sender.send(5000, 0.0) == []
    assert sender.half.wants_window
    sender.timers.due[Timer.WINDOW] = 1.0
    sender.half.receive_window(1, 2, 0)
    assert sender.due(Timer.WINDOW) == math.inf
    (run,) = sender.send(0, 0.0)
    assert run.count == 1


def test_an_old_window_does_not_replace_a_newer_one() -> None:
    sender = Sender()
    sender.send(1000, 0.0)
    sender.half.receive_ack(1, [], RTT)
    sender.half.receive_window(5000, 7, 1)
    sender.half.receive_window(1, 6, 1)
    sender.half.receive_window(1, 8, 0)
    assert sender.half.window == 5000


def test_packets_that_were_overtaken_are_sent_again() -> None:
    sender = Sender()
    sender.send(8000, 0.0)
    sender.half.receive_ack(1, [(2, 3), (4, 7)], RTT)
    sender.half.losses_due(1.0)
    assert sender.phase() is Phase.RECOVERY
    again = sender.send(0, 1.0)
    assert [(run.first, run.count) for run in again] == [(1, 1), (3, 1)]
    sender.half.receive_ack(7, [], 1.0 + RTT)
    assert sender.phase() is Phase.OPEN
    assert not sender.half.flight.runs
    sender.half.receive_ack(7, [], 1.2)


def test_impossible_ranges_are_ignored() -> None:
    sender = Sender()
    sender.send(3000, 0.0)
    sender.half.receive_ack(1, [(0, 1), (2, 9), (2, 2), (3, 2)], RTT)
    assert [(run.first, run.count) for run in sender.half.flight.runs] == [(1, 2)]


def test_packets_that_may_only_be_reordered_are_not_lost_yet() -> None:
    sender = Sender()
    sender.send(1000, 0.0)
    sender.send(1000, 0.0)
    sender.send(1000, 0.001)
    sender.half.receive_ack(1, [(2, 3)], RTT + 0.001)
    assert sender.due(Timer.LOSS) > RTT + 0.001
    sender.half.losses_due(RTT + 0.002)
    assert sender.send(0, RTT + 0.002) == []
    sender.half.losses_due(sender.due(Timer.LOSS))
    (again,) = sender.send(0, 0.2)
    assert (again.first, again.count) == (1, 1)


def test_a_probe_of_the_tail_carries_new_data_if_there_is_any() -> None:
    sender = Sender()
    sender.send(1000, 0.0)
    assert sender.due(Timer.TAIL) == 1.0
    sender.half.write(b"more")
    run = sender.half.tail_due(1.0)
    assert (run.first, bytes(run.payload)) == (1, b"more")
    again = sender.half.tail_due(1.5)
    assert (again.first, again.retransmitted) == (1, True)
    sender.half.receive_ack(2, [], 1.6)
    assert sender.due(Timer.TAIL) == math.inf


def test_repeated_timeouts_end_the_stream() -> None:
    sender = Sender()
    sender.send(5000, 0.0)
    for _ in range(6):
        sender.half.timeout_due(sender.due(Timer.TIMEOUT))
        assert sender.phase() is Phase.LOSS
        assert sender.half.flight.in_flight == 0
        assert sender.send(0, sender.due(Timer.TIMEOUT) - 2.0)
    assert sender.due(Timer.TIMEOUT) == 1.0 + 6 * 2.0
    with pytest.raises(StreamTimedOut):
        sender.half.timeout_due(13.0)


def test_an_acknowledgement_resets_the_count_of_timeouts() -> None:
    sender = Sender(timeouts=1)
    sender.send(5000, 0.0)
    sender.half.timeout_due(1.0)
    sender.half.receive_ack(1, [], 1.1)
    sender.half.timeout_due(3.0)


def probe(sender: Sender) -> Run:
    sender.send(1000, 0.0)
    sender.half.receive_ack(1, [], RTT)
    first, *_ = sender.send(100_000, RTT)
    assert (first.count, first.padding) == (1, 255)
    return first


def test_a_probe_that_arrives_makes_packets_larger() -> None:
    sender = Sender()
    run = probe(sender)
    sender.half.receive_ack(run.end + 5, [], 2 * RTT)
    assert sender.half.mtud.mtu == 1200 + 255
    assert sender.send(0, 2 * RTT)[0].padding == 1500 - 1455
    assert sender.half.next > run.end


def test_a_lost_probe_is_no_sign_of_congestion() -> None:
    sender = Sender()
    run = probe(sender)
    sender.half.receive_ack(run.first, [(run.end, run.end + 1)], 2 * RTT)
    sender.half.losses_due(3 * RTT)
    assert sender.phase() is Phase.OPEN
    assert sender.half.mtud.mtu == 1200
    assert run.fate is Fate.LOST or run.retransmitted
    assert run.padding == 0


def test_a_probe_refused_by_this_machine_is_lost() -> None:
    sender = Sender()
    run = probe(sender)
    sender.half.refused(1455 - 28, RTT)
    assert run.fate is Fate.LOST
    assert not sender.half.mtud.probing
    sender.half.refused(1172, RTT)
    assert sender.half.mtud.mtu == 1200


def test_packets_refused_by_this_machine_become_smaller() -> None:
    sender = Sender()
    widened(sender)
    (run,) = sender.send(1452, 0.0)
    sender.half.refused(1472, 0.0)
    assert sender.half.mtud.mtu == 1200
    assert sender.black_hole()
    assert not sender.half.leave_black_hole()
    sender.half.receive_ack(run.end, [], RTT)
    assert sender.half.leave_black_hole()
    assert not sender.half.leave_black_hole()


def test_a_path_that_becomes_a_black_hole() -> None:
    sender = Sender()
    widened(sender)
    sender.send(1452, 0.0)
    sender.half.receive_ack(1, [], RTT)
    sender.send(3000, RTT)
    sender.half.timeout_due(2.0)
    assert not sender.black_hole()
    sender.half.timeout_due(4.0)
    assert sender.black_hole()
    assert sender.half.mtud.mtu == 1200
    (*_, new) = [*sender.send(20_000, 4.0), sender.half.flight.runs[-1]]
    assert new.padding == 0, "what is fragmented says nothing of the path"


def test_a_new_path_is_measured_by_its_own_packets() -> None:
    sender = Sender()
    widened(sender)
    sender.send(1452, 0.0)
    sender.half.change_path(ipv6=True, phase=0, now=1.0)
    assert sender.black_hole()
    assert sender.half.mtud.payload == 1132
    sender.half.receive_ack(1, [], 1.01)
    assert sender.half.rtt.smoothed == 0
    sender.send(1000, 2.0)
    sender.half.receive_ack(2, [], 2.5)
    assert sender.half.rtt.smoothed == 0.5


def test_the_end_rides_on_the_last_packet() -> None:
    sender = Sender()
    sender.half.write(bytes(2000))
    sender.half.ending = True
    (run,) = sender.send(0, 0.0)
    assert (run.ended, run.count, sender.half.end_number) == (True, 2, 1)
    before = sender.half.all_acknowledged
    sender.half.receive_ack(2, [], RTT)
    assert (before, sender.half.all_acknowledged) == (False, True)
    sender = Sender()
    sender.half.ending = True
    assert sender.half.has_work
    (run,) = sender.send(0, 0.0)
    assert (run.ended, run.count, len(run.payload)) == (True, 1, 0)


def test_it_is_paced() -> None:
    sender = Sender()
    sender.send(100_000, 0.0)
    sender.half.receive_ack(10, [], RTT)
    rate = sender.half.controller.pacing_rate
    sender.half.pacer.credit(rate, 1172, RTT)
    sender.half.pacer.spend(100_000)
    assert sender.send(0, RTT) == []
    ready = sender.due(Timer.PACING)
    assert RTT + 50_000 / rate < ready < math.inf
    assert sender.send(0, ready) != []


def test_a_little_room_is_not_worth_a_packet() -> None:
    sender = Sender()
    sender.send(1_000_000, 0.0)
    window = sender.half.controller.window
    sender.half.controller.window = window + 1200
    assert sender.send(0, 0.0) == []
    sender.half.controller.window = 2 * window
    assert sender.send(0, 0.0) != []


def busy(rtt: float) -> tuple[Sender, float, int]:
    """Return a sender with three full runs in flight, the time, and the packets of a full run."""
    sender = Sender(mtu=1200)
    sender.send(1152, 0.0)
    sender.half.receive_ack(1, [], rtt)
    sender.half.controller.window = 10**6
    sender.half.controller.pacing_rate = 10**9
    count = MAX_RUN // (1152 + HEADER_SIZE)
    now = rtt + 1.0
    assert [run.count for run in sender.send(3 * count * 1152, now)] == [count] * 3
    return sender, now, count


def test_a_short_run_waits_until_the_acknowledgement_of_a_full_one() -> None:
    sender, now, count = busy(rtt=0.0001)
    assert sender.send(16 * 1024, now) == []
    sender.half.receive_ack(1 + count // 2, [], now)
    assert sender.send(1, now) == []
    sender.half.receive_ack(1 + count, [], now)
    (run,) = sender.send(0, now)
    assert len(run.payload) == 16 * 1024 + 1


def test_a_short_run_grows_to_a_full_one() -> None:
    sender, now, count = busy(rtt=0.0001)
    assert sender.send(16 * 1024, now) == []
    assert sender.send(count * 1152, now)[0].count == count


def test_a_short_run_waits_for_no_distant_acknowledgement() -> None:
    sender, now, _ = busy(rtt=0.1)
    assert len(sender.send(16 * 1024, now)) == 1


def test_a_short_run_with_the_end_waits_for_nothing() -> None:
    sender, now, _ = busy(rtt=0.0001)
    sender.half.ending = True
    assert len(sender.send(16 * 1024, now)) == 1
