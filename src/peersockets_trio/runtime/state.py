"""The states of a connection's task, and every transition between them.

For the node, a connection begins with its handshake and ends once:

    HANDSHAKE ──admit──▶ ADMITTED ──end──▶ ENDED
        └─────────────────end────────────────▲

From each of the first two states, `doom` leads to DOOMED, and from there `end` to ENDED.

Its two directions end separately. Bytes that are queued when a connection ends in good order are still
written:

    OPEN ──finish──▶ FINISHING ──break──▶ BROKEN
      └────────────────break────────────────▲

Reading pauses while a topic handle is full:

    PAUSED ◀──pause── OPEN ──end──▶ ENDED
       └────resume─────▲
"""

from __future__ import annotations

import enum
from typing import Final


class Stage(enum.Enum):
    """The stage of a connection's life, as its node sees it."""

    HANDSHAKE = "handshake"
    """The remote has not proved its key, or is not admitted."""
    ADMITTED = "admitted"
    """The remote is admitted, and the machine takes the connection's events."""
    DOOMED = "doomed"
    """It ends because of the peer's fault, as soon as the caller that has found the fault has finished."""
    ENDED = "ended"
    """The machine has removed the connection."""


class OutputState(enum.Enum):
    """The fate of bytes that are queued."""

    OPEN = "open"
    """They are written, and more may follow."""
    FINISHING = "finishing"
    """They are written, and then the end of the stream."""
    BROKEN = "broken"
    """They are lost, because the stream accepts no more output."""


class InputState(enum.Enum):
    """The fate of bytes that the remote sends."""

    OPEN = "open"
    """They are read as they arrive."""
    PAUSED = "paused"
    """They wait until no full topic handle holds up the connection."""
    ENDED = "ended"
    """The remote has ended its direction, and everything was read."""


class Step(enum.Enum):
    """An occurrence that changes a state."""

    ADMIT = "admit"
    DOOM = "doom"
    END = "end"
    PAUSE = "pause"
    RESUME = "resume"
    FINISH = "finish"
    BREAK = "break"


STAGES: Final[dict[Stage, dict[Step, Stage]]] = {
    Stage.HANDSHAKE: {
        Step.ADMIT: Stage.ADMITTED,
        Step.DOOM: Stage.DOOMED,
        Step.END: Stage.ENDED,
    },
    Stage.ADMITTED: {Step.DOOM: Stage.DOOMED, Step.END: Stage.ENDED},
    Stage.DOOMED: {Step.DOOM: Stage.DOOMED, Step.END: Stage.ENDED},
    Stage.ENDED: {Step.DOOM: Stage.ENDED},
}
"""DOOM in the states DOOMED and ENDED changes nothing, because several faults may be found at once."""

INPUT_STATES: Final[dict[InputState, dict[Step, InputState]]] = {
    InputState.OPEN: {Step.PAUSE: InputState.PAUSED, Step.END: InputState.ENDED},
    InputState.PAUSED: {Step.RESUME: InputState.OPEN},
    InputState.ENDED: {},
}

OUTPUT_STATES: Final[dict[OutputState, dict[Step, OutputState]]] = {
    OutputState.OPEN: {Step.FINISH: OutputState.FINISHING, Step.BREAK: OutputState.BROKEN},
    OutputState.FINISHING: {Step.FINISH: OutputState.FINISHING, Step.BREAK: OutputState.BROKEN},
    OutputState.BROKEN: {Step.FINISH: OutputState.BROKEN},
}
"""FINISH in the states FINISHING and BROKEN changes nothing, because several parties may ask for it."""
