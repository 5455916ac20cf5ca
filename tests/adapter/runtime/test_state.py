"""The tables of a connection task's states: complete, without dead ends, and what is not in them raises."""

from __future__ import annotations

import pytest

from peersockets_core import LocalProtocolError
from peersockets_core.transitions import follow
from peersockets_trio.runtime.state import OUTPUT_STATES, PHASES, OutputState, Phase, Signal


def test_every_state_has_its_row_and_can_be_reached() -> None:
    assert set(PHASES) == set(Phase)
    assert set(OUTPUT_STATES) == set(OutputState)
    assert {Phase.HANDSHAKE}.union(*(row.values() for row in PHASES.values())) == set(Phase)
    assert {OutputState.OPEN}.union(*(row.values() for row in OUTPUT_STATES.values())) == set(OutputState)


@pytest.mark.parametrize("begins", Phase)
def test_a_connection_ends_once(begins: Phase) -> None:
    if begins is Phase.ENDED:
        with pytest.raises(LocalProtocolError, match="cannot end: the connection is ended"):
            follow(PHASES, begins, Signal.END, "connection")
    else:
        assert follow(PHASES, begins, Signal.END, "connection") is Phase.ENDED


@pytest.mark.parametrize("begins", [Phase.ADMITTED, Phase.ENDED])
def test_a_connection_is_admitted_only_after_its_handshake(begins: Phase) -> None:
    with pytest.raises(LocalProtocolError, match=f"cannot admit: the connection is {begins.value}"):
        follow(PHASES, begins, Signal.ADMIT, "connection")


def test_a_stream_breaks_once_and_stays_broken() -> None:
    state = follow(OUTPUT_STATES, OutputState.FINISHING, Signal.BREAK, "output")
    assert follow(OUTPUT_STATES, state, Signal.FINISH, "output") is OutputState.BROKEN
    with pytest.raises(LocalProtocolError, match="cannot break: the output is broken"):
        follow(OUTPUT_STATES, state, Signal.BREAK, "output")
