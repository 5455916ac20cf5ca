"""The timers of a stream, by name, in one table."""

from __future__ import annotations

import enum
import math
from typing import Final


class Timer(enum.IntEnum):
    """What a stream waits for. Those that are due at once fire in this order."""

    LOSS = 0
    """Packets that were overtaken are lost from then on."""
    TAIL = 1
    """Nothing was acknowledged for a while: send one packet to make the receiver speak."""
    TIMEOUT = 2
    """Nothing was acknowledged for long: take everything for lost."""
    PACING = 3
    """The path has room for the next packets."""
    WINDOW = 4
    """The receiver's window has been closed for a while: ask about it."""
    KEEPALIVE = 5
    """The stream has been idle for a while."""


_NONE: Final = [math.inf] * len(Timer)


class Timers:
    """When each timer is due; infinity if it is not set."""

    __slots__ = ("due",)

    def __init__(self) -> None:
        self.due = _NONE.copy()

    def next(self) -> float:
        """When the first is due."""
        return min(self.due)

    def stop_all(self) -> None:
        """Set none."""
        self.due = _NONE.copy()

    def stop(self, *timers: Timer) -> None:
        """Unset some."""
        for timer in timers:
            self.due[timer] = math.inf

    def expired(self, now: float) -> list[Timer]:
        """Return the timers that are due, and unset them."""
        due = self.due
        expired = [timer for timer in Timer if due[timer] <= now]
        self.stop(*expired)
        return expired
