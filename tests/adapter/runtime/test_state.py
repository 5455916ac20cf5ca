"""The tables of a connection task's states are complete, without dead ends, and anything else raises."""

from __future__ import annotations

import pytest

from peersockets_core import LocalProtocolError
from peersockets_core.transitions import follow
from peersockets_trio.runtime.state import (
    INPUT_STATES,
    OUTPUT_STATES,
    STAGES,
    InputState,
    OutputState,
    Stage,
    Step,
)


def test_every_state_has_its_row_and_can_be_reached() -> None:
    assert set(STAGES) == set(Stage)
    assert set(INPUT_STATES) == set(InputState)
    assert set(OUTPUT_STATES) == set(OutputState)
    assert {Stage.HANDSHAKE}.union(*(row.values() for row in STAGES.values())) == set(Stage)
    assert {InputState.OPEN}.union(*(row.values() for row in INPUT_STATES.values())) == set(InputState)
    assert {OutputState.OPEN}.union(*(row.values() for row in OUTPUT_STATES.values())) == set(OutputState)


@pytest.mark.parametrize("begins", Stage)
def test_a_connection_ends_once(begins: Stage) -> None:
    if begins is Stage.ENDED:
        with pytest.raises(LocalProtocolError, match="cannot end: the connection is ended"):
            follow(STAGES, begins, Step.END, "connection")
    else:
        assert follow(STAGES, begins, Step.END, "connection") is Stage.ENDED


@pytest.mark.parametrize("begins", [Stage.ADMITTED, Stage.DOOMED, Stage.ENDED])
def test_a_connection_is_admitted_only_after_its_handshake(begins: Stage) -> None:
    with pytest.raises(LocalProtocolError, match=f"cannot admit: the connection is {begins.value}"):
        follow(STAGES, begins, Step.ADMIT, "connection")


def test_a_stream_breaks_once_and_stays_broken() -> None:
    state = follow(OUTPUT_STATES, OutputState.FINISHING, Step.BREAK, "output")
    assert follow(OUTPUT_STATES, state, Step.FINISH, "output") is OutputState.BROKEN
    with pytest.raises(LocalProtocolError, match="cannot break: the output is broken"):
        follow(OUTPUT_STATES, state, Step.BREAK, "output")


@pytest.mark.parametrize("begins", Stage)
def test_a_doomed_connection_may_be_doomed_again_and_ends(begins: Stage) -> None:
    doomed = follow(STAGES, begins, Step.DOOM, "connection")
    assert doomed is (Stage.ENDED if begins is Stage.ENDED else Stage.DOOMED)
    assert follow(STAGES, doomed, Step.DOOM, "connection") is doomed


def test_reading_resumes_before_the_input_ends() -> None:
    paused = follow(INPUT_STATES, InputState.OPEN, Step.PAUSE, "input")
    with pytest.raises(LocalProtocolError, match="cannot end: the input is paused"):
        follow(INPUT_STATES, paused, Step.END, "input")
    assert follow(INPUT_STATES, paused, Step.RESUME, "input") is InputState.OPEN
