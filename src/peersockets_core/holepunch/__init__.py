"""Hole punching without I/O: two peers behind NATs open the way to each other.

    nat          `NatClassifier`: the kind of NAT in front of a socket, from samples
    rounds       the messages between the two sides, which nodes of the DHT relay
    puncher      `Puncher`: the sockets and probes of one side
    client       `ClientPunch`: the rounds of the side that dials
    server       `ServerPunch`: the answers of the side that is dialled
    throttle     bounds the punches that open hundreds of ports
    limits       every bound that a remote can push against

`dht` carries the messages, the samples and the probes. Source: hyperdht 6.34.0.
"""

from .client import ClientPlan, ClientPunch, Failure, PunchedAddress
from .limits import DEFAULT_PUNCH_LIMITS, PunchLimits
from .nat import Firewall, NatClassifier
from .rounds import PunchError, Round
from .server import Refusal, RoundReceived, ServerPunch
from .throttle import Throttle

__all__ = [
    "DEFAULT_PUNCH_LIMITS",
    "ClientPlan",
    "ClientPunch",
    "Failure",
    "Firewall",
    "NatClassifier",
    "PunchError",
    "PunchLimits",
    "PunchedAddress",
    "Refusal",
    "Round",
    "RoundReceived",
    "ServerPunch",
    "Throttle",
]
