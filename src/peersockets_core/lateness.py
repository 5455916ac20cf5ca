"""Our own lateness, which is not the remote's fault.

A deadline that concerns a remote is judged when `handle_deadline` is called. If the call comes much later
than it was due, we were not there: stopped, suspended, or busy with something else. What the remote did in
the meantime may not have reached us, so that time does not count.
"""

from __future__ import annotations

from typing import Final

LATENESS: Final = 1.0
"""Seconds by which a call may come late: more than a scheduler delays it, and little beside any deadline."""


def absence(now: float, *, told: float, due: float) -> float:
    """How long we have been away at `now`: since `told`, if what was `due` since then is late by much."""
    return now - told if now - due > LATENESS else 0.0
