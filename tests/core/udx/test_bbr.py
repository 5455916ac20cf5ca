from __future__ import annotations

from peersockets_core.udx.bbr import Bbr, MaximumFilter, Mode
from peersockets_core.udx.delivery import Sample


def test_the_largest_of_the_last_rounds() -> None:
    values = MaximumFilter(3)
    assert values.value == 0
    for turn, value in enumerate([5, 3, 4, 1, 1, 1]):
        values.add(value, turn)
    assert values.value == 1
    values.add(9, 6)
    assert values.value == 9


def test_it_starts_with_ten_packets() -> None:
    bbr = Bbr(packet=1200, now=0.0)
    assert (bbr.window, bbr.mode) == (12_000, Mode.STARTUP)
    assert bbr.pacing_rate > 0


def test_a_timeout_leaves_little() -> None:
    bbr = Bbr(packet=1200, now=0.0)
    bbr.timed_out()
    assert bbr.window == 4800


def test_startup_grows_until_the_bandwidth_does_not() -> None:
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
