"""`Throttle`: bounds the punches with a random NAT on one side, which open hundreds of ports.

Source: hyperdht 6.34.0, `index.js` (`_randomPunches`) and `lib/holepuncher.js`.
"""

from __future__ import annotations

import math

from .limits import PunchLimits


class Throttle:
    """Counts the random punches of one node."""

    def __init__(self, limits: PunchLimits) -> None:
        self._limits = limits
        self._active = 0
        self._last_ended = -math.inf

    def allowed_at(self, now: float) -> float:
        """Return the earliest time from `now` on at which another random punch may begin. If there are too
        many at present, that is the time if one of them ended now.
        """
        limits = self._limits
        busy = self._active >= limits.random_punches
        return max(now, (now if busy else self._last_ended) + limits.random_pause)

    def allows(self, now: float) -> bool:
        """Return whether another random punch may begin."""
        return self.allowed_at(now) <= now

    def began(self) -> None:
        """Count a random punch."""
        self._active += 1

    def cancelled(self) -> None:
        """Take back `began`, because the punch has not opened any ports."""
        self._active -= 1

    def ended(self, now: float) -> None:
        """Note that a random punch is over."""
        self._active -= 1
        self._last_ended = now
