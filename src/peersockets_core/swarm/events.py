"""The events of a swarm."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from ..dht.events import (
    ConnectionRequested,
    DialFailed,
    Dialled,
    Listening,
    PunchFailed,
    RelayingEvent,
)
from ..dht.rpc.events import (
    AddressChanged,
    BecameEphemeral,
    BecamePersistent,
    Bootstrapped,
    NetworkChanged,
    ReachabilityChanged,
)
from .discovery import Discovery


@attrs.frozen
class Announced:
    """Nodes of the DHT now keep our announcement under a topic."""

    topic: bytes
    nodes: int


@attrs.frozen
class PeerFound:
    """A peer of a topic was found for the first time."""

    topic: bytes
    public_key: bytes


@attrs.frozen
class Flushed:
    """A discovery's first search has ended, and each peer that it found has been connected or has failed."""

    discovery: Discovery


SwarmEvent: TypeAlias = (
    Announced
    | PeerFound
    | Flushed
    | ConnectionRequested
    | Dialled
    | DialFailed
    | PunchFailed
    | RelayingEvent
    | Listening
    | AddressChanged
    | Bootstrapped
    | BecamePersistent
    | NetworkChanged
    | BecameEphemeral
    | ReachabilityChanged
)
