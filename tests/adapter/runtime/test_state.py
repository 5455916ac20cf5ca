"""The tables of a connection task's states: complete, without dead ends, and what is not in them raises."""

from __future__ import annotations

import pytest

from peersockets_core import LocalProtocolError
from peersockets_core.transitions import follow
from peersockets_trio.runtime.state import OUTPUT_STATES, STAGES, OutputState, Stage, Step


def test_every_state_has_its_row_and_can_be_reached() -> None:
    assert set(STAGES) == set(Stage)
    assert set(OUTPUT_STATES) == set(OutputState)
    assert {Stage.HANDSHAKE}.union(*(row.values() for row in STAGES.values())) == set(Stage)
    assert {OutputState.OPEN}.union(*(row.values() for row in OUTPUT_STATES.values())) == set(OutputState)


@pytest.mark.parametrize("begins", Stage)
def test_a_connection_ends_once(begins: Stage) -> None:
    if begins is Stage.ENDED:
        with pytest.raises(LocalProtocolError, match="cannot end: the connection is ended"):
            follow(STAGES, begins, Step.END, "connection")
    else:
        assert follow(STAGES, begins, Step.END, "connection") is Stage.ENDED


@pytest.mark.parametrize("begins", [Stage.ADMITTED, Stage.ENDED])
def test_a_connection_is_admitted_only_after_its_handshake(begins: Stage) -> None:
    with pytest.raises(LocalProtocolError, match=f"cannot admit: the connection is {begins.value}"):
        follow(STAGES, begins, Step.ADMIT, "connection")


def test_a_stream_breaks_once_and_stays_broken() -> None:
    state = follow(OUTPUT_STATES, OutputState.FINISHING, Step.BREAK, "output")
    assert follow(OUTPUT_STATES, state, Step.FINISH, "output") is OutputState.BROKEN
    with pytest.raises(LocalProtocolError, match="cannot break: the output is broken"):
        follow(OUTPUT_STATES, state, Step.BREAK, "output")
