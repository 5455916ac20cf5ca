"""Every bound of a swarm, each with the reason for its default."""

from __future__ import annotations

import attrs

from ..bounds import positive, repr_of_changes

_positive = positive()


@attrs.frozen(kw_only=True, repr=False)
class SwarmLimits:
    """The bounds of one swarm. Raises `ValueError`, which names the field, for a bound that is not
    positive.
    """

    __repr__ = repr_of_changes

    max_peers: int = attrs.field(default=64, validator=_positive)
    """The number of connections at which the swarm dials no further peers; others may still dial us.
    hyperswarm 4.17.2 has the same bound."""

    parallel_dials: int = attrs.field(default=3, validator=_positive)
    """The number of peers that are dialled at the same time; hyperswarm 4.17.2 has the same bound."""

    known_peers: int = attrs.field(default=4096, validator=_positive)
    """The number of peers that are remembered: 64 times as many as are connected. If strangers flood a
    topic with made-up keys, peers that were never reached are forgotten first."""

    unpunched_peers: int = attrs.field(default=1024, validator=_positive)
    """The number of keys to remember with which hole punching has failed, so that the swarm meets those peers
    at its blind relay from the first. Any stranger that dials us can add its key; the oldest goes first."""

    postponed_dials: int = attrs.field(default=30, validator=_positive)
    """The number of dials of a peer in a row that do not count as failed, because it, or this node, first
    has to finish another punch through a random NAT. Each of them takes at most thirty seconds. A peer that
    always claims to be busy is then given up until a search finds it again, within ten minutes or so."""


DEFAULT_SWARM_LIMITS = SwarmLimits()
"""Every bound at its default."""
