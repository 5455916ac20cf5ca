from __future__ import annotations

import enum

import pytest

from peersockets_core import LocalProtocolError
from peersockets_core.transitions import follow


class Door(enum.Enum):
    OPEN = "open"
    SHUT = "shut"


class Push(enum.Enum):
    IN = "push it in"
    OUT = "pull it out"


TABLE = {Door.OPEN: {Push.IN: Door.SHUT}, Door.SHUT: {Push.OUT: Door.OPEN}}


def test_a_transition_in_the_table() -> None:
    assert follow(TABLE, Door.OPEN, Push.IN, "door") is Door.SHUT


def test_the_error_names_the_signal_the_subject_and_its_state() -> None:
    with pytest.raises(LocalProtocolError, match=r"^cannot pull it out: the door is open$") as caught:
        follow(TABLE, Door.OPEN, Push.OUT, "door")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
