"""The counters of a whole machine, which are sums of the handles' counters."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from .handles import TopicStatistics

NOTHING = TopicStatistics(*[0] * len(attrs.fields(TopicStatistics)))


@attrs.frozen
class MachineStatistics:
    """The counters of a machine at one moment."""

    drives: int
    """The drives that are open here."""
    members: int
    """The memberships; a peer counts once for each drive."""
    peer_ids: int
    """The peers that have an id, present or gone; see `Limits.peer_ids`."""
    topics: TopicStatistics
    """The sums over all topic handles, including closed ones."""


def total(statistics: Iterable[TopicStatistics]) -> TopicStatistics:
    """Return the sums of counters."""
    return TopicStatistics(*map(sum, zip(*map(attrs.astuple, [NOTHING, *statistics]), strict=True)))
