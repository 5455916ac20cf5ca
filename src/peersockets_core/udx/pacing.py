"""`Pacer`: spreads packets over time, in bursts long enough for a timer with millisecond precision."""

from __future__ import annotations

from typing import Final

_BURST_TIME: Final = 0.004
"""Seconds' worth of packets that may leave at once, because a timer fires a millisecond or two late."""
_BURST_PACKETS: Final = 10
"""Packets that may leave at once at any rate: libudx sends its first flight in one burst, too."""
_WAIT_TIME: Final = 0.001


class Pacer:
    """A credit in bytes that grows with time."""

    __slots__ = ("_credit", "_time")

    def __init__(self, now: float) -> None:
        self._credit = 0.0
        self._time = now - 1.0  # full from the start

    def credit(self, rate: float, packet: int, now: float) -> float:
        """Return how many bytes may leave now. A packet may leave as long as the number is positive."""
        if now > self._time:
            most = max(rate * _BURST_TIME, _BURST_PACKETS * packet)
            self._credit = min(self._credit + rate * (now - self._time), most)
            self._time = now
        return self._credit

    def spend(self, size: int) -> None:
        """Note that `size` bytes leave."""
        self._credit -= size

    def ready(self, rate: float, packet: int) -> float:
        """Return the time at which enough bytes may leave to justify a wake-up."""
        worth = max(rate * _WAIT_TIME, packet) + 1
        return self._time + max(worth - self._credit, 1.0) / rate
