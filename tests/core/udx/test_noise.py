from __future__ import annotations

import pytest

from peersockets_core.udx.delivery import Sample
from peersockets_core.udx.noise import Noise

RTT = 0.02


def rounds(noise: Noise, count: int, *, lost: int, rtt: float = RTT, steady: bool = True) -> None:
    for _ in range(count):
        noise.add(Sample(acked=1000, lost=lost, rtt=rtt), RTT, round_started=True, steady=steady)


def test_noise_is_the_share_of_losses_in_recent_rounds() -> None:
    noise = Noise()
    assert noise.arriving == 1
    rounds(noise, 2, lost=0)
    assert noise.arriving == 1
    rounds(noise, 40, lost=50)
    assert noise.arriving == pytest.approx(1000 / 1050, abs=1e-3)
    rounds(noise, 60, lost=0)
    assert noise.arriving == pytest.approx(1, abs=1e-3)


def test_losses_above_a_tenth_are_not_counted_as_noise() -> None:
    noise = Noise()
    rounds(noise, 40, lost=1000)
    assert noise.arriving == 0.9


def test_losses_during_a_queue_do_not_count() -> None:
    noise = Noise()
    rounds(noise, 40, lost=50, rtt=2 * RTT)
    assert noise.arriving == 1
    rounds(noise, 2, lost=0)
    assert noise.arriving == 1


def test_noise_is_not_compensated_while_there_is_a_queue() -> None:
    noise = Noise()
    rounds(noise, 40, lost=50)
    rounds(noise, 2, lost=50, rtt=2 * RTT)
    assert noise.arriving == 1
    rounds(noise, 2, lost=50)
    assert noise.arriving < 1


def test_losses_during_a_bandwidth_probe_do_not_count() -> None:
    noise = Noise()
    rounds(noise, 40, lost=50, steady=False)
    assert noise.arriving == 1


def test_the_shortest_round_trip_of_a_round_counts() -> None:
    noise = Noise()
    for _ in range(40):
        for number, rtt in enumerate((RTT, 3 * RTT, -1.0)):
            noise.add(Sample(acked=1000, lost=50, rtt=rtt), RTT, round_started=not number, steady=True)
    assert noise.arriving < 0.96
