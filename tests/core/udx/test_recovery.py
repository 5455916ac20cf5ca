from __future__ import annotations

import math

from peersockets_core.udx.flight import Flight, Run
from peersockets_core.udx.recovery import LossRecovery, Phase
from peersockets_core.udx.rtt import RoundTrip


def sent(first: int, count: int, time: float) -> Run:
    run = Run(first, count, 100, bytes(100 * count))
    run.time = time
    return run


def test_what_was_sent_before_what_has_arrived_is_lost_after_a_while() -> None:
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


def test_a_recovery_ends_with_what_was_sent_before_it() -> None:
    recovery = LossRecovery(0)
    recovery.enter(Phase.RECOVERY, 9)
    assert not recovery.advance(8)
    assert recovery.advance(9)
    assert recovery.phase is Phase.OPEN
    assert not recovery.advance(10)
