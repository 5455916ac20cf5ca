"""Every event of a HyperDHT node. Each class is in the module of the part that reports it."""

from __future__ import annotations

from typing import TypeAlias

from .announcer import Listening
from .dialing import DialFailed, Dialled
from .listening import ConnectionRequested
from .rpc.events import AddressChanged, BecamePersistent, Bootstrapped, NetworkChanged
from .topics import PeersFound, SearchFinished
from .values import ValueFound

__all__ = [
    "AddressChanged",
    "BecamePersistent",
    "Bootstrapped",
    "ConnectionRequested",
    "DialFailed",
    "Dialled",
    "HyperDhtEvent",
    "Listening",
    "NetworkChanged",
    "PeersFound",
    "SearchFinished",
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
    | AddressChanged
    | Bootstrapped
    | BecamePersistent
    | NetworkChanged
)
