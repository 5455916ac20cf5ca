"""The states of a stream, and every transition between them.

A stream has two halves that end on their own, as in TCP. Each side sends its END as the last packet of its
half; it is acknowledged as any other. Once ours is acknowledged and theirs has come, the stream is closed.

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
    """How far a stream is."""

    __hash__ = object.__hash__  # every packet asks whether a state is in a set, and Enum's is not in C

    OPEN = "open"
    """It has an id, and no remote."""
    CONNECTED = "connected"
    """Both halves carry data."""
    ENDING = "ending"
    """Our END is queued or on its way."""
    ENDED = "ended"
    """Our END is acknowledged; the remote goes on."""
    REMOTE_ENDED = "remote ended"
    """The remote has ended its half; ours goes on."""
    CLOSING = "closing"
    """Both have ended, and our END is not acknowledged yet."""
    CLOSED = "closed"
    """Over."""


class Signal(enum.Enum):
    """What changes the state."""

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
"""What is not in here cannot happen, or is the caller's fault."""

SENDING: Final = frozenset({State.CONNECTED, State.REMOTE_ENDED})
"""States in which data may be written."""

RECEIVING: Final = frozenset({State.CONNECTED, State.ENDING, State.ENDED})
"""States in which data may come."""
