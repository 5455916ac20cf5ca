"""HyperDHT: finds the peers of a topic and connects to a key, without I/O.

    hyperdht    `HyperDht`, one node: datagrams in and out, commands, events
    topics      looks for the peers of a topic, and announces us there
    values      gets and puts values
    dispatch    hands requests and events to the parts below
    outgoing    the dials of a node, with the relays that it remembers
    dialing     connects to a key
    finding     finds relays that carry the handshake of a dial
    ways        the states of the ways that a dial tries then
    listening   answers the remotes that dial our key
    acceptance  opens the ways for the streams of accepted remotes
    punching    opens a path through NATs meanwhile
    relaying    meets peers at blind relays, with the help of `blind_relay`, which speaks to one
    announcer   keeps our key findable, through nodes that relay to us
    forwarding  relays the handshakes of others
    storage     keeps the announcements and values of others, in a bounded `store`
    exchange    sends the requests of all these parts to other nodes
    noise_ik    the handshake; `messages` and `signing` encode and sign its contents
    rpc/        dht-rpc: the table of nodes, requests and queries below everything here

Source: hyperdht 6.34.0.
"""

from .dialing import Dial
from .events import (
    ConnectionRequested,
    DialFailed,
    Dialled,
    HyperDhtEvent,
    Listening,
    PeersFound,
    PunchFailed,
    RelayClosed,
    Relayed,
    RelayOffered,
    RelayReached,
    SearchFinished,
    Upgraded,
    ValueFound,
)
from .hyperdht import HyperDht
from .limits import DEFAULT_HYPER_DHT_LIMITS, HyperDhtLimits
from .listening import Accepted, Incoming
from .messages import MutableValue, Peer
from .punching import IncomingPunch, PunchDatagram, PunchStatistics
from .relaying import Pairing, PairingState
from .topics import TopicSearch
from .values import ValueSearch

__all__ = [
    "DEFAULT_HYPER_DHT_LIMITS",
    "Accepted",
    "ConnectionRequested",
    "Dial",
    "DialFailed",
    "Dialled",
    "HyperDht",
    "HyperDhtEvent",
    "HyperDhtLimits",
    "Incoming",
    "IncomingPunch",
    "Listening",
    "MutableValue",
    "Pairing",
    "PairingState",
    "Peer",
    "PeersFound",
    "PunchDatagram",
    "PunchFailed",
    "PunchStatistics",
    "RelayClosed",
    "RelayOffered",
    "RelayReached",
    "Relayed",
    "SearchFinished",
    "TopicSearch",
    "Upgraded",
    "ValueFound",
    "ValueSearch",
]
