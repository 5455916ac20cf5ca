"""The timers of a stream, by name, in one table."""

from __future__ import annotations

import enum
import math
from typing import Final


class Timer(enum.IntEnum):
    """The timers of a stream. Timers that are due at the same time fire in this order."""

    LOSS = 0
    """Packets that later ones have overtaken count as lost from this time on."""
    TAIL = 1
    """Nothing was acknowledged for a while: send one packet to make the receiver reply."""
    TIMEOUT = 2
    """Nothing was acknowledged for a long time: consider everything lost."""
    PACING = 3
    """The pacer allows the next packets."""
    WINDOW = 4
    """The receiver's window has been closed for a while: ask for the current one."""
    KEEPALIVE = 5
    """The stream has been idle for a while."""


_NONE: Final = [math.inf] * len(Timer)


class Timers:
    """The time at which each timer is due; infinity if the timer is not set."""

    __slots__ = ("due",)

    def __init__(self) -> None:
        self.due = _NONE.copy()

    def next(self) -> float:
        """Return the time at which the first timer is due."""
        return min(self.due)

    def stop_all(self) -> None:
        """Unset all timers."""
        self.due = _NONE.copy()

    def stop(self, *timers: Timer) -> None:
        """Unset the given timers."""
        for timer in timers:
            self.due[timer] = math.inf

    def expired(self, now: float) -> list[Timer]:
        """Return the timers that are due, and unset them."""
        due = self.due
        expired = [timer for timer in Timer if due[timer] <= now]
        self.stop(*expired)
        return expired
