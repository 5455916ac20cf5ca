"""Topic messages between the peers of a Hyperdrive: the protocol, without I/O.

The rooms, from bytes to applications. `tests/test_layers.py` states which of them may import which:

    crypto/         Noise, and the ciphers of libsodium
    wires/          the wires hypercore9/ (hyperdrive 10) and hypercore11/ (hyperdrive 11 to 13)
    connection      one stream: handshake, deadlines, the conversion of errors
    topics/         the machine above many connections: drives, members, topics, watches, requests
    trace/          recorded sessions of one connection: read, write, replay, decrypt
    udx/            reliable streams over UDP
    dht/            HyperDHT: finding, announcing and dialling keys
    swarm/          drives and topics kept announced and looked up; whom to dial, and when

The modules beside them are the vocabulary that all rooms share: `address`, `bounds`, `buffer`, `errors`,
`events`, `info`, `keys`, `lateness`, `limits`, `memory`, `outbox`, `owners`, `secret`, `transitions` and
`work`; and `checks`, for arguments. Nothing here imports an I/O library, a clock or a source of randomness;
time and entropy come in as arguments.
"""

__version__ = "0.1.0"

from typing import TYPE_CHECKING

from .address import Address
from .connection import Connection
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
from .keys import DriveKey, Entropy, KeyPair, parse_public_key
from .limits import DEFAULT_LIMITS, Limits
from .memory import MemoryBudget
from .secret import Secret
from .wires.extensions import ExtensionNames
from .wires.table import WIRES, parse_wire
from .wires.wire import Sender

if TYPE_CHECKING:
    from .topics.drives import OpenDrive
    from .topics.handles import Message, Overflow, TopicHandle, TopicStatistics
    from .topics.machine import Peersockets
    from .topics.members import Host
    from .topics.naming import TopicScope
    from .topics.requests import Request, RequestBook, RequestStatistics
    from .topics.statistics import MachineStatistics
    from .topics.watches import PeerEvent, PeerJoined, PeerLeft, Watch
else:  # a type checker would take every name for one of this module
    from importlib import import_module

    # An import loads as little as it can: not every program has topics or asks requests, and `wires.table`
    # loads wires late.
    _LATE = {
        "Host": "topics.members",
        "MachineStatistics": "topics.statistics",
        "Message": "topics.handles",
        "OpenDrive": "topics.drives",
        "Overflow": "topics.handles",
        "PeerEvent": "topics.watches",
        "PeerJoined": "topics.watches",
        "PeerLeft": "topics.watches",
        "Peersockets": "topics.machine",
        "Request": "topics.requests",
        "RequestBook": "topics.requests",
        "RequestStatistics": "topics.requests",
        "TopicHandle": "topics.handles",
        "TopicScope": "topics.naming",
        "TopicStatistics": "topics.handles",
        "Watch": "topics.watches",
    }

    def __getattr__(name: str) -> object:
        if name not in _LATE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f".{_LATE[name]}", __name__), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "DEFAULT_LIMITS",
    "WIRES",
    "Address",
    "Connection",
    "ConnectionClosed",
    "DriveClosed",
    "DriveKey",
    "DriveOpened",
    "Entropy",
    "Event",
    "ExtensionNames",
    "HandshakeCompleted",
    "Host",
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
    "parse_wire",
]
