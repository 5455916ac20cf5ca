"""The table of a swarm's states is complete, without dead ends, and anything else raises."""

from __future__ import annotations

import pytest

from peersockets_core import LocalProtocolError
from peersockets_core.transitions import follow
from peersockets_trio.runtime.swarm_state import MOVING, SWARM_STATES, SwarmSignal, SwarmState


def test_every_state_has_its_row_and_can_be_reached() -> None:
    assert set(SWARM_STATES) == set(SwarmState)
    assert {state for row in SWARM_STATES.values() for state in row.values()} == set(SwarmState)


@pytest.mark.parametrize("state", SwarmState)
def test_every_state_can_be_closed_and_only_that_is_final(state: SwarmState) -> None:
    assert SWARM_STATES[state][SwarmSignal.CLOSE] is SwarmState.CLOSED
    later = set(SWARM_STATES[SwarmState.CLOSED].values())
    assert later == {SwarmState.CLOSED}


def test_falling_silent_late_changes_nothing() -> None:
    assert follow(SWARM_STATES, SwarmState.SUSPENDING, SwarmSignal.SILENCE, "swarm") not in MOVING
    for state in set(SwarmState) - {SwarmState.SUSPENDING}:
        assert follow(SWARM_STATES, state, SwarmSignal.SILENCE, "swarm") is state


def test_a_closed_swarm_cannot_resume() -> None:
    with pytest.raises(LocalProtocolError, match="cannot resume: the swarm is closed"):
        follow(SWARM_STATES, SwarmState.CLOSED, SwarmSignal.RESUME, "swarm")
