"""Topic messages between the peers of a Hyperdrive, for Trio.

`open_node` is where to begin. From the top: `node` (connections and drives), `drive`, `topic` and `watch`
(what an application holds; `mailbox` is what they share), `hub` (what a node's connections share), `pump`
(one connection's tasks), `reconnect` (connections that are made anew), `info` (facts), `report` and
`instruments` (what others are told), `checks` (of arguments). The protocol itself is in `peersockets_core`.
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
    Refused,
    RemoteProtocolError,
    TopicStatistics,
    UnexpectedKey,
    UnknownPeer,
)

from .drive import Drive
from .info import ConnectionInfo, NodeStatistics, PeerInfo
from .instruments import Instrument
from .node import Listener, Node, open_node
from .reconnect import Backoff, Connected, Disconnected, KeptConnection, KeptConnectionEvent
from .topic import Topic
from .watch import PeerEvents

__all__ = [
    "DEFAULT_LIMITS",
    "Backoff",
    "Connected",
    "ConnectionInfo",
    "Disconnected",
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
    "PeersocketsError",
    "Refused",
    "RemoteProtocolError",
    "Topic",
    "TopicStatistics",
    "UnexpectedKey",
    "UnknownPeer",
    "open_node",
]
