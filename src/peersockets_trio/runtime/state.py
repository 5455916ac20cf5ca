"""The states of a connection's task, and every transition between them.

For the node, a connection begins with its handshake and ends once:

    HANDSHAKE ──admit──▶ ADMITTED ──end──▶ ENDED
        └─────────────────end────────────────▲

Its output ends separately: bytes that are queued when a connection ends in good order are still written.

    OPEN ──finish──▶ FINISHING ──break──▶ BROKEN
      └────────────────break────────────────▲
"""

from __future__ import annotations

import enum
from typing import Final


class Stage(enum.Enum):
    """The place of a connection in the life of its node."""

    HANDSHAKE = "handshake"
    """The remote has not proved its key, or is not admitted."""
    ADMITTED = "admitted"
    """The remote is admitted, and the machine takes the connection's events."""
    ENDED = "ended"
    """The machine has removed the connection."""


class OutputState(enum.Enum):
    """The fate of bytes that are queued."""

    OPEN = "open"
    """They are written, and more may follow."""
    FINISHING = "finishing"
    """They are written, and then the end of the stream."""
    BROKEN = "broken"
    """The stream takes nothing any more."""


class Step(enum.Enum):
    """An occurrence that changes a state."""

    ADMIT = "admit"
    END = "end"
    FINISH = "finish"
    BREAK = "break"


STAGES: Final[dict[Stage, dict[Step, Stage]]] = {
    Stage.HANDSHAKE: {
        Step.ADMIT: Stage.ADMITTED,
        Step.END: Stage.ENDED,
    },
    Stage.ADMITTED: {Step.END: Stage.ENDED},
    Stage.ENDED: {},
}

OUTPUT_STATES: Final[dict[OutputState, dict[Step, OutputState]]] = {
    OutputState.OPEN: {Step.FINISH: OutputState.FINISHING, Step.BREAK: OutputState.BROKEN},
    OutputState.FINISHING: {Step.FINISH: OutputState.FINISHING, Step.BREAK: OutputState.BROKEN},
    OutputState.BROKEN: {Step.FINISH: OutputState.BROKEN},
}
"""FINISH in the states FINISHING and BROKEN changes nothing, because several parties may ask for it."""
