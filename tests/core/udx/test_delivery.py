from __future__ import annotations

import pytest

from peersockets_core.udx.delivery import DeliveryRate
from peersockets_core.udx.flight import Run


def test_the_rate_of_a_steady_path() -> None:
    rate, runs = DeliveryRate(0.0), []
    for index in range(40):
        run = Run(index, 10, 80, bytes(800))
        rate.sent(run, 1000 * bool(index), index * 0.01)
        runs.append(run)
        if index >= 10:
            sample = rate.acknowledged([runs[index - 10]], 0.05, index * 0.01)
            assert sample.acked == 1000
            if index > 21:
                assert sample.delivered / sample.interval == pytest.approx(100_000, rel=0.15)


def test_acknowledgements_in_one_batch_show_no_faster_path() -> None:
    rate = DeliveryRate(0.0)
    first, second = Run(0, 1, 80, bytes(80)), Run(1, 1, 80, bytes(80))
    rate.sent(first, 0, 0.0)
    rate.sent(second, 100, 0.5)
    sample = rate.acknowledged([first, second], 0.1, 0.6)
    assert (sample.delivered, sample.interval) == (200, 0.6)
    assert rate.delivered == 200


def test_a_delivery_faster_than_the_path_is_no_measurement() -> None:
    rate = DeliveryRate(0.0)
    run = Run(0, 1, 80, bytes(80))
    rate.sent(run, 0, 0.0)
    assert rate.acknowledged([run], 0.1, 0.05).interval == 0


def test_runs_limited_by_the_application_are_marked() -> None:
    rate = DeliveryRate(0.0)
    rate.limited_by_application(0)
    assert rate.app_limited
    run = Run(0, 1, 80, bytes(80))
    rate.sent(run, 0, 0.0)
    assert run.app_limited
    assert rate.acknowledged([run], 0.1, 0.2).app_limited
    assert not rate.app_limited


def test_runs_sent_before_a_change_of_the_path_are_no_measurement() -> None:
    rate = DeliveryRate(0.0)
    old, new = Run(0, 1, 80, bytes(80)), Run(1, 1, 80, bytes(80))
    rate.sent(old, 0, 0.0)
    rate.restart(1.0)
    rate.sent(new, 100, 1.0)
    assert rate.acknowledged([old], 0.0, 1.5).interval == 0
    assert rate.acknowledged([new, old], 0.0, 1.6).interval > 0
