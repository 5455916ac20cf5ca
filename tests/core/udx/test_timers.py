from __future__ import annotations

import math

from peersockets_core.udx.timers import Timer, Timers


def test_timers() -> None:
    timers = Timers()
    assert timers.next() == math.inf
    timers.due[Timer.TIMEOUT] = 2.0
    timers.due[Timer.LOSS] = 1.0
    timers.due[Timer.KEEPALIVE] = 3.0
    assert timers.next() == 1.0
    assert timers.expired(0.5) == []
    assert timers.expired(2.0) == [Timer.LOSS, Timer.TIMEOUT]
    assert timers.next() == 3.0
    timers.stop(Timer.KEEPALIVE)
    assert timers.next() == math.inf
    timers.due[Timer.PACING] = 1.0
    timers.stop_all()
    assert Timers().next() == timers.next() == math.inf
