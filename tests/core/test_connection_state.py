from __future__ import annotations

from typing import TypeAlias

import pytest

from core.support import KEY, NOW, entropy, key_pair
from peersockets_core import (
    WIRES,
    Connection,
    LocalProtocolError,
    Refused,
    RemoteProtocolError,
    WireName,
)
from peersockets_core.connection_state import (
    ENDED,
    TRANSITIONS,
    UNPROVED,
    ConnectionSignal,
    ConnectionState,
)

State: TypeAlias = ConnectionState


def test_every_state_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(State)


def test_every_state_can_be_reached_and_every_state_but_the_ends_can_be_left() -> None:
    reached = {target for row in TRANSITIONS.values() for target in row.values()}
    assert reached == set(State) - {State.UNDECIDED}
    assert {state for state, row in TRANSITIONS.items() if not row} == ENDED
    for state in set(State) - ENDED:
        assert TRANSITIONS[state][ConnectionSignal.CLOSE] is State.CLOSED
        assert TRANSITIONS[state][ConnectionSignal.FAIL] is State.FAILED


def test_only_a_remote_that_has_proved_its_key_is_held_or_admitted() -> None:
    entered = {State.ON_HOLD, State.ADMITTED}
    assert not UNPROVED & entered
    assert State.UNDECIDED not in {state for state, row in TRANSITIONS.items() if entered & set(row.values())}


def shake_hands(one: Connection, two: Connection) -> None:
    while one.has_output or two.has_output:
        two.receive_data(bytes(one.data_to_send()), NOW)
        one.receive_data(bytes(two.data_to_send()), NOW)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("hold", [False, True])
def test_the_states_of_a_dialled_connection(wire: WireName, hold: bool) -> None:
    ours = Connection(initiator=False, key_pair=key_pair("ours"), entropy=entropy("ours"), now=NOW, hold=hold)
    theirs = Connection(
        wire=wire, initiator=True, key_pair=key_pair("theirs"), entropy=entropy("theirs"), now=NOW
    )
    assert (ours.state, theirs.state) == (State.UNDECIDED, State.HANDSHAKING)
    ours.receive_data(bytes(theirs.data_to_send())[:1], NOW)
    assert ours.state is State.HANDSHAKING


@pytest.mark.parametrize("wire", WIRES)
def test_the_states_of_a_remote_on_hold(wire: WireName) -> None:
    ours, theirs = (
        Connection(
            wire=wire,
            initiator=label == "theirs",
            key_pair=key_pair(label),
            entropy=entropy(label),
            now=NOW,
            hold=label == "ours",
        )
        for label in ("ours", "theirs")
    )
    with pytest.raises(LocalProtocolError, match="no remote is on hold"):
        ours.admit(NOW)
    with pytest.raises(LocalProtocolError, match="the handshake is not finished"):
        ours.sender(KEY.discovery_key, "chat")
    shake_hands(ours, theirs)
    assert (ours.state, theirs.state) == (State.ON_HOLD, State.ADMITTED)
    with pytest.raises(LocalProtocolError, match="the remote is on hold"):
        ours.sender(KEY.discovery_key, "chat")
    ours.admit(NOW)
    assert ours.state is State.ADMITTED
    with pytest.raises(LocalProtocolError, match="no remote is on hold"):
        ours.admit(NOW)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (None, State.CLOSED),
        (Refused("full"), State.CLOSED),
        (RemoteProtocolError("nonsense"), State.FAILED),
    ],
)
def test_only_a_remote_at_fault_gets_no_more_output(
    error: RemoteProtocolError | Refused | None, state: State
) -> None:
    ours = Connection(
        wire="hypercore11", initiator=True, key_pair=key_pair("ours"), entropy=entropy("ours"), now=NOW
    )
    if error is None:
        ours.close()
    else:
        ours.fail(error)
    assert ours.state is state
    assert ours.has_output == (state is State.CLOSED)
    assert bool(ours.data_to_send()) == (state is State.CLOSED)
    assert ours.close() == ours.fail(RemoteProtocolError("again")) == []
    assert ours.state is state
