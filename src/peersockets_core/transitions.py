"""`follow`: one step in the transition table of a state machine."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TypeAlias, TypeVar

from .errors import LocalProtocolError

State = TypeVar("State", bound=enum.Enum)
Signal = TypeVar("Signal", bound=enum.Enum)

Table: TypeAlias = Mapping[State, Mapping[Signal, State]]
"""For each state, its legal signals, and the state that follows each signal."""


def follow(table: Table[State, Signal], state: State, signal: Signal, subject: str) -> State:
    """Return the state that follows a signal.

    Raises `LocalProtocolError`, which names the `subject`, if the table has no such transition.
    """
    try:
        return table[state][signal]
    except KeyError:
        raise LocalProtocolError(f"cannot {signal.value}: the {subject} is {state.value}") from None
