from __future__ import annotations

import math

from peersockets_core.udx.flight import Flight, Run
from peersockets_core.udx.recovery import LossRecovery, Phase
from peersockets_core.udx.rtt import RoundTrip


def sent(first: int, count: int, time: float) -> Run:
    run = Run(first, count, 100, bytes(100 * count))
    run.time = time
    return run


def test_a_packet_sent_before_an_arrived_one_is_lost_after_a_while() -> None:
    recovery, flight, rtt = LossRecovery(0), Flight(), RoundTrip()
    rtt.add(0.1, 0.0)
    for run in (sent(0, 2, 1.0), sent(2, 2, 1.01), sent(4, 2, 1.02)):
        flight.add(run)
    arrived = flight.remove(2, 4)
    recovery.acknowledged(arrived, rtt, 1.11)
    assert recovery.may_have_losses(0)
    lost, again = recovery.detect(flight, rtt, 1.11)
    assert lost == []
    assert again == 1.0 + 0.1 + 0.1 / 4
    lost, again = recovery.detect(flight, rtt, again)
    assert [run.first for run in lost] == [0]
    assert again == math.inf


def test_a_recovery_ends_with_the_packets_sent_before_it() -> None:
    recovery = LossRecovery(0)
    recovery.enter(Phase.RECOVERY, 9)
    assert not recovery.advance(8)
    assert recovery.advance(9)
    assert recovery.phase is Phase.OPEN
    assert not recovery.advance(10)


def resent(first: int, time: float) -> Run:
    run = sent(first, 1, time)
    run.retransmitted = True
    return run


def estimate(rtt: float = 0.1) -> RoundTrip:
    made = RoundTrip()
    made.add(rtt, 0.0)
    return made


def test_a_late_packet_widens_the_window() -> None:
    recovery, flight, rtt = LossRecovery(0), Flight(), estimate()
    for run in (sent(0, 1, 1.0), sent(1, 1, 1.01)):
        flight.add(run)
    recovery.acknowledged([resent(5, 1.09)], rtt, 1.1)  # too soon for the second transmission to have arrived
    recovery.acknowledged([resent(5, 1.03)], rtt, 1.1)  # either transmission may have arrived
    recovery.acknowledged(flight.remove(1, 2), rtt, 1.11)
    assert recovery.detect(flight, rtt, 1.13) == ([], 1.0 + 0.1 + 2 * 0.1 / 4)
    for _ in range(40):
        recovery.acknowledged([resent(5, 1.09)], rtt, 1.1)
    assert recovery.detect(flight, rtt, 1.13)[1] == 1.0 + 0.1 + 0.1, "never more than a round trip"
    for _ in range(16):
        recovery.enter(Phase.RECOVERY, 1)
        recovery.advance(1)
    assert recovery.detect(flight, rtt, 1.12)[1] == 1.0 + 0.1 + 0.1 / 4


def test_a_packet_that_arrives_late_shows_that_the_path_reorders() -> None:
    recovery, rtt = LossRecovery(0), estimate()
    recovery.acknowledged([sent(3, 1, 1.0)], rtt, 1.1)
    recovery.sacked(1)
    assert recovery.reordering_window(rtt) == 0.1 / 4
    recovery.sacked(2)
    assert recovery.reordering_window(rtt) == 0
    recovery.acknowledged([sent(0, 1, 1.0)], rtt, 1.1)
    assert recovery.reordering_window(rtt) == 0.1 / 4


def test_a_retransmission_that_arrived_shows_that_earlier_packets_are_lost() -> None:
    recovery, flight, rtt = LossRecovery(0), Flight(), estimate()
    flight.add(sent(0, 1, 1.0))
    flight.add(sent(1, 1, 1.2))
    recovery.acknowledged([resent(9, 1.1)], rtt, 1.25)
    lost, again = recovery.detect(flight, rtt, 1.3)
    assert [run.first for run in lost] == [0]
    assert again == math.inf
    flight.lose(lost[0])
    assert recovery.detect(flight, rtt, 1.3) == ([], math.inf)


def test_a_timeout_counts_old_and_first_packets_as_lost() -> None:
    recovery, flight, rtt = LossRecovery(0), Flight(), estimate()
    for run in (sent(0, 1, 4.0), sent(1, 1, 1.0), sent(2, 1, 4.0), sent(3, 1, 1.0)):
        flight.add(run)
    flight.lose(flight.runs[3])
    recovery.acknowledged([sent(9, 1, 0.5)], rtt, 0.6)
    assert [run.first for run in recovery.overdue(flight, rtt, 4.05)] == [0, 1]


def test_the_tail_is_probed_once() -> None:
    recovery = LossRecovery(0)
    assert recovery.tail_delay(RoundTrip(), lone=False) == 1.0
    assert recovery.tail_delay(estimate(), lone=False) == 0.2
    assert recovery.tail_delay(estimate(), lone=True) == 0.202
    assert recovery.tail_delay(estimate(1e-4), lone=False) == 0.005
    recovery.probed = True
    assert recovery.tail_delay(estimate(), lone=True) == math.inf
    recovery.acknowledged([sent(0, 1, 1.0)], estimate(), 1.1)
    assert recovery.tail_delay(estimate(), lone=True) < math.inf
