"""Counters of a whole machine. Nothing is counted for them: they are summed up from what handles count."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from .handles import TopicStatistics

NOTHING = TopicStatistics(*[0] * len(attrs.fields(TopicStatistics)))


@attrs.frozen
class MachineStatistics:
    """What a machine has at one moment."""

    drives: int
    """Open here."""
    members: int
    """Memberships: a peer counts once for each drive."""
    peer_ids: int
    """Peers that have an id, whether they are here or gone; see `Limits.peer_ids`."""
    topics: TopicStatistics
    """Of all topic handles together, those closed since included."""


def total(statistics: Iterable[TopicStatistics]) -> TopicStatistics:
    """Add counters up."""
    return TopicStatistics(*map(sum, zip(*map(attrs.astuple, [NOTHING, *statistics]), strict=True)))
