"""Duplicates: the facts about two connections of one peer, and the verdict of a wire on them.

Each wire has its own rule, `judge` in its `duplicates.py`, which is that of its reference.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple, TypeAlias


class Duplicates(NamedTuple):
    """Two connections between the same keys on one wire, as this side sees them."""

    dialled: bool
    """Whether we dialled the newer connection."""
    same_dialler: bool
    """Whether the same side dialled both connections."""
    smaller: bool
    """Whether our key is smaller than the remote's."""
    follows: bool
    """Whether the remote dialled the newer connection after it had finished the older one's handshake, so
    that it knows their order."""


class Stays(enum.Enum):
    """The connection that stays."""

    NEWER = enum.auto()
    OLDER = enum.auto()
    LIVELIER = enum.auto()
    """The older one if it proves to be alive, otherwise the newer one."""


class Verdict(NamedTuple):
    """The decision which of two connections of one peer stays, and which side ends the other one."""

    stays: Stays
    ours: bool
    """Whether we end the other one. If not, the remote ends it, and we only do so if the remote takes too
    long."""


Judge: TypeAlias = Callable[[Duplicates], Verdict]
"""A wire's rule, which decides which of two connections stays."""
