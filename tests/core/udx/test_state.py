from __future__ import annotations

from peersockets_core.udx.state import RECEIVING, SENDING, TRANSITIONS, Signal, State


def test_every_state_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(State)


def test_every_state_can_be_reached_and_left() -> None:
    reached = {target for row in TRANSITIONS.values() for target in row.values()}
    assert reached == set(State) - {State.OPEN}
    assert all(Signal.CLOSE in row for state, row in TRANSITIONS.items() if state is not State.CLOSED)


def test_a_half_that_can_send_can_be_ended() -> None:
    assert {state for state, row in TRANSITIONS.items() if Signal.END in row} == SENDING
    assert {state for state, row in TRANSITIONS.items() if Signal.REMOTE_END in row} == RECEIVING
