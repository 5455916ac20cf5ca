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


def absence(now: float, *, told: float, due: float) -> float:
    """Return the seconds that we were away at `now`: if the call that was `due` is much late, the whole time
    since the call at `told`; otherwise 0.
    """
    return now - told if now - due > LATENESS else 0.0
