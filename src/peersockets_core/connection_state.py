"""The states of a connection, and every transition between them.

    UNDECIDED ──detect──▶ HANDSHAKING ──hold──▶ ON_HOLD ──admit──▶ ADMITTED
                               │                                      ▲
                               └────────────────admit─────────────────┘

A connection that is made for a certain wire leaves UNDECIDED at once. From every state that is not an end,
`close` leads to CLOSED and `fail` leads to FAILED.
"""

from __future__ import annotations

import enum
from typing import Final


class ConnectionState(enum.Enum):
    """The state of a connection."""

    __hash__ = object.__hash__  # every read looks a state up in a set, and Enum's own hash is Python code

    UNDECIDED = "waiting for the remote's first byte"
    """A remote has dialled us, and its first byte will identify the wire."""
    HANDSHAKING = "within its handshake"
    """The remote has not proved its key yet."""
    ON_HOLD = "on hold"
    """The remote has proved its key and waits to be admitted."""
    ADMITTED = "admitted"
    """Drives and messages can pass."""
    CLOSED = "closed"
    """The connection has ended; queued output may still leave."""
    FAILED = "closed for the remote's fault"
    """The connection has ended because of the remote's fault, and no output leaves any more."""


class ConnectionSignal(enum.Enum):
    """An occurrence that changes the state."""

    DETECT = "detect the wire"
    HOLD = "hold the remote"
    ADMIT = "admit the remote"
    CLOSE = "close"
    FAIL = "fail"


_ENDS: Final = {
    ConnectionSignal.CLOSE: ConnectionState.CLOSED,
    ConnectionSignal.FAIL: ConnectionState.FAILED,
}

TRANSITIONS: Final[dict[ConnectionState, dict[ConnectionSignal, ConnectionState]]] = {
    ConnectionState.UNDECIDED: {ConnectionSignal.DETECT: ConnectionState.HANDSHAKING, **_ENDS},
    ConnectionState.HANDSHAKING: {
        ConnectionSignal.HOLD: ConnectionState.ON_HOLD,
        ConnectionSignal.ADMIT: ConnectionState.ADMITTED,
        **_ENDS,
    },
    ConnectionState.ON_HOLD: {ConnectionSignal.ADMIT: ConnectionState.ADMITTED, **_ENDS},
    ConnectionState.ADMITTED: {**_ENDS},
    ConnectionState.CLOSED: {},
    ConnectionState.FAILED: {},
}
"""Every legal transition. Any other one cannot happen, or is the caller's fault."""

UNPROVED: Final = frozenset({ConnectionState.UNDECIDED, ConnectionState.HANDSHAKING})
"""States in which the remote has not proved its key."""

ENDED: Final = frozenset({ConnectionState.CLOSED, ConnectionState.FAILED})
"""States in which nothing further happens."""
