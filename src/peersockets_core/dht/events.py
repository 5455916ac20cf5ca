"""Every event of a HyperDHT node. Each class is in the module of the part that reports it."""

from __future__ import annotations

from typing import TypeAlias

from .announcer import Listening
from .dialing import DialFailed, Dialled
from .listening import ConnectionRequested
from .punching import PunchFailed
from .relaying import RelayClosed, Relayed, RelayingEvent, RelayOffered, RelayReached, Upgraded
from .rpc.events import (
    AddressChanged,
    BecameEphemeral,
    BecamePersistent,
    Bootstrapped,
    NetworkChanged,
    ReachabilityChanged,
)
from .topics import PeersFound, SearchFinished
from .values import ValueFound

__all__ = [
    "AddressChanged",
    "BecameEphemeral",
    "BecamePersistent",
    "Bootstrapped",
    "ConnectionRequested",
    "DialFailed",
    "Dialled",
    "HyperDhtEvent",
    "Listening",
    "NetworkChanged",
    "PeersFound",
    "PunchFailed",
    "ReachabilityChanged",
    "RelayClosed",
    "RelayOffered",
    "RelayReached",
    "Relayed",
    "RelayingEvent",
    "SearchFinished",
    "Upgraded",
    "ValueFound",
]

HyperDhtEvent: TypeAlias = (
    PeersFound
    | SearchFinished
    | ValueFound
    | Listening
    | ConnectionRequested
    | Dialled
    | DialFailed
    | PunchFailed
    | RelayingEvent
    | AddressChanged
    | Bootstrapped
    | BecameEphemeral
    | ReachabilityChanged
    | BecamePersistent
    | NetworkChanged
)
