"""`Peersockets`: manages drives, members, peer ids, topics and watches over many connections.

It knows nothing about wires. The program passes the events of connections to `receive_events`. The machine
calls the `Connection` that a command concerns, and the `Host`, which moves bytes and wakes tasks.
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
from .drives import OpenDrive, OpenTopic
from .handles import Overflow, TopicHandle, check_overflow, check_peer_id
from .listeners import Listeners
from .members import Host, KnownPeer, Link
from .membership import Memberships
from .registry import Registry
from .statistics import NOTHING, MachineStatistics, total
from .watches import Watch

_Handler: TypeAlias = Callable[["Peersockets[Any, Any]", Connection[Any], Any, float], None]


class Peersockets(Generic[C, H]):
    """The state of one node: its connections, drives, members, peer ids, topics and watches.

    Make one for each identity, with a `Host` that it calls when something has to be sent or read. Put streams
    in with `make_connection`, and their events with `receive_events`; open drives with `open_drive`; join
    topics with `join`, and watch members with `watch`.
    """

    def __init__(self, host: Host[C, H], limits: Limits = DEFAULT_LIMITS) -> None:
        self.extensions = ExtensionNames()
        """The node's stream extensions, which all its connections share."""
        self._host = host
        self._limits = limits
        self._reads = 0
        self._closed_topics = NOTHING  # the counters of closed handles
        # For the modules beside this one, and for tests:
        self.registry: Registry[C, H] = Registry(self.extensions, limits)
        self.memberships = Memberships(host, limits, self.registry)
        self.listeners: Listeners[C, H] = Listeners(self.extensions)

    def __repr__(self) -> str:
        connections = len(self.registry.open_connections())
        return f"<Peersockets {connections} connections, {len(self.memberships.drives)} drives>"

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
        """Make a connection with the node's extensions and limits, and add it.

        The arguments are those of `Connection`; `owner` becomes the connection's `owner`. Raises
        `ValueError` as `Connection` does, and `LocalProtocolError` as `add_connection` does.
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
        """Add a new connection, before it has received anything.

        This is for connections that `make_connection` did not make. Raises `LocalProtocolError` if the
        connection does not have this machine's `extensions` and limits, has a different identity than the
        node's other connections, has finished its handshake, is closed, or was already added. Without these
        checks, messages would be lost silently.
        """
        self.registry.add(connection)
        for drive in self.memberships.drives.values():
            connection.open_drive(drive.key)

    def receive_events(self, connection: Connection[C], events: list[Event], now: float) -> None:
        """Take in all events that a method of a connection has returned, in order, even if there are none.

        This also counts the memory that the connection keeps, and drops connections if all of them keep too
        much. While duplicates are folded, input without an event matters, too.

        Raises `LocalProtocolError` for a connection that was not added or was removed, and for events in the
        wrong order: `HandshakeCompleted` comes first, and not before the remote is admitted.
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
        """Remove a connection that has ended, and close it if it is not closed.

        The `PeerLeft` event of its peer has the `reason` (by default the error of the connection, if there is
        one) and the number of `unsent` bytes (by default those that the connection never returned for
        sending). If the transport knows more, pass `connection.outbox.message_size` plus the bytes that
        `data_to_send` returned and that the transport did not take.
        """
        connection.close()
        reason = str(connection.error or "") if reason is None else reason
        unsent = connection.outbox.message_size if unsent is None else unsent
        link = self.registry.remove(connection)
        if link is None:
            self.memberships.stop_awaiting(connection)
            return
        for handle in link.blockers:
            handle.forget(link)
        link.held_back.clear()
        self.memberships.remove_link(link, now, reason, unsent)

    def end_sending(self, connection: Connection[C]) -> None:
        """Send no more messages on a connection that is ending, although its queued output may still leave.

        Messages that are accepted from now on wait for another connection, or for `remove_connection`,
        so that they overtake nothing.
        """
        link = self.registry.links.get(connection)
        if link is not None:
            link.retired = True
            self.memberships.reroute_all(link.peer)

    def connection_to(self, wire: WireName, public_key: bytes) -> Connection[C] | None:
        """Return the connection to a key; if there are several, the one that stays."""
        peer = self.memberships.peers.get(wire, public_key)
        links = [link for link in peer.links if not link.retired] if peer is not None else []
        return links[-1].connection if links else None

    @property
    def connections(self) -> int:
        """The number of connections, including those within a handshake."""
        return len(self.registry.connections)

    def oldest_stranger(self) -> Connection[C] | None:
        """Return the connection to close first when there are too many; None if there is none.

        It is the oldest connection that a remote has dialled and that carries no drive. Remotes that know
        no drive key therefore cannot keep out those that do.
        """
        return self.registry.oldest_stranger()

    def may_read(self, connection: Connection[C]) -> bool:
        """Return whether no full handle holds up the connection."""
        link = self.registry.links.get(connection)
        return link is None or not link.blockers

    def is_member(self, connection: Connection[C]) -> bool:
        """Return whether the connection carries a drive, whose key the remote has proved to know."""
        return not self.registry.is_stranger(connection)

    def next_deadline(self) -> float:
        """Return the latest time at which to call `handle_deadline`; infinity for never."""
        return self.memberships.next_deadline()

    def handle_deadline(self, now: float) -> None:
        """Remove members whose connection was not replaced in time, and duplicates that were not ended in
        time.

        Call it after everything that has arrived was read. If the call comes much later than it was due,
        remotes get their full time once more.
        """
        if now - self.next_deadline() > LATENESS:
            self.memberships.postpone(now)
        else:
            self.memberships.handle_deadline(now)

    # Drives, topics, watches: the application's commands

    def open_drive(self, key: DriveKey) -> OpenDrive[C, H]:
        """Open a drive, or count one more user of an open one."""
        drives = self.memberships.drives
        drive = drives.get(key.discovery_key)
        if drive is None:
            drive = drives[key.discovery_key] = OpenDrive(key)
            for connection in self.registry.open_connections():
                connection.open_drive(key)
        drive.users += 1
        return drive

    def close_drive(self, drive: OpenDrive[C, H]) -> None:
        """Undo one `open_drive`. The last call closes the drive on all connections.

        It also closes the remaining topic handles and watches. Raises `LocalProtocolError` if the drive is
        not open here.
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
            joined = OpenTopic(self, drive, topic, scope, addresses, self._limits)
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

    def peer(self, peer_id: int) -> KnownPeer[C, H]:
        """Return the peer with an id. Raises `UnknownPeer` if the id was never given, or its peer was
        forgotten.
        """
        check_peer_id(peer_id)
        return self.memberships.peers.by_id(peer_id)

    def drives_of(self, peer_id: int) -> list[DriveKey]:
        """Return the keys of the drives of which a peer is a member."""
        return [drive.key for drive in self.memberships.drives.values() if peer_id in drive.members]

    def statistics(self) -> MachineStatistics:
        """Return the current counters."""
        drives = self.memberships.drives.values()
        handles = [handle for drive in drives for topic in drive.topics.values() for handle in topic.handles]
        return MachineStatistics(
            drives=len(drives),
            members=sum(len(drive.members) for drive in drives),
            peer_ids=self.memberships.peers.identified,
            topics=total([self._closed_topics, *(handle.statistics() for handle in handles)]),
        )

    # The interface for topics

    def count_closed(self, handle: TopicHandle[C, H]) -> None:
        """Keep the counters of a closed handle."""
        self._closed_topics = total([self._closed_topics, handle.statistics()])

    def meet(self, peer: KnownPeer[C, H]) -> int | None:
        """Return a peer's id, and give it one when it is first met. Returns None, and drops the peer, if
        there are too many.
        """
        return self.memberships.meet(peer)

    def links_of(self, topic: OpenTopic[C, H]) -> list[Link[C, H]]:
        """Return the connections on which messages for a topic may arrive."""
        return self.registry.links_of(topic)

    def link_to(self, peer_id: int, topic: OpenTopic[C, H]) -> Link[C, H] | None:
        """Return the connection that carries a topic to a peer, or None while it is being replaced."""
        check_peer_id(peer_id)
        return self.memberships.link_to(peer_id, topic)

    def forget_topic(self, topic: OpenTopic[C, H]) -> None:
        """Remove a topic whose last handle was closed."""
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
