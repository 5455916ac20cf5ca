"""The insides of nodes, swarms and topics, for the tests of this package.

They give access to parts that programs do not see: tasks, transports, the state of the machine. Nothing here
is part of the public interface, and it changes with the code.
"""

from __future__ import annotations

from ..node import Node
from ..node import runtime_of as node_runtime
from ..runtime.connection_task import ConnectionTask
from ..swarm import runtime_of as swarm_runtime
from ..topic import handle_of as topic_handle

__all__ = ["connection_tasks", "node_runtime", "swarm_runtime", "topic_handle"]


def connection_tasks(node: Node) -> list[ConnectionTask]:
    """Return the tasks of a node's connections, including those within a handshake."""
    return list(node_runtime(node).tasks)
