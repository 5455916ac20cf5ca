"""Topic messages between the peers of a Hyperdrive: the protocol, without I/O.

The layers, from bytes to applications, each consuming the one before:

    hypercore9/     the wire of hyperdrive 10 and Beaker 1.x
    hypercore11/    the wire of hyperdrive 11 to 13
    wires           what the two have in common, and how they are told apart
    connection      one stream: handshake, deadlines, the boundary of errors
    handles         what an application holds of a topic: what it has been sent, and the way to send
    watches         what an application holds of a drive: who has come and gone
    members         who is there: peers, their connections and memberships
    drives          what is open here: drives and their topics
    peersockets     the machine that keeps these books over many connections
    requests        requests and replies as messages of a topic, for those who want them
    trace/          recorded sessions of one connection: read, write, replay, decrypt
    udx/            reliable streams over UDP, for those that connections run on

Beside them: `address`, `keys`, `secret`, `noise` and `sodium` (cryptography), `events`, `errors`, `limits`,
`statistics`, `topics` (names on the wires), `envelope` (of requests), `extensions` and `outbox`. Nothing here
imports an I/O library, a clock or a source of randomness; time and entropy come in as arguments.
"""

from .address import Address
from .connection import Connection
from .drives import OpenDrive
from .errors import (
    LocalProtocolError,
    MessageTooLarge,
    PeerGone,
    PeersocketsError,
    PeerUnreachable,
    Refused,
    RemoteProtocolError,
    RequestError,
    TraceError,
    UnexpectedKey,
    UnknownPeer,
)
from .events import (
    ConnectionClosed,
    DriveClosed,
    DriveOpened,
    Event,
    HandshakeCompleted,
    MessagesReceived,
    WireName,
)
from .extensions import ExtensionNames
from .handles import (
    Message,
    Overflow,
    TopicHandle,
    TopicStatistics,
)
from .keys import DriveKey, Entropy, KeyPair, parse_public_key
from .limits import DEFAULT_LIMITS, Limits
from .members import Driver
from .memory import MemoryBudget
from .peersockets import Peersockets
from .requests import Request, RequestBook, RequestStatistics
from .secret import Secret
from .statistics import MachineStatistics
from .topics import TopicScope
from .watches import PeerEvent, PeerJoined, PeerLeft, Watch
from .wires import WIRES, Sender

__all__ = [
    "DEFAULT_LIMITS",
    "WIRES",
    "Address",
    "Connection",
    "ConnectionClosed",
    "DriveClosed",
    "DriveKey",
    "DriveOpened",
    "Driver",
    "Entropy",
    "Event",
    "ExtensionNames",
    "HandshakeCompleted",
    "KeyPair",
    "Limits",
    "LocalProtocolError",
    "MachineStatistics",
    "MemoryBudget",
    "Message",
    "MessageTooLarge",
    "MessagesReceived",
    "OpenDrive",
    "Overflow",
    "PeerEvent",
    "PeerGone",
    "PeerJoined",
    "PeerLeft",
    "PeerUnreachable",
    "Peersockets",
    "PeersocketsError",
    "Refused",
    "RemoteProtocolError",
    "Request",
    "RequestBook",
    "RequestError",
    "RequestStatistics",
    "Secret",
    "Sender",
    "TopicHandle",
    "TopicScope",
    "TopicStatistics",
    "TraceError",
    "UnexpectedKey",
    "UnknownPeer",
    "Watch",
    "WireName",
    "parse_public_key",
]
