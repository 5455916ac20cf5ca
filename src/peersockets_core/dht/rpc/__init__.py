"""dht-rpc: the distributed hash table under HyperDHT, without I/O.

    node        one node: datagrams in and out, commands, events
    client      sends its requests and queries to others
    query       the iterative search for the nodes closest to a target
    requests    requests in flight: repeats them, gives them up, and matches responses
    congestion  bounds the requests in flight
    table       the routing table
    upkeep      keeps the table fresh
    server      answers dht-rpc's own requests
    tokens      proofs that a remote receives datagrams at its address
    rates       bounds the answered requests of a host
    health      notices when the network comes back
    nat         finds our own address as others see it
    reachability  tests whether strangers reach us, and makes the node persistent
    messages    the datagrams; `reader` and `address` read and write their fields

Source: dht-rpc 6.27.0.
"""

from .events import (
    AddressChanged,
    Answered,
    BecameEphemeral,
    BecamePersistent,
    Bootstrapped,
    DhtEvent,
    NetworkChanged,
    QueryFinished,
    QueryReplied,
    ReachabilityChanged,
    RequestReceived,
    TimedOut,
)
from .limits import DEFAULT_DHT_LIMITS, DhtLimits
from .node import DhtNode
from .query import Commit, Query, Reply
from .requests import Socket

__all__ = [
    "DEFAULT_DHT_LIMITS",
    "AddressChanged",
    "Answered",
    "BecameEphemeral",
    "BecamePersistent",
    "Bootstrapped",
    "Commit",
    "DhtEvent",
    "DhtLimits",
    "DhtNode",
    "NetworkChanged",
    "Query",
    "QueryFinished",
    "QueryReplied",
    "ReachabilityChanged",
    "Reply",
    "RequestReceived",
    "Socket",
    "TimedOut",
]
