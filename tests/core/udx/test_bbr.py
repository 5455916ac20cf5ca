from __future__ import annotations

import statistics

import pytest

from peersockets_core.udx.bbr import Bbr, MaximumFilter, Mode
from peersockets_core.udx.delivery import Sample


def test_the_maximum_of_the_last_rounds() -> None:
    values = MaximumFilter(3)
    assert values.value == 0
    for turn, value in enumerate([5, 3, 4, 1, 1, 1]):
        values.add(value, turn)
    assert values.value == 1
    values.add(9, 6)
    assert values.value == 9


def test_the_first_window_is_ten_packets() -> None:
    bbr = Bbr(packet=1200, now=0.0)
    assert (bbr.window, bbr.mode) == (12_000, Mode.STARTUP)
    assert bbr.pacing_rate > 0


def test_a_timeout_leaves_a_small_window() -> None:
    bbr = Bbr(packet=1200, now=0.0)
    bbr.timed_out()
    assert bbr.window == 4800


def test_startup_ends_when_the_bandwidth_stops_growing() -> None:
    bbr, now, delivered = Bbr(packet=1200, now=0.0), 0.0, 0
    for _ in range(200):
        now += 0.02
        acked = min(bbr.window, 100_000)
        prior, delivered = delivered, delivered + acked
        bbr.acknowledged(
            Sample(acked=acked, rtt=0.02, delivered=acked, interval=0.02, prior_delivered=prior),
            delivered,
            now,
        )
    assert bbr.mode is Mode.PROBE_BANDWIDTH
    assert bbr.bandwidth == 5e6
    assert 150_000 < bbr.window < 400_000


class Path:
    """A path of steady bandwidth and delay, and a sender that always has data."""

    def __init__(self, bandwidth: float = 5e6, rtt: float = 0.02) -> None:
        self.bbr = Bbr(packet=1200, now=0.0)
        self.bandwidth, self.rtt = bandwidth, rtt
        self.now, self.delivered = 0.0, 0

    def round(
        self, *, lost: int = 0, recovering: bool = False, in_flight: int = 0, limited: bool = False
    ) -> None:
        acked = min(self.bbr.window, int(self.bandwidth * self.rtt))
        self.now += self.rtt
        prior, self.delivered = self.delivered, self.delivered + acked
        sample = Sample(
            acked=acked,
            lost=lost,
            rtt=self.rtt,
            delivered=acked,
            interval=self.rtt,
            prior_delivered=prior,
            app_limited=limited,
            in_flight=in_flight,
            recovering=recovering,
        )
        self.bbr.acknowledged(sample, self.delivered, self.now)

    def mode(self) -> Mode:
        return self.bbr.mode

    def settle(self) -> Bbr:
        for _ in range(30):
            self.round()
        assert self.mode() is Mode.PROBE_BANDWIDTH
        return self.bbr

    def cruise(self, lost: int) -> float:
        """Return the most frequent rate over rounds with these losses, relative to the bandwidth."""
        rates = []
        for _ in range(40):
            self.round(lost=lost, recovering=lost > 0, in_flight=30_000)
            rates.append(round(self.bbr.pacing_rate / self.bbr.bandwidth, 3))
        return statistics.mode(rates)


def test_in_drain_it_waits_until_the_queue_is_empty() -> None:
    path = Path()
    while path.mode() is Mode.STARTUP:
        path.round(in_flight=1_000_000)
    path.round(in_flight=1_000_000)
    assert path.mode() is Mode.DRAIN
    assert path.bbr.pacing_rate < path.bandwidth / 2
    path.round()
    assert path.mode() is Mode.PROBE_BANDWIDTH


def test_a_sender_without_data_does_not_leave_startup() -> None:
    path = Path()
    for _ in range(30):
        path.round(limited=True)
    assert path.mode() is Mode.STARTUP
    assert path.bbr.bandwidth == path.bandwidth


def test_it_probes_for_bandwidth_and_drains_the_queue_afterwards() -> None:
    path = Path()
    path.settle()
    rates = set()
    for _ in range(40):
        path.round(in_flight=30_000)
        rates.add(round(path.bbr.pacing_rate / path.bandwidth, 2))
    assert rates == {1.24, 0.74, 0.99}


