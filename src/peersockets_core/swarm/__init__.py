"""The swarm, without I/O: decides which peers of a topic to look for, dial, retry and leave alone.

    swarm       `Swarm`: topics and peers, on top of a `HyperDht`
    discovery   announces one topic and looks it up
    peers       the state of one peer, and the time of its next retry

Source: hyperswarm 4.17.2.
"""

from .discovery import Discovery
from .events import Announced, Flushed, PeerFound, SwarmEvent
from .limits import DEFAULT_SWARM_LIMITS, SwarmLimits
from .swarm import Swarm

__all__ = [
    "DEFAULT_SWARM_LIMITS",
    "Announced",
    "Discovery",
    "Flushed",
    "PeerFound",
    "Swarm",
    "SwarmEvent",
    "SwarmLimits",
]
