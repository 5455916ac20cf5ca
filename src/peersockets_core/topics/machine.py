"""`Peersockets`: drives, members, peer ids, topics and watches over many connections.

It knows nothing of wires: connections' events go in with `receive_events`, and commands come out as
calls on the `Connection` they concern and on the `Host`, which moves bytes and wakes tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeAlias

from ..connection import Connection
from ..errors import LocalProtocolError, RemoteProtocolError
from ..events import (
    ConnectionClosed,
    DriveClosed,
    DriveOpened,
    Event,
    HandshakeCompleted,
    MessagesReceived,
    WireName,
)
from ..keys import DriveKey, Entropy, KeyPair
from ..lateness import LATENESS
from ..limits import DEFAULT_LIMITS, Limits
from ..owners import C, H
from ..wires.extensions import ExtensionNames
from ..wires.keys import Keys
from . import naming as topics
from .drives import OpenDrive, Topic
from .handles import Overflow, TopicHandle, check_overflow, check_peer_id
from .listeners import Listeners
from .members import Host, Link, Peer
from .membership import Memberships
from .registry import Registry
from .statistics import NOTHING, MachineStatistics, total
from .watches import Watch

_Handler: TypeAlias = Callable[["Peersockets[Any, Any]", Connection[Any], Any, float], None]


class Peersockets(Generic[C, H]):
    """The bookkeeping of one node."""

    def __init__(self, host: Host[C, H], limits: Limits = DEFAULT_LIMITS) -> None:
        self.extensions = ExtensionNames()
        """The node's stream extensions, which every `Connection` of the node shares."""
        self._host = host
        self._limits = limits
        self._reads = 0
        self._closed_topics = NOTHING  # the counters of handles that have been closed
        # For the modules beside this one, and for tests:
        self.registry: Registry[C, H] = Registry(self.extensions, limits)
        self.memberships = Memberships(host, limits, self.registry)
        self.listeners: Listeners[C, H] = Listeners(self.extensions)

    # Connections: events in

    def make_connection(
        self,
        *,
        wire: WireName | None = None,
        initiator: bool,
        key_pair: KeyPair,
        entropy: Entropy,
        now: float,
        expect: bytes | None = None,
        hold: bool = False,
        keys: Keys | None = None,
        owner: C | None = None,
    ) -> Connection[C]:
        """Begin a connection of this node and take care of it, with the node's extensions and limits.

        The arguments are those of `Connection`; `owner` is what the host finds as the connection's `owner`.
        Raises `ValueError` as `Connection` does, and `LocalProtocolError` as `add_connection` does.
        """
        connection: Connection[C] = Connection(
            wire=wire,
            initiator=initiator,
            key_pair=key_pair,
            entropy=entropy,
            now=now,
            limits=self._limits,
            extensions=self.extensions,
            expect=expect,
            hold=hold,
            keys=keys,
        )
        if owner is not None:
            connection.owner = owner
        self.add_connection(connection)
        return connection

    def add_connection(self, connection: Connection[C]) -> None:
        """Take care of a new connection, before anything has come in on it.

        For a connection that was not made by `make_connection`. Raises `LocalProtocolError` for one without
        this machine's `extensions` or limits, one of another identity than the node's other connections, one
        that has finished its handshake or is closed, and one that is here already: in silence, messages would
        be lost.
        """
        self.registry.add(connection)
        for drive in self.memberships.drives.values():
            connection.open_drive(drive.key)

    def receive_events(self, connection: Connection[C], events: list[Event], now: float) -> None:
        """Take what a method of a connection returned: all of its events, in order, also if there are none.

        What the connection keeps is counted then, and who gives way if all of them keep too much is dropped.
        And what comes without an event matters while duplicates are folded.

        Raises `LocalProtocolError` for a connection that was not added, or was removed, and for events that
        others should have preceded: `HandshakeCompleted` comes first, and not before the remote is admitted.
        """
        self.registry.check_order(connection, events)
        self._reads += 1
        for event in events:
            _HANDLERS[type(event)](self, connection, event, now)
        folding = self.memberships.folding
        if folding:
            link = self.registry.links.get(connection)
            if link is not None and link.peer in folding:
                self.memberships.fold(link.peer, now)
        for other in self.registry.charge(connection):
            text = f"gave way: remotes may make us keep {self._limits.kept} bytes together"
            self._host.drop(other, RemoteProtocolError(text))

    def remove_connection(
        self,
        connection: Connection[C],
        now: float,
        *,
        reason: str | None = None,
        unsent: int | None = None,
    ) -> None:
        """A connection has ended, and is closed if it was not.

        The `PeerLeft` of its peer says why (by default the error of the connection, if there is one), and how
        many accepted bytes did not leave (by default those that were never handed over to be sent).
        """
        connection.close()
        reason = str(connection.error or "") if reason is None else reason
        unsent = connection.outbox.message_size if unsent is None else unsent
        link = self.registry.remove(connection)
        if link is None:
            self.memberships.settle(connection)
            return
        for handle in link.blockers:
            handle.forget(link)
        link.held_back.clear()
        self.memberships.remove_link(link, now, reason, unsent)

    def end_sending(self, connection: Connection[C]) -> None:
        """Send no more on a connection that is ending, though what it has queued may still leave.

        What is accepted from now on waits for another connection, or for `remove_connection`, so that it
        overtakes nothing.
        """
        link = self.registry.links.get(connection)
        if link is not None:
            link.retired = True
            self.memberships.reroute_all(link.peer)

    def connection_to(self, wire: WireName, public_key: bytes) -> Connection[C] | None:
        """Return the connection to a key, the one that stays where there are several."""
        peer = self.memberships.peers.get(wire, public_key)
        links = [link for link in peer.links if not link.retired] if peer is not None else []
        return links[-1].connection if links else None

    @property
    def connections(self) -> int:
        """How many connections there are, those within a handshake included."""
        return len(self.registry.connections)

    def oldest_stranger(self) -> Connection[C] | None:
        """The connection to close first when places for connections run short; None if there is none.

        It is the oldest of those that share no drive with us and that the remote has dialled: whoever knows
        no drive key keeps nobody out who does.
        """
        return self.registry.oldest_stranger()

    def may_read(self, connection: Connection[C]) -> bool:
        """Whether no full handle holds the connection up."""
        link = self.registry.links.get(connection)
        return link is None or not link.blockers

    def is_member(self, connection: Connection[C]) -> bool:
        """Whether the connection carries a drive: the remote has proved that it knows the key."""
        return not self.registry.is_stranger(connection)

    def next_deadline(self) -> float:
        """When to call `handle_deadline`, at the latest; infinity for never."""
        return self.memberships.next_deadline()

    def handle_deadline(self, now: float) -> None:
        """Let go of members whose connection was not replaced, and of duplicates not ended, in time.

        Call it when everything that has arrived has been read. Remotes have their full time once more if the
        call comes much later than it was due.
        """
        if now - self.next_deadline() > LATENESS:
            self.memberships.postpone(now)
        else:
            self.memberships.handle_deadline(now)

    # Drives, topics, watches: the application's commands

    def open_drive(self, key: DriveKey) -> OpenDrive[C, H]:
        """Open a drive, or open it once more."""
        drives = self.memberships.drives
        drive = drives.get(key.discovery_key)
        if drive is None:
            drive = drives[key.discovery_key] = OpenDrive(key)
            for connection in self.registry.open_connections():
                connection.open_drive(key)
        drive.users += 1
        return drive

    def close_drive(self, drive: OpenDrive[C, H]) -> None:
        """Close a drive as often as it was opened; the last time, for all remotes.

        Topic handles and watches that are still open then are closed, too. Raises `LocalProtocolError` if the
        drive is not open here.
        """
        self._check_drive(drive)
        drive.users -= 1
        if drive.users:
            return
        for topic in list(drive.topics.values()):
            for handle in tuple(topic.handles):
                handle.close()
        for watch in list(drive.watches):
            watch.close()
        self.memberships.end_drive(drive)
        for link in self.registry.links.values():
            self.registry.unshare(link, drive.key.discovery_key)
        for connection in self.registry.open_connections():
            connection.close_drive(drive.key.discovery_key)

    def join(
        self,
        drive: OpenDrive[C, H],
        topic: str,
        *,
        scope: topics.TopicScope = "drive",
        overflow: Overflow = "wait",
        owner: H | None = None,
    ) -> TopicHandle[C, H]:
        """Join a topic of an open drive.

        Raises `TypeError` or `ValueError` for a bad argument, and `LocalProtocolError` if the drive is not
        open here.
        """
        self._check_drive(drive)
        topics.check_topic(topic)
        check_overflow(overflow)
        joined = drive.topics.get((topic, scope))
        if joined is None:
            addresses = topics.addresses(drive.key.discovery_key, topic, scope)
            joined = Topic(self, drive, topic, scope, addresses, self._limits)
            drive.topics[topic, scope] = joined
            self.listeners.add(joined)
        handle = TopicHandle(joined, overflow, owner)
        joined.handles[handle] = None
        return handle

    def watch(self, drive: OpenDrive[C, H], owner: H | None = None) -> Watch[H]:
        """Watch an open drive's members, beginning with those present.

        Raises `LocalProtocolError` if the drive is not open here.
        """
        self._check_drive(drive)
        present = [member.joined for member in drive.members.values()]
        watch = Watch(drive.watches, present, self._limits.watch_events, owner)
        drive.watches.append(watch)
        return watch

    def peer(self, peer_id: int) -> Peer[C, H]:
        """Return a peer that has been met and was not forgotten. Raises `UnknownPeer`."""
        check_peer_id(peer_id)
        return self.memberships.peers.by_id(peer_id)

    def drives_of(self, peer_id: int) -> list[DriveKey]:
        """Return the keys of the drives of which a peer is a member."""
        return [drive.key for drive in self.memberships.drives.values() if peer_id in drive.members]

    def statistics(self) -> MachineStatistics:
        """The counters now."""
        drives = self.memberships.drives.values()
        handles = [handle for drive in drives for topic in drive.topics.values() for handle in topic.handles]
        return MachineStatistics(
            drives=len(drives),
            members=sum(len(drive.members) for drive in drives),
            peer_ids=self.memberships.peers.identified,
            topics=total([self._closed_topics, *(handle.statistics() for handle in handles)]),
        )

    # What topics ask

    def count_closed(self, handle: TopicHandle[C, H]) -> None:
        """Keep the counters of a handle that has been closed."""
        self._closed_topics = total([self._closed_topics, handle.statistics()])

    def meet(self, peer: Peer[C, H]) -> int | None:
        """Return a peer's id, which it gets when first met; None if there are too many, and it has to go."""
        return self.memberships.meet(peer)

    def links_of(self, topic: Topic[C, H]) -> list[Link[C, H]]:
        """The connections on which messages for a topic may come."""
        return self.registry.links_of(topic)

    def link_to(self, peer_id: int, topic: Topic[C, H]) -> Link[C, H] | None:
        """The connection that carries a topic to a peer, or None while it is being replaced."""
        check_peer_id(peer_id)
        return self.memberships.link_to(peer_id, topic)

    def forget_topic(self, topic: Topic[C, H]) -> None:
        """The last handle of a topic has been closed."""
        del topic.drive.topics[topic.name, topic.scope]
        self.listeners.remove(topic)

    # Handlers of events

    def _handshake_completed(self, connection: Connection[C], event: HandshakeCompleted, now: float) -> None:
        peer = self.memberships.peers.arrive(event.wire, event.remote_public_key)
        link = Link(connection, peer, self._host)
        self.registry.link(connection, link)
        self.memberships.add_link(link, now)

    def _drive_opened(self, connection: Connection[C], event: DriveOpened, now: float) -> None:
        self.memberships.drive_opened(self.registry.links[connection], event.discovery_key, now)

    def _drive_closed(self, connection: Connection[C], event: DriveClosed, now: float) -> None:
        self.memberships.drive_closed(self.registry.links[connection], event.discovery_key, now)

    def _messages_received(self, connection: Connection[C], event: MessagesReceived, now: float) -> None:
        link = self.registry.links[connection]
        for topic in self.listeners.by_address.get((event.discovery_key, event.name), ()):
            topic.deliver(link, event.payloads, self._host, self._reads)

    def _connection_closed(self, connection: Connection[C], event: ConnectionClosed, now: float) -> None:
        self.end_sending(connection)

    def _check_drive(self, drive: OpenDrive[C, H]) -> None:
        if self.memberships.drives.get(drive.key.discovery_key) is not drive:
            raise LocalProtocolError("the drive is not open on this machine")


_HANDLERS: dict[type[Event], _Handler] = {
    HandshakeCompleted: Peersockets._handshake_completed,
    DriveOpened: Peersockets._drive_opened,
    DriveClosed: Peersockets._drive_closed,
    MessagesReceived: Peersockets._messages_received,
    ConnectionClosed: Peersockets._connection_closed,
}
