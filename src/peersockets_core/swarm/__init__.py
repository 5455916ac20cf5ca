"""Which peers of a topic to look for, dial, try again and leave alone, without I/O.

    swarm       `Swarm`: topics and peers, on top of a `HyperDht`
    discovery   one topic's announcing and looking up
    peers       what is known of one peer, and when it is tried again

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
