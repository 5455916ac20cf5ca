from __future__ import annotations

import pytest

from peersockets_core.udx.rtt import RoundTrip


def test_the_first_sample() -> None:
    rtt = RoundTrip()
    assert rtt.timeout == 1.0
    rtt.add(2.0, 10.0)
    assert (rtt.smoothed, rtt.variation, rtt.minimum, rtt.latest) == (2.0, 1.0, 2.0, 2.0)
    assert rtt.timeout == 6.0


def test_further_samples_count_an_eighth() -> None:
    rtt = RoundTrip()
    rtt.add(0.1, 0.0)
    rtt.add(0.2, 1.0)
    assert rtt.variation == pytest.approx(0.05 + (0.1 - 0.05) / 4)
    assert rtt.smoothed == pytest.approx(0.1 + 0.1 / 8)
    assert rtt.minimum == 0.1
    assert rtt.timeout == 1.0


def test_the_minimum_is_forgotten_after_five_minutes() -> None:
    rtt = RoundTrip()
    rtt.add(0.1, 0.0)
    rtt.add(0.2, 299.0)
    assert rtt.minimum == 0.1
    rtt.add(0.2, 301.0)
    assert rtt.minimum == 0.2


def test_a_sample_out_of_all_proportion_is_clamped() -> None:
    rtt = RoundTrip()
    rtt.add(100.0, 0.0)
    assert rtt.smoothed == 30.0
    assert rtt.timeout == 30.0
    rtt = RoundTrip()
    rtt.add(1.0, 0.0)
    rtt.add(1000.0, 1.0)
    assert rtt.latest == 1.0 + 5 * 0.5
    rtt.add(4.5, 2.0)
    assert rtt.latest == 4.5


def test_a_path_may_take_no_time_at_all() -> None:
    rtt = RoundTrip()
    rtt.add(0.0, 0.0)
    assert rtt.smoothed > 0
