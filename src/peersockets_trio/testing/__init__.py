"""Support for the tests of programs that use peersockets: nodes without sockets, and faults of every kind.

`nodes` connects nodes in memory, so that a test can run under `trio.testing.MockClock`, in which hours pass
in milliseconds. `chaos` is a stream that is slow, fragmented, or breaks where a test wants it to.
`cancellation` cancels an operation at each of its checkpoints in turn. `peersockets_trio` itself imports
none of these. `internals` shows the insides of nodes to the tests of this package only.
"""

from .cancellation import cancelled_at, cancelled_at_every_step
from .chaos import ChaosStream, Cut, Fault
from .nodes import (
    Connect,
    NodePair,
    NodeSide,
    StreamPair,
    connect_nodes,
    join_side,
    open_node_pair,
    wait_for_members,
)

__all__ = [
    "ChaosStream",
    "Connect",
    "Cut",
    "Fault",
    "NodePair",
    "NodeSide",
    "StreamPair",
    "cancelled_at",
    "cancelled_at_every_step",
    "connect_nodes",
    "join_side",
    "open_node_pair",
    "wait_for_members",
]
