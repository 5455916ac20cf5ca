"""The tables of a connection task's states: complete, without dead ends, and what is not in them raises."""

from __future__ import annotations

import pytest

from peersockets_trio.runtime.state import OUTPUT_STATES, PHASES, OutputState, Phase, Signal, follow


def test_every_state_has_its_row_and_can_be_reached() -> None:
    assert set(PHASES) == set(Phase)
    assert set(OUTPUT_STATES) == set(OutputState)
    assert {Phase.HANDSHAKE}.union(*(row.values() for row in PHASES.values())) == set(Phase)
    assert {OutputState.OPEN}.union(*(row.values() for row in OUTPUT_STATES.values())) == set(OutputState)


@pytest.mark.parametrize("begins", Phase)
def test_a_connection_ends_once(begins: Phase) -> None:
    if begins is Phase.ENDED:
        with pytest.raises(RuntimeError, match="cannot end: the state is ended"):
            follow(PHASES, begins, Signal.END)
    else:
        assert follow(PHASES, begins, Signal.END) is Phase.ENDED


@pytest.mark.parametrize("begins", [Phase.ADMITTED, Phase.ENDED])
def test_a_connection_is_admitted_only_after_its_handshake(begins: Phase) -> None:
    with pytest.raises(RuntimeError, match=f"cannot admit: the state is {begins.value}"):
        follow(PHASES, begins, Signal.ADMIT)


def test_a_stream_breaks_once_and_stays_broken() -> None:
    state = follow(OUTPUT_STATES, OutputState.FINISHING, Signal.BREAK)
    assert follow(OUTPUT_STATES, state, Signal.FINISH) is OutputState.BROKEN
    with pytest.raises(RuntimeError, match="cannot break: the state is broken"):
        follow(OUTPUT_STATES, state, Signal.BREAK)
