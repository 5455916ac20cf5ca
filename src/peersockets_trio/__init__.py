"""Topic messages between the peers of a Hyperdrive, for Trio.

`open_node` is where to begin. From the top: `node` (connections and drives), `drive`, `topic` and `watch`
(what an application holds; `mailbox` is what they share), `requests` (what a topic can be used for),
`reconnect` (connections that are made anew), `hub` (what a node's connections share), `pump` (one
connection's tasks), `transport` (how these read and write). Beside them: `flusher` (the task that writes for
all connections), `memory` (what large messages free is kept), `info` (facts), `addresses` (of sockets),
`report` and `instruments` (what others are told) and `checks` (of arguments); and, not imported by any of
these, `testing` (for the tests of programs that use this) and `cli` (the commands). The protocol itself is in
`peersockets_core`.
"""

from peersockets_core import (
    DEFAULT_LIMITS,
    DriveKey,
    KeyPair,
    Limits,
    LocalProtocolError,
    Message,
    MessageTooLarge,
    PeerEvent,
    PeerGone,
    PeerJoined,
    PeerLeft,
    PeersocketsError,
    PeerUnreachable,
    Refused,
    RemoteProtocolError,
    Request,
    RequestError,
    RequestStatistics,
    TopicStatistics,
    UnexpectedKey,
    UnknownPeer,
)

from .drive import Drive
from .info import ConnectionInfo, NodeStatistics, PeerInfo
from .instruments import Instrument
from .node import Listener, Node, open_node
from .reconnect import Backoff, Connected, Disconnected, KeptConnection, KeptConnectionEvent
from .swarm import Discovery, Swarm, SwarmStatistics
from .swarming.bootstrap import PUBLIC_BOOTSTRAP
from .topic import Topic
from .watch import PeerEvents

__all__ = [
    "DEFAULT_LIMITS",
    "PUBLIC_BOOTSTRAP",
    "Backoff",
    "Connected",
    "ConnectionInfo",
    "Disconnected",
    "Discovery",
    "Drive",
    "DriveKey",
    "Instrument",
    "KeptConnection",
    "KeptConnectionEvent",
    "KeyPair",
    "Limits",
    "Listener",
    "LocalProtocolError",
    "Message",
    "MessageTooLarge",
    "Node",
    "NodeStatistics",
    "PeerEvent",
    "PeerEvents",
    "PeerGone",
    "PeerInfo",
    "PeerJoined",
    "PeerLeft",
    "PeerUnreachable",
    "PeersocketsError",
    "Refused",
    "RemoteProtocolError",
    "Request",
    "RequestError",
    "RequestStatistics",
    "Swarm",
    "SwarmStatistics",
    "Topic",
    "TopicStatistics",
    "UnexpectedKey",
    "UnknownPeer",
    "open_node",
]
