"""Random punches one at a time, with a pause between them."""

from __future__ import annotations

from peersockets_core.holepunch import PunchLimits, Throttle


def test_a_pause_follows_each_punch() -> None:
    throttle = Throttle(PunchLimits())
    assert throttle.allowed_at(0.0) == 0.0
    throttle.began()
    assert not throttle.allows(0.0)
    assert throttle.allowed_at(2.0) == 22.0  # it may end at any time
    throttle.ended(5.0)
    assert not throttle.allows(24.9)
    assert throttle.allowed_at(7.0) == 25.0
    assert throttle.allows(25.0)
    assert throttle.allowed_at(26.0) == 26.0


def test_a_cancelled_punch_needs_no_pause() -> None:
    throttle = Throttle(PunchLimits())
    throttle.began()
    throttle.cancelled()
    assert throttle.allows(0.0)


def test_several_at_a_time() -> None:
    throttle = Throttle(PunchLimits(random_punches=2))
    throttle.began()
    assert throttle.allows(0.0)
    throttle.began()
    assert not throttle.allows(0.0)
