"""`Pacer`: spreads packets over time, in bursts that a timer of a millisecond can keep up with."""

from __future__ import annotations

from typing import Final

_BURST_TIME: Final = 0.004
"""Seconds' worth of packets that may leave at once: a timer is late by a millisecond or two."""
_BURST_PACKETS: Final = 10
"""The first flight of libudx leaves at once."""
_WAIT_TIME: Final = 0.001


class Pacer:
    """Credit in bytes, which grows with time."""

    __slots__ = ("_credit", "_time")

    def __init__(self, now: float) -> None:
        self._credit = 0.0
        self._time = now - 1.0  # full from the start

    def credit(self, rate: float, packet: int, now: float) -> float:
        """Return how many bytes may leave now; a packet may leave as long as it is positive."""
        if now > self._time:
            most = max(rate * _BURST_TIME, _BURST_PACKETS * packet)
            self._credit = min(self._credit + rate * (now - self._time), most)
            self._time = now
        return self._credit

    def spend(self, size: int) -> None:
        """So many bytes leave."""
        self._credit -= size

    def ready(self, rate: float, packet: int) -> float:
        """When enough may leave that it is worth a wake."""
        worth = max(rate * _WAIT_TIME, packet) + 1
        return self._time + max(worth - self._credit, 1.0) / rate
