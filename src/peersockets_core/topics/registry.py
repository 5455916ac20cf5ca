"""`Registry`: the connections of one node, their progress, and the memory that each makes us keep."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic

from ..connection import Connection
from ..errors import LocalProtocolError
from ..events import DriveClosed, DriveOpened, Event, MessagesReceived
from ..limits import Limits
from ..memory import MemoryBudget
from ..owners import C, H
from ..wires.extensions import ExtensionNames
from .drives import OpenTopic
from .members import Link


class Registry(Generic[C, H]):
    """All connections of a node, and among them those with a finished handshake and those of strangers."""

    def __init__(self, extensions: ExtensionNames, limits: Limits) -> None:
        self.connections: dict[Connection[C], None] = {}  # a set in the order of arrival
        self.links: dict[Connection[C], Link[C, H]] = {}
        """The links of the connections whose handshake is finished."""
        self.memory: MemoryBudget[Connection[C]] = MemoryBudget(limits.kept)
        self._extensions = extensions
        self._limits = limits
        self._handshakes: dict[Connection[C], None] = {}  # unfinished ones that remotes have dialled
        # The connections that remotes have dialled and that carry no drive, oldest first.
        self._strangers: OrderedDict[Connection[C], None] = OrderedDict()

    def oldest_stranger(self) -> Connection[C] | None:
        """Return the oldest connection that a remote has dialled and that carries no drive, or None."""
        return next(iter(self._strangers), None)

    def open_connections(self) -> list[Connection[C]]:
        """Return the connections that have not ended."""
        return [connection for connection in self.connections if not connection.closed]

    def add(self, connection: Connection[C]) -> None:
        """Add a new connection. Raises `LocalProtocolError` if it does not belong to this node."""
        self._check_new(connection)
        self.connections[connection] = None
        self._estrange(connection)
        if not connection.initiator:
            self._handshakes[connection] = None

    def link(self, connection: Connection[C], link: Link[C, H]) -> None:
        """Note that a connection's handshake is finished."""
        self.links[connection] = link
        self._handshakes.pop(connection, None)

    def remove(self, connection: Connection[C]) -> Link[C, H] | None:
        """Remove a connection; returns its link, if its handshake was finished."""
        self.connections.pop(connection, None)
        self.memory.release(connection)
        self._strangers.pop(connection, None)
        self._handshakes.pop(connection, None)
        return self.links.pop(connection, None)

    def share(self, link: Link[C, H], discovery_key: bytes) -> None:
        """Note that a drive is open on both sides of a link."""
        link.drives.add(discovery_key)
        self._strangers.pop(link.connection, None)

    def unshare(self, link: Link[C, H], discovery_key: bytes) -> None:
        """Note that a drive is no longer open on both sides of a link."""
        if discovery_key in link.drives:
            link.drives.remove(discovery_key)
            if not link.drives:
                self._estrange(link.connection)

    def is_stranger(self, connection: Connection[C]) -> bool:
        """Return whether a connection carries no drive."""
        link = self.links.get(connection)
        return link is None or not link.drives

    def links_of(self, topic: OpenTopic[C, H]) -> list[Link[C, H]]:
        """Return the links on which messages for a topic may arrive."""
        if topic.scope == "network":
            return list(self.links.values())
        return [link for link in self.links.values() if topic.drive.key.discovery_key in link.drives]

    def successors(self, link: Link[C, H]) -> set[Connection[C]]:
        """Return the connections that may turn out to belong to a link's peer and to replace the link.

        A remote that dialled twice ends the older connection as soon as it has finished the newer one's
        handshake (hyperswarm 2.15.3). The last message of that handshake may still be on its way to us. A
        connection on which the remote has not got our answer yet, or on another wire, cannot be the newer
        one.
        """
        if link.connection.initiator or link.connection in self.links:
            return set()
        wire = link.peer.wire
        return {other for other in self._handshakes if other.is_proving and other.wire == wire}

    def kept(self, connection: Connection[C]) -> int:
        """Return how many bytes of memory a connection makes us keep."""
        link = self.links.get(connection)
        return connection.kept + (link.held_size if link is not None else 0)

    def charge(self, connection: Connection[C]) -> list[Connection[C]]:
        """Note the memory that a connection keeps now; returns the connections that must give way, if all
        keep too much.
        """
        if not self.memory.charge(connection, self.kept(connection)):
            return []
        return self.memory.give_way(self.kept, self.is_stranger)

    def check_order(self, connection: Connection[C], events: list[Event]) -> None:
        """Raise `LocalProtocolError` for events in the wrong order, or of an unknown connection."""
        if connection not in self.connections:
            raise LocalProtocolError("the connection was not added to this machine, or was removed")
        if connection.on_hold and events:
            raise LocalProtocolError(
                "the remote is on hold: give its events to the machine once it is admitted"
            )
        first = events[0] if events else None
        if connection not in self.links and isinstance(first, (DriveOpened, DriveClosed, MessagesReceived)):
            raise LocalProtocolError("the connection's `HandshakeCompleted` has to come first")

    def _check_new(self, connection: Connection[C]) -> None:
        other = next(iter(self.connections), connection)
        for wrong, text in (
            (connection in self.connections, "was already added"),
            (connection.closed, "is closed"),
            (connection.remote_public_key is not None, "has finished its handshake before it was added"),
            (connection.extensions is not self._extensions, "was made without this machine's `extensions`"),
            (connection.limits != self._limits, "was made with `limits` that are not this machine's"),
            (
                connection.key_pair != other.key_pair,
                "has a different key pair than this node's other connections",
            ),
        ):
            if wrong:
                raise LocalProtocolError(f"the connection {text}")

    def _estrange(self, connection: Connection[C]) -> None:
        if not connection.initiator:
            self._strangers[connection] = None
