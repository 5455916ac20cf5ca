"""`Pacer`: spreads packets over time, in bursts long enough for a timer with millisecond precision."""

from __future__ import annotations

from typing import Final

_BURST_TIME: Final = 0.004
"""Seconds' worth of packets that may leave at once, because a timer fires a millisecond or two late."""
_LATE_TIME: Final = 0.025
"""The same after waiting for that timer. A busy system runs a process tens of milliseconds late; packets that
were not sent meanwhile would lower the bandwidth that congestion control measures, and so the rate itself."""
_BURST_PACKETS: Final = 10
"""Packets that may leave at once at any rate: libudx sends its first flight in one burst, too."""
_WAIT_TIME: Final = 0.001


class Pacer:
    """A credit in bytes that grows with time."""

    __slots__ = ("_credit", "_time", "_waiting")

    def __init__(self, now: float) -> None:
        self._credit = 0.0
        self._time = now - 1.0  # full from the start
        self._waiting = False  # whether the timer alone has kept packets back

    def credit(self, rate: float, packet: int, now: float) -> float:
        """Return how many bytes may leave now. A packet may leave as long as the number is positive."""
        if now > self._time:
            most = max(rate * (_LATE_TIME if self._waiting else _BURST_TIME), _BURST_PACKETS * packet)
            self._credit = min(self._credit + rate * (now - self._time), most)
            self._time = now
            self._waiting = False
        return self._credit

    def spend(self, size: int) -> None:
        """Note that `size` bytes leave."""
        self._credit -= size

    def ready(self, rate: float, packet: int) -> float:
        """Return the time at which enough bytes may leave to justify a wake-up."""
        self._waiting = True
        worth = max(rate * _WAIT_TIME, packet) + 1
        return self._time + max(worth - self._credit, 1.0) / rate
