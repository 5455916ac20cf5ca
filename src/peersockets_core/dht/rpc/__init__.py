"""dht-rpc: the distributed hash table under HyperDHT, without I/O.

    node        one node: datagrams in and out, commands, events
    client      what it asks others
    query       the iterative search for the nodes nearest to a target
    requests    requests in flight: repeated, given up, matched with their responses
    congestion  how many of them may be under way
    table       the routing table
    upkeep      the housekeeping that keeps it fresh
    server      the answers to dht-rpc's own requests
    tokens      proof that a remote receives at its address
    rates       how many requests of a host are answered
    nat         our own address as others see it
    messages    the datagrams; `reader` and `address` read and write their fields

Source: dht-rpc 6.27.0.
"""

from .events import (
    AddressChanged,
    Answered,
    BecamePersistent,
    Bootstrapped,
    DhtEvent,
    QueryFinished,
    QueryReplied,
    RequestReceived,
    TimedOut,
)
from .limits import DEFAULT_DHT_LIMITS, DhtLimits
from .node import DhtNode
from .query import Commit, Query, Reply

__all__ = [
    "DEFAULT_DHT_LIMITS",
    "AddressChanged",
    "Answered",
    "BecamePersistent",
    "Bootstrapped",
    "Commit",
    "DhtEvent",
    "DhtLimits",
    "DhtNode",
    "Query",
    "QueryFinished",
    "QueryReplied",
    "Reply",
    "RequestReceived",
    "TimedOut",
]
