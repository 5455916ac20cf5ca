"""`RequestWindow`: bounds the requests that may be sent before earlier ones are answered.

Source: dht-rpc 6.27.0, `lib/io.js` (`CongestionWindow`).
"""

from __future__ import annotations

from typing import Final

SLOT: Final = 0.75
"""The length of one slot in seconds."""

_SLOTS: Final = 4


class RequestWindow:
    """Counts the unanswered requests of the last four slots of time."""

    def __init__(self, size: int, now: float) -> None:
        """Allow `size` unanswered requests in one slot, and twice as many in four slots."""
        self._size = size
        self._sent = [0] * _SLOTS
        self._slot = 0
        self._slot_began = now

    def has_room(self, now: float) -> bool:
        """Return whether another request may be sent."""
        self._advance(now)
        return self._sent[self._slot] < self._size and sum(self._sent) < 2 * self._size

    def sent(self, now: float) -> None:
        """Count a request that has been sent."""
        self._advance(now)
        self._sent[self._slot] += 1

    def answered(self) -> None:
        """Free the room of an answered request. It always counts for the current slot."""
        self._sent[self._slot] = max(0, self._sent[self._slot] - 1)

    def next_room(self) -> float:
        """Return the time at which the current slot ends, and the count of the oldest slot expires."""
        return self._slot_began + SLOT

    def _advance(self, now: float) -> None:
        passed = int((now - self._slot_began) // SLOT)
        if passed > 0:
            self._slot_began += passed * SLOT
            for _ in range(min(passed, _SLOTS)):
                self._slot = (self._slot + 1) % _SLOTS
                self._sent[self._slot] = 0
