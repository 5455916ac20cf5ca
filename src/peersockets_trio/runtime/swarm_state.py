"""The states of a swarm's runtime, and every transition between them.

    OPEN ──suspend──▶ SUSPENDING ──silence──▶ SUSPENDED
      ▲                   │                       │
      └──────resume───────┴────────resume─────────┘

From every state, `close` leads to CLOSED.
"""

from __future__ import annotations

import enum
from typing import Final


class SwarmState(enum.Enum):
    """The state of a swarm's runtime."""

    __hash__ = object.__hash__  # every datagram looks a state up in a set, and Enum's own hash is Python code

    OPEN = "open"
    SUSPENDING = "being suspended"
    """Announcements are being withdrawn and connections ended; nothing new begins."""
    SUSPENDED = "suspended"
    """The swarm sends and receives nothing."""
    CLOSED = "closed"


class SwarmSignal(enum.Enum):
    """An occurrence that changes the state."""

    SUSPEND = "suspend"
    SILENCE = "fall silent"
    RESUME = "resume"
    CLOSE = "close"


SWARM_STATES: Final[dict[SwarmState, dict[SwarmSignal, SwarmState]]] = {
    SwarmState.OPEN: {
        SwarmSignal.SUSPEND: SwarmState.SUSPENDING,
        SwarmSignal.SILENCE: SwarmState.OPEN,
        SwarmSignal.RESUME: SwarmState.OPEN,
        SwarmSignal.CLOSE: SwarmState.CLOSED,
    },
    SwarmState.SUSPENDING: {
        SwarmSignal.SUSPEND: SwarmState.SUSPENDING,
        SwarmSignal.SILENCE: SwarmState.SUSPENDED,
        SwarmSignal.RESUME: SwarmState.OPEN,
        SwarmSignal.CLOSE: SwarmState.CLOSED,
    },
    SwarmState.SUSPENDED: {
        SwarmSignal.SILENCE: SwarmState.SUSPENDED,
        SwarmSignal.RESUME: SwarmState.OPEN,
        SwarmSignal.CLOSE: SwarmState.CLOSED,
    },
    SwarmState.CLOSED: {
        SwarmSignal.SILENCE: SwarmState.CLOSED,
        SwarmSignal.CLOSE: SwarmState.CLOSED,
    },
}
"""SILENCE changes nothing in other states than SUSPENDING: `resume` or `close` has come before it."""

MOVING: Final = frozenset({SwarmState.OPEN, SwarmState.SUSPENDING})
"""States in which datagrams are sent and received."""
