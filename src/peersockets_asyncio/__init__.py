"""Topic messages between the peers of a Hyperdrive, for asyncio.

Start with `open_node`. The names are those of `peersockets_trio`, which does more: swarms, requests, kept
connections, instruments. Everything that is not about asyncio is in `peersockets_core`:

    node                `Node`: the connections of one identity
    runtime             `NodeRuntime`: the machine of a node with its streams; the machine's host
    stream_protocol     `StreamProtocol`: one stream and its connection, as an `asyncio.Protocol`
    drive               `Drive`, `Topic` and `PeerEvents`: the handles that an application holds
    datagrams           `DatagramMachines`: the machines of the core that share a UDP socket
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
    WireName,
    parse_wire,
)
from peersockets_core.info import ConnectionInfo, PeerInfo

from .datagrams import DatagramMachine, DatagramMachines
from .drive import Drive, PeerEvents, Topic
from .node import Listener, Node, open_node

__all__ = [
    "DEFAULT_LIMITS",
    "ConnectionInfo",
    "DatagramMachine",
    "DatagramMachines",
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
    "Refused",
    "RemoteProtocolError",
    "Topic",
    "TopicStatistics",
    "UnexpectedKey",
    "UnknownPeer",
    "WireName",
    "open_node",
    "parse_wire",
]
