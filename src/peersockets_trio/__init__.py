"""Topic messages between the peers of a Hyperdrive, for Trio.

`open_node` is where to begin. From the top: `node` (connections and drives), `drive`, `topic` and `watch`
(what an application holds; `mailbox` is what the two share), `hub` (what a node's connections share),
`pump` (one connection's tasks), `info` (facts). The protocol itself is in `peersockets_core`.
Beside them, and not imported by them: `testing`, for the tests of programs that use this, and `cli`, the
commands.
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
    RemoteProtocolError,
    TopicStatistics,
    UnknownPeer,
)

from .drive import Drive
from .info import ConnectionInfo, PeerInfo
from .node import Listener, Node, open_node
from .topic import Topic
from .watch import PeerEvents

__all__ = [
    "DEFAULT_LIMITS",
    "ConnectionInfo",
    "Drive",
    "DriveKey",
    "KeyPair",
    "Limits",
    "Listener",
    "LocalProtocolError",
    "Message",
    "MessageTooLarge",
    "Node",
    "PeerEvent",
    "PeerEvents",
    "PeerGone",
    "PeerInfo",
    "PeerJoined",
    "PeerLeft",
    "PeersocketsError",
    "RemoteProtocolError",
    "Topic",
    "TopicStatistics",
    "UnknownPeer",
    "open_node",
]
