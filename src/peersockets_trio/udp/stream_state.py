"""The states of a UDX stream for the tasks that use it, and every transition between them.

    OPEN ──linger──▶ LINGERING ──end, abandon──▶ CLOSED
     │ └────────────────abandon────────────────────▲
     └──end──▶ OVER ──abandon──────────────────────┘

From OVER, `linger` leads to LINGERING, too, if the remote has not heard yet that the stream was broken off.
"""

from __future__ import annotations

import enum
from typing import Final


class StreamState(enum.Enum):
    """The state of a stream as its users see it."""

    OPEN = "open"
    """Tasks may use it."""
    OVER = "over"
    """It has ended or was broken off, and no task has closed it yet."""
    LINGERING = "lingering"
    """It was closed, and the remote has not ended its half yet."""
    CLOSED = "closed"
    """It was closed, and nothing waits for it any more."""


class StreamSignal(enum.Enum):
    """An occurrence that changes the state."""

    LINGER = "linger"
    END = "end"
    ABANDON = "abandon"


TRANSITIONS: Final[dict[StreamState, dict[StreamSignal, StreamState]]] = {
    StreamState.OPEN: {
        StreamSignal.LINGER: StreamState.LINGERING,
        StreamSignal.END: StreamState.OVER,
        StreamSignal.ABANDON: StreamState.CLOSED,
    },
    StreamState.OVER: {
        StreamSignal.LINGER: StreamState.LINGERING,
        StreamSignal.END: StreamState.OVER,
        StreamSignal.ABANDON: StreamState.CLOSED,
    },
    StreamState.LINGERING: {
        StreamSignal.END: StreamState.CLOSED,
        StreamSignal.ABANDON: StreamState.CLOSED,
    },
    StreamState.CLOSED: {
        StreamSignal.END: StreamState.CLOSED,
        StreamSignal.ABANDON: StreamState.CLOSED,
    },
}
"""END and ABANDON change nothing once they have had their effect: the endpoint also reports the end of a
stream that was destroyed here, and several tasks may abandon the same stream."""
