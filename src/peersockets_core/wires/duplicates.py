"""Duplicates: the facts about two connections of one peer, and what a wire decides from them.

Each wire has a rule of its own, `judge` in its `duplicates.py`, which is that of its reference.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import attrs


@attrs.frozen(kw_only=True)
class Duplicates:
    """Two connections between the same keys on one wire, as this side sees them."""

    dialled: bool
    """Whether we dialled the newer one."""
    same_dialler: bool
    """Whether the same side dialled both."""
    smaller: bool
    """Whether our key is the smaller of the two."""
    follows: bool
    """Whether the remote dialled the newer one after it had finished the older one's handshake, so that it
    knows their order."""


class Stays(enum.Enum):
    """Which of two connections stays."""

    NEWER = enum.auto()
    OLDER = enum.auto()
    LIVELIER = enum.auto()
    """The older, if it is heard from; the newer, if it is not."""


class Verdict(NamedTuple):
    """Which of two connections of one peer stays, and which side ends the other."""

    stays: Stays
    ours: bool
    """Whether we end the other one. If not, the remote does, and we only if it does not in time."""


Judge: TypeAlias = Callable[[Duplicates], Verdict]
"""A wire's rule: which of two connections stays."""
