"""The states of a stream, and every transition between them.

A stream has two halves that end independently, as in TCP. Each side sends an END as the last packet of its
half, and the other side acknowledges it like any packet. The stream is closed once our END is acknowledged
and the remote's END has arrived.

    OPEN ──connect──▶ CONNECTED ──end──▶ ENDING ──end acknowledged──▶ ENDED
                          │                │                            │
                     remote end       remote end                   remote end
                          ▼                ▼                            ▼
                     REMOTE_ENDED ──end──▶ CLOSING ──end acknowledged──▶ CLOSED

A reset, a timeout or `destroy` closes a stream in any state.
"""

from __future__ import annotations

import enum
from typing import Final


class State(enum.Enum):
    """The state of a stream."""

    __hash__ = object.__hash__  # every packet looks a state up in a set, and Enum's own hash is Python code

    OPEN = "open"
    """The stream has an id, but no remote yet."""
    CONNECTED = "connected"
    """Both halves carry data."""
    ENDING = "ending"
    """Our END is queued or in flight."""
    ENDED = "ended"
    """Our END is acknowledged; the remote may still send."""
    REMOTE_ENDED = "remote ended"
    """The remote has ended its half; we may still send."""
    CLOSING = "closing"
    """Both halves have ended, but our END is not acknowledged yet."""
    CLOSED = "closed"
    """The stream is over."""


class Signal(enum.Enum):
    """An occurrence that changes the state."""

    CONNECT = "connect"
    END = "end"
    END_ACKNOWLEDGED = "end acknowledged"
    REMOTE_END = "remote end"
    CLOSE = "close"


TRANSITIONS: Final[dict[State, dict[Signal, State]]] = {
    State.OPEN: {
        Signal.CONNECT: State.CONNECTED,
        Signal.CLOSE: State.CLOSED,
    },
    State.CONNECTED: {
        Signal.END: State.ENDING,
        Signal.REMOTE_END: State.REMOTE_ENDED,
        Signal.CLOSE: State.CLOSED,
    },
    State.ENDING: {
        Signal.END_ACKNOWLEDGED: State.ENDED,
        Signal.REMOTE_END: State.CLOSING,
        Signal.CLOSE: State.CLOSED,
    },
    State.ENDED: {
        Signal.REMOTE_END: State.CLOSED,
        Signal.CLOSE: State.CLOSED,
    },
    State.REMOTE_ENDED: {
        Signal.END: State.CLOSING,
        Signal.CLOSE: State.CLOSED,
    },
    State.CLOSING: {
        Signal.END_ACKNOWLEDGED: State.CLOSED,
        Signal.CLOSE: State.CLOSED,
    },
    State.CLOSED: {},
}
"""Every legal transition. Any other one cannot happen, or is the caller's fault."""

SENDING: Final = frozenset({State.CONNECTED, State.REMOTE_ENDED})
"""States in which data may be written."""

RECEIVING: Final = frozenset({State.CONNECTED, State.ENDING, State.ENDED})
"""States in which data may arrive."""
