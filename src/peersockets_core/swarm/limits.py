"""Every bound of a swarm, each with the reason for its default."""

from __future__ import annotations

import attrs

from ..dht.rpc.limits import positive


@attrs.frozen(kw_only=True)
class SwarmLimits:
    """Bounds of one swarm. Raises `ValueError`, naming the field, for a bound that is not positive."""

    max_peers: int = attrs.field(default=64, validator=positive)
    """Connections at which no further peers are dialled; others may still dial us. hyperswarm 4.17.2 has
    the same."""

    parallel_dials: int = attrs.field(default=3, validator=positive)
    """Peers dialled at a time; hyperswarm 4.17.2 has the same."""

    known_peers: int = attrs.field(default=4096, validator=positive)
    """Peers that are remembered: 64 times as many as are dialled. A topic that strangers flood with made-up
    keys pushes out those that were never reached first."""


DEFAULT_SWARM_LIMITS = SwarmLimits()
