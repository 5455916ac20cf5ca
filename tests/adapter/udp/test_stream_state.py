"""The table of a stream's states: complete, and an illegal step raises."""

from __future__ import annotations

import pytest

from peersockets_core import LocalProtocolError
from peersockets_core.transitions import follow
from peersockets_trio.udp.stream_state import TRANSITIONS, StreamSignal, StreamState


def test_every_state_has_its_row_and_can_be_reached() -> None:
    assert set(TRANSITIONS) == set(StreamState)
    assert {state for row in TRANSITIONS.values() for state in row.values()} == set(StreamState) - {
        StreamState.OPEN
    }


@pytest.mark.parametrize("state", StreamState)
def test_giving_up_closes_and_nothing_opens_again(state: StreamState) -> None:
    assert TRANSITIONS[state][StreamSignal.ABANDON] is StreamState.CLOSED
    assert set(TRANSITIONS[StreamState.CLOSED].values()) == {StreamState.CLOSED}


def test_only_a_stream_that_nobody_has_closed_is_over_after_its_end() -> None:
    ends = {state: follow(TRANSITIONS, state, StreamSignal.END, "stream") for state in StreamState}
    assert {state for state, after in ends.items() if after is StreamState.OVER} == {
        StreamState.OPEN,
        StreamState.OVER,
    }


@pytest.mark.parametrize("state", [StreamState.LINGERING, StreamState.CLOSED])
def test_a_closed_stream_is_not_closed_again(state: StreamState) -> None:
    with pytest.raises(LocalProtocolError, match=f"cannot linger: the stream is {state.value}"):
        follow(TRANSITIONS, state, StreamSignal.LINGER, "stream")
