from __future__ import annotations

import pytest

from peersockets_core.udx.pacing import Pacer


def test_credit_grows_with_time_up_to_a_burst() -> None:
    pacer = Pacer(0.0)
    assert pacer.credit(1e6, 1200, 0.0) == 12_000
    pacer.spend(20_000)
    assert pacer.credit(1e6, 1200, 0.0) == -8000
    assert pacer.ready(1e6, 1200) == pytest.approx(0.0092, abs=1e-5)
    assert pacer.credit(1e6, 1200, 0.0092) == pytest.approx(1200)
    assert pacer.credit(1e9, 1200, 1.0) == 4e6


def test_the_next_packet_is_ready_in_the_future() -> None:
    pacer = Pacer(0.0)
    pacer.credit(1e6, 1200, 0.0)
    assert pacer.ready(1e6, 1200) > 0


def test_a_timer_that_is_late_costs_nothing() -> None:
    pacer = Pacer(0.0)
    pacer.credit(1e6, 1200, 0.0)
    pacer.spend(12_000)
    assert pacer.ready(1e6, 1200) < 0.01
    assert pacer.credit(1e6, 1200, 0.02) == pytest.approx(20_000)
    assert pacer.ready(1e6, 1200)
    assert pacer.credit(1e6, 1200, 1.0) == pytest.approx(25_000)


def test_an_idle_time_earns_no_more_than_a_burst() -> None:
    pacer = Pacer(0.0)
    pacer.credit(1e6, 100, 0.0)
    pacer.spend(1000)
    pacer.ready(1e6, 100)
    pacer.credit(1e6, 100, 0.001)
    assert pacer.credit(1e6, 100, 1.0) == pytest.approx(4000)
