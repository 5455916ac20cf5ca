"""Detects that we are late ourselves, so that we do not blame a remote for it.

`handle_deadline` decides whether a remote has missed a deadline. If the call comes much later than it was
due, our process was stopped, suspended or busy. The remote's output of that time may not have reached us,
so the time does not count.
"""

from __future__ import annotations

from typing import Final

LATENESS: Final = 1.0
"""Seconds that a call may be late: more than the delay of a scheduler, and little compared to any
deadline."""


def absence(now: float, *, since: float, due: float) -> float:
    """Return how many seconds we were away at `now`: if the call that was `due` is much too late, the whole
    time `since` the call before it; otherwise 0.
    """
    return now - since if now - due > LATENESS else 0.0