def test_noise_does_not_slow_it_down() -> None:
    path = Path()
    window = path.settle().window
    for _ in range(30):
        path.round(lost=10_000, recovering=True, in_flight=50_000)
    assert path.bbr.window == window


@pytest.mark.parametrize(("lost", "rate"), [(0, 0.99), (5_000, 1.04), (10_000, 1.09), (30_000, 1.1)])
def test_it_compensates_noise_up_to_a_tenth(lost: int, rate: float) -> None:
    """A line that loses a twentieth of its packets is full when the sender sends a twentieth more."""
    path = Path()
    path.settle()
    assert path.cruise(lost) == pytest.approx(rate, abs=0.005)


def test_it_does_not_compensate_losses_while_there_is_a_queue() -> None:
    path = Path()
    path.settle()
    assert path.cruise(10_000) > 1.05
    path.rtt = 0.03
    path.round(lost=10_000)
    assert path.cruise(10_000) == pytest.approx(0.99)


def test_heavy_losses_slow_it_down_for_a_round() -> None:
    path = Path()
    window = path.settle().window
    path.round(lost=100_000, recovering=True, in_flight=20_000)
    assert path.bbr.window < window
    path.round(recovering=True, in_flight=20_000)
    path.round()
    assert path.bbr.window == window


def test_after_ten_seconds_it_measures_the_round_trip_again() -> None:
    path = Path()
    window = path.settle().window
    path.rtt = 0.03
    while path.mode() is Mode.PROBE_BANDWIDTH:
        path.round(in_flight=60_000)
    assert path.now > 10
    assert path.bbr.window == 4 * 1200
    path.round(in_flight=60_000)
    began = path.now
    while path.mode() is Mode.PROBE_RTT:
        path.round(in_flight=1200)
    assert 0.2 <= path.now - began < 0.4
    assert path.bbr.window >= window


def test_it_measures_the_round_trip_in_startup_too() -> None:
    path = Path()
    path.round(limited=True)
    path.now += 20
    path.rtt = 0.03
    for _ in range(40):
        path.round(limited=True)
    assert path.mode() is Mode.STARTUP


def test_an_idle_time_needs_no_measurement() -> None:
    path = Path()
    path.settle()
    path.now += 20
    path.bbr.sending(path.now, app_limited=True)
    path.rtt = 0.03
    path.round()
    assert path.mode() is Mode.PROBE_BANDWIDTH


def test_after_an_idle_time_packets_are_paced_at_the_bandwidth() -> None:
    path = Path()
    bbr = path.settle()
    bbr.sending(path.now, app_limited=False)
    bbr.sending(path.now, app_limited=True)
    assert bbr.pacing_rate == 0.99 * path.bandwidth


def test_an_idle_time_may_end_the_measurement_of_the_round_trip() -> None:
    path = Path()
    path.settle()
    path.rtt = 0.03
    while path.mode() is Mode.PROBE_BANDWIDTH:
        path.round()
    path.bbr.sending(path.now, app_limited=True)
    assert path.mode() is Mode.PROBE_RTT
    path.round()
    path.bbr.sending(path.now + 0.1, app_limited=True)
    assert path.mode() is Mode.PROBE_RTT
    path.bbr.sending(path.now + 0.3, app_limited=True)
    assert path.mode() is Mode.PROBE_BANDWIDTH
    path.bbr.timed_out()
    assert path.bbr.window == 4800


def test_a_timeout_during_the_measurement_of_the_round_trip_keeps_the_old_window() -> None:
    path = Path()
    window = path.settle().window
    path.rtt = 0.03
    while path.mode() is Mode.PROBE_BANDWIDTH:
        path.round()
    path.bbr.timed_out()
    path.round()
    assert path.bbr.prior_window >= window


def test_a_batch_without_a_measurement() -> None:
    bbr = Bbr(packet=1200, now=0.0)
    bbr.acknowledged(Sample(acked=1200), 1200, 1.0)
    assert bbr.bandwidth == 0
    assert bbr.window == 12_000 + 1200
