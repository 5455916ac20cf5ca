"""Topic messages between the peers of a Hyperdrive, for Trio.

Start with `open_node`. The modules of this folder define the objects that an application holds: `node`,
`drive`, `topic`, `watch`, `requests`, `reconnect` and `swarm`, with `instruments` (callbacks while they
work). The rooms:

    runtime/        the machinery below: connection tasks, deadlines, scheduling, flushing, transports
    udp/            UDP sockets, and the UDX streams that share them
    browser/        the web gateway that gives pages `beaker.peersockets`
    cli/            the commands
    testing/        help for the tests of programs that use this package

The protocol itself is in `peersockets_core`. `tests/test_layers.py` states which module may import which.
"""

from typing import TYPE_CHECKING

try:
    import trio as _trio  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "trio":
        raise
    raise ImportError("peersockets_trio needs Trio: pip install 'peersockets[trio]'") from None

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
    RequestError,
    TopicStatistics,
    UnexpectedKey,
    UnknownPeer,
    WireName,
    parse_wire,
)
from peersockets_core import __version__ as __version__
from peersockets_core.info import ConnectionInfo, NodeStatistics, PeerInfo

from .drive import Drive
from .instruments import Instrument
from .node import Listener, Node, open_node
from .reconnect import Backoff, Connected, Disconnected, KeptConnection, KeptConnectionEvent
from .runtime.bootstrap import PUBLIC_BOOTSTRAP
from .topic import Topic
from .watch import PeerEvents

if TYPE_CHECKING:
    from peersockets_core import Request, RequestStatistics

    from .swarm import Discovery, Swarm, SwarmStatistics
else:  # a type checker would take every name for one of this module

    def __getattr__(name: str) -> object:
        # UDX and HyperDHT take as long to import as all the rest, and not every program opens a swarm.
        if name in {"Discovery", "Swarm", "SwarmStatistics"}:
            from . import swarm

            return getattr(swarm, name)
        if name in {"Request", "RequestStatistics"}:
            import peersockets_core

            return getattr(peersockets_core, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
    "WireName",
    "open_node",
    "parse_wire",
]
