"""`Peersockets`: drives, members, peer ids, topics and watches over many connections.

It knows nothing of wires: connections' events go in with `receive_events`, and commands come out as
calls on the `Connection` they concern and on the `Host`, which moves bytes and wakes tasks.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeAlias

from ..connection import Connection
from ..errors import LocalProtocolError, PeerGone, RemoteProtocolError
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
from ..memory import MemoryBudget
from ..owners import C, H
from ..wires.extensions import ExtensionNames
from ..wires.keys import Keys
from . import naming as topics
from .drives import OpenDrive, Topic
from .folding import Folding
from .handles import Overflow, TopicHandle, check_overflow, check_peer_id
from .members import Host, Link, Member, Peer
from .peers import Peers
from .statistics import NOTHING, MachineStatistics, total
from .watches import PeerJoined, PeerLeft, Watch

_Handler: TypeAlias = Callable[["Peersockets[Any, Any]", Connection[Any], Any, float], None]


class Peersockets(Generic[C, H]):
    """The bookkeeping of one node."""

    def __init__(self, host: Host[C, H], limits: Limits = DEFAULT_LIMITS) -> None:
        self.extensions = ExtensionNames()
        """The node's stream extensions, which every `Connection` of the node shares."""
        self._host = host
        self._limits = limits
        self._drives: dict[bytes, OpenDrive[C, H]] = {}
        self._connections: dict[Connection[C], None] = {}  # a set in the order of arrival
        self._links: dict[Connection[C], Link[C, H]] = {}  # of the connections whose handshake is finished
        self._handshakes: dict[Connection[C], None] = {}  # those that remotes have dialled and not finished
        # Of the connections that remotes have dialled, those that share no drive with us, the oldest first.
        self._strangers: OrderedDict[Connection[C], None] = OrderedDict()
        self._peers: Peers[C, H] = Peers(limits.peer_ids)
        self._closed_topics = NOTHING  # the counters of handles that have been closed
        self._listeners: dict[topics.Address, list[Topic[C, H]]] = {}
        self._reads = 0
        self._memory: MemoryBudget[Connection[C]] = MemoryBudget(limits.kept)
        self._replacing: set[tuple[OpenDrive[C, H], Member[C, H]]] = set()
        self._folding = Folding(host, limits)

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
        self._check_new(connection)
        self._connections[connection] = None
        self._estrange(connection)
        if not connection.initiator:
            self._handshakes[connection] = None
        for drive in self._drives.values():
            connection.open_drive(drive.key)

    def receive_events(self, connection: Connection[C], events: list[Event], now: float) -> None:
        """Take what a method of a connection returned: all of its events, in order, also if there are none.

        What the connection keeps is counted then, and who gives way if all of them keep too much is dropped.
        And what comes without an event matters while duplicates are folded.

        Raises `LocalProtocolError` for a connection that was not added, or was removed, and for events that
        others should have preceded: `HandshakeCompleted` comes first, and not before the remote is admitted.
        """
        self._check_order(connection, events)
        self._reads += 1
        for event in events:
            _HANDLERS[type(event)](self, connection, event, now)
        if self._folding:
            link = self._links.get(connection)
            if link is not None and link.peer in self._folding:
                self._fold(link.peer, now)
        if self._memory.charge(connection, self._kept(connection)):
            self._make_room()

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
        self._connections.pop(connection, None)
        self._memory.release(connection)
        self._strangers.pop(connection, None)
        self._handshakes.pop(connection, None)
        link = self._links.pop(connection, None)
        if link is None:
            self._settle(connection)
            return
        self._folding.remove(link)
        for handle in link.blockers:
            handle.forget(link)
        link.held_back.clear()
        for drive in self._drives.values():
            self._forget_routes(drive, link.peer)
            if drive.key.discovery_key in link.drives:
                self._lose(drive, link, now, reason, unsent)
                continue
            member = drive.members.get(link.peer.id or 0)
            if member is not None and not self._reroute(drive, member) and not link.peer.links:
                self._leave(drive, member)
        link.drives.clear()
        self._host.rerouted()
        self._part(link.peer)

    def end_sending(self, connection: Connection[C]) -> None:
        """Send no more on a connection that is ending, though what it has queued may still leave.

        What is accepted from now on waits for another connection, or for `remove_connection`, so that it
        overtakes nothing.
        """
        link = self._links.get(connection)
        if link is not None:
            link.retired = True
            self._reroute_all(link.peer)

    def connection_to(self, wire: WireName, public_key: bytes) -> Connection[C] | None:
        """Return the connection to a key, the one that stays where there are several."""
        peer = self._peers.get(wire, public_key)
        links = [link for link in peer.links if not link.retired] if peer is not None else []
        return links[-1].connection if links else None

    @property
    def connections(self) -> int:
        """How many connections there are, those within a handshake included."""
        return len(self._connections)

    def oldest_stranger(self) -> Connection[C] | None:
        """The connection to close first when places for connections run short; None if there is none.

        It is the oldest of those that share no drive with us and that the remote has dialled: whoever knows
        no drive key keeps nobody out who does.
        """
        return next(iter(self._strangers), None)

    def may_read(self, connection: Connection[C]) -> bool:
        """Whether no full handle holds the connection up."""
        link = self._links.get(connection)
        return link is None or not link.blockers

    def is_member(self, connection: Connection[C]) -> bool:
        """Whether the connection carries a drive: the remote has proved that it knows the key."""
        link = self._links.get(connection)
        return link is not None and bool(link.drives)

    def next_deadline(self) -> float:
        """When to call `handle_deadline`, at the latest; infinity for never."""
        folding = self._folding.next_deadline()
        return min(folding, *(member.deadline for _, member in self._replacing), math.inf)

    def handle_deadline(self, now: float) -> None:
        """Let go of members whose connection was not replaced, and of duplicates not ended, in time.

        Call it when everything that has arrived has been read. Remotes have their full time once more if the
        call comes much later than it was due.
        """
        if now - self.next_deadline() > LATENESS:
            self._folding.postpone(now)
            for _, member in self._replacing:
                member.deadline = now + self._limits.fold_time
            return
        for peer in self._folding.overdue(now):
            self._fold(peer, now)
        for drive, member in list(self._replacing):
            if member.deadline <= now:
                self._leave(drive, member)

    # Drives, topics, watches: the application's commands

    def open_drive(self, key: DriveKey) -> OpenDrive[C, H]:
        """Open a drive, or open it once more."""
        drive = self._drives.get(key.discovery_key)
        if drive is None:
            drive = self._drives[key.discovery_key] = OpenDrive(key)
            for connection in self._open_connections():
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
        discovery_key = drive.key.discovery_key
        del self._drives[discovery_key]
        for member in drive.members.values():
            self._replacing.discard((drive, member))
            member.peer.memberships -= 1
            self._part(member.peer)
        for link in self._links.values():
            self._unshare(link, discovery_key)
        for connection in self._open_connections():
            connection.close_drive(discovery_key)

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
            for address in addresses.values():
                self._listeners.setdefault(address, []).append(joined)
                if address[0] is None:
                    self.extensions.register(address[1], members_only=scope == "drive")
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
        return self._peers.by_id(peer_id)

    def _open_connections(self) -> list[Connection[C]]:
        return [connection for connection in self._connections if not connection.closed]

    def drives_of(self, peer_id: int) -> list[DriveKey]:
        """Return the keys of the drives of which a peer is a member."""
        return [drive.key for drive in self._drives.values() if peer_id in drive.members]

    def statistics(self) -> MachineStatistics:
        """The counters now."""
        drives = self._drives.values()
        handles = [handle for drive in drives for topic in drive.topics.values() for handle in topic.handles]
        return MachineStatistics(
            drives=len(drives),
            members=sum(len(drive.members) for drive in drives),
            peer_ids=self._peers.identified,
            topics=total([self._closed_topics, *(handle.statistics() for handle in handles)]),
        )

    # What callers may get wrong

    def _check_new(self, connection: Connection[C]) -> None:
        other = next(iter(self._connections), connection)
        for wrong, text in (
            (connection in self._connections, "is here already"),
            (connection.closed, "is closed"),
            (connection.remote_public_key is not None, "has finished its handshake before it was added"),
            (connection.extensions is not self.extensions, "was made without `extensions` of this machine"),
            (connection.limits != self._limits, "was made with other `limits` than this machine's"),
            (connection.key_pair != other.key_pair, "has another key pair than this node's others"),
        ):
            if wrong:
                raise LocalProtocolError(f"the connection {text}")

    def _check_order(self, connection: Connection[C], events: list[Event]) -> None:
        if connection not in self._connections:
            raise LocalProtocolError("the connection was not added to this machine, or was removed")
        if connection.on_hold and events:
            raise LocalProtocolError(
                "the remote is on hold: give its events to the machine once it is admitted"
            )
        first = events[0] if events else None
        if connection not in self._links and isinstance(first, (DriveOpened, DriveClosed, MessagesReceived)):
            raise LocalProtocolError("the connection's `HandshakeCompleted` has to come first")

    def _check_drive(self, drive: OpenDrive[C, H]) -> None:
        if self._drives.get(drive.key.discovery_key) is not drive:
            raise LocalProtocolError("the drive is not open on this machine")

    # What topics ask

    def count_closed(self, handle: TopicHandle[C, H]) -> None:
        """Keep the counters of a handle that has been closed."""
        self._closed_topics = total([self._closed_topics, handle.statistics()])

    def meet(self, peer: Peer[C, H]) -> int | None:
        """Return a peer's id, which it gets when first met; None if there are too many, and it has to go."""
        peer_id = self._peers.identify(peer)
        if peer_id is None:
            error = RemoteProtocolError(f"more than {self._limits.peer_ids} peers are here")
            for link in peer.links:
                self._host.drop(link.connection, error)
        return peer_id

    def links_of(self, topic: Topic[C, H]) -> list[Link[C, H]]:
        """The connections on which messages for a topic may come."""
        if topic.scope == "network":
            return list(self._links.values())
        return [link for link in self._links.values() if topic.drive.key.discovery_key in link.drives]

    def link_to(self, peer_id: int, topic: Topic[C, H]) -> Link[C, H] | None:
        """The connection that carries a topic to a peer, or None while it is being replaced."""
        peer = self.peer(peer_id)
        if topic.scope == "drive":
            member = topic.drive.members.get(peer_id)
            if member is None:
                raise PeerGone(peer_id)
            return member.link
        links = [link for link in peer.links if self._carries(link, topic)]
        if not links:
            raise PeerGone(peer_id)
        return self._in_order(peer, links)

    def forget_topic(self, topic: Topic[C, H]) -> None:
        """The last handle of a topic has been closed."""
        del topic.drive.topics[topic.name, topic.scope]
        for address in topic.addresses.values():
            self._listeners[address].remove(topic)
            if not self._listeners[address]:
                del self._listeners[address]
            if address[0] is None:
                self.extensions.unregister(address[1], members_only=topic.scope == "drive")

    # Handlers of events

    def _handshake_completed(self, connection: Connection[C], event: HandshakeCompleted, now: float) -> None:
        peer = self._peers.arrive(event.wire, event.remote_public_key)
        link = self._links[connection] = Link(connection, peer, self._host)
        self._folding.add(link)
        for drive in self._drives.values():
            self._forget_routes(drive, peer)
        self._handshakes.pop(connection, None)
        self._settle(connection)
        self._bound_duplicates(peer)
        self._fold(peer, now)

    def _drive_opened(self, connection: Connection[C], event: DriveOpened, now: float) -> None:
        link, drive = self._links[connection], self._drives[event.discovery_key]
        peer_id = self.meet(link.peer)
        if peer_id is None:
            return
        link.peer.was_member = True
        link.drives.add(event.discovery_key)
        self._strangers.pop(connection, None)
        for topic in drive.topics.values():
            topic.hold_up(link)
        member = drive.members.get(peer_id)
        if member is None:
            member = drive.members[peer_id] = Member(link.peer, peer_id, link)
            link.peer.memberships += 1
            self._tell(drive, member.joined)
        else:
            self._reroute(drive, member)
        self._fold(link.peer, now)

    def _drive_closed(self, connection: Connection[C], event: DriveClosed, now: float) -> None:
        link = self._links[connection]
        self._unshare(link, event.discovery_key)
        drive = self._drives[event.discovery_key]
        self._forget_routes(drive, link.peer)
        self._lose(drive, link, now, "", 0)
        self._fold(link.peer, now)

    def _messages_received(self, connection: Connection[C], event: MessagesReceived, now: float) -> None:
        link = self._links[connection]
        for topic in self._listeners.get((event.discovery_key, event.name), ()):
            topic.deliver(link, event.payloads, self._host, self._reads)

    def _connection_closed(self, connection: Connection[C], event: ConnectionClosed, now: float) -> None:
        self.end_sending(connection)

    # Memory

    def _make_room(self) -> None:
        for connection in self._memory.give_way(self._kept, self._is_stranger):
            text = f"gave way: remotes may make us keep {self._limits.kept} bytes together"
            self._host.drop(connection, RemoteProtocolError(text))

    def _kept(self, connection: Connection[C]) -> int:
        link = self._links.get(connection)
        return connection.kept + (link.held_size if link is not None else 0)

    def _is_stranger(self, connection: Connection[C]) -> bool:
        link = self._links.get(connection)
        return link is None or not link.drives

    # Membership

    def _estrange(self, connection: Connection[C]) -> None:
        if not connection.initiator:
            self._strangers[connection] = None

    def _bound_duplicates(self, peer: Peer[C, H]) -> None:
        duplicates = [link for link in peer.links[:-1] if not link.dropped]
        if len(duplicates) >= self._limits.duplicates:
            oldest = min(duplicates, key=lambda link: link.number)
            oldest.dropped = True
            text = f"more than {self._limits.duplicates} connections of one peer"
            self._host.drop(oldest.connection, RemoteProtocolError(text))

    def _unshare(self, link: Link[C, H], discovery_key: bytes) -> None:
        """A drive is no longer open on both sides of a link."""
        if discovery_key in link.drives:
            link.drives.remove(discovery_key)
            if not link.drives:
                self._estrange(link.connection)

    def _carries(self, link: Link[C, H], topic: Topic[C, H]) -> bool:
        discovery_key = topic.addresses[link.peer.wire][0]
        return discovery_key is None or discovery_key in link.drives

    def _lose(self, drive: OpenDrive[C, H], link: Link[C, H], now: float, reason: str, unsent: int) -> None:
        """A link no longer carries a drive: another one takes over, or is waited for, or the member goes."""
        member = drive.members.get(link.peer.id or 0)
        if member is None:
            return
        member.unsent += unsent
        member.reason = reason
        if self._reroute(drive, member):
            return
        member.awaited = self._handshaking(link)
        if member.awaited or any(not other.retired for other in link.peer.links if other is not link):
            member.deadline = now + self._limits.fold_time
            self._replacing.add((drive, member))
        else:
            self._leave(drive, member)

    def _handshaking(self, link: Link[C, H]) -> set[Connection[C]]:
        """The connections that may turn out to be of a link's peer, and to replace it.

        A remote that dialled twice ends the older connection as soon as it has finished the newer one's
        handshake, of which the last message may still be on its way to us (hyperswarm 2.15.3). Whoever has
        not even been answered, or speaks another wire, cannot be that remote.
        """
        if link.connection.initiator or link.connection in self._links:
            return set()
        wire = link.peer.wire
        return {other for other in self._handshakes if other.is_proving and other.wire == wire}

    def _settle(self, connection: Connection[C]) -> None:
        """It is known by now whose a connection is: members that waited for that only leave."""
        for drive, member in list(self._replacing):
            if connection in member.awaited:
                member.awaited.discard(connection)
                if not member.awaited and not member.peer.links:
                    self._leave(drive, member)

    def _reroute(self, drive: OpenDrive[C, H], member: Member[C, H]) -> bool:
        """Choose the link that a member is reached on; returns whether there is any."""
        links = [link for link in member.peer.links if drive.key.discovery_key in link.drives]
        member.link = self._in_order(member.peer, links)
        self._forget_routes(drive, member.peer)
        if links:
            member.deadline = math.inf
            self._replacing.discard((drive, member))
            self._host.rerouted()
        return bool(links)

    def _in_order(self, peer: Peer[C, H], links: list[Link[C, H]]) -> Link[C, H] | None:
        """The link to use of those that carry a topic, or None while what follows would overtake.

        What was sent on one that is going to end may still be on its way until it has ended.
        """
        if not links or peer in self._folding or any(link.retired for link in peer.links):
            return None
        return links[-1]

    def _leave(self, drive: OpenDrive[C, H], member: Member[C, H]) -> None:
        self._replacing.discard((drive, member))
        del drive.members[member.peer_id]
        member.peer.memberships -= 1
        self._forget_routes(drive, member.peer)
        self._tell(
            drive,
            PeerLeft(member.peer_id, member.peer.public_key, member.peer.wire, member.reason, member.unsent),
        )
        self._host.rerouted()
        self._part(member.peer)

    def _part(self, peer: Peer[C, H]) -> None:
        """Note that a peer is gone, if it is."""
        if not peer.links and not peer.memberships:
            self._peers.depart(peer)

    def _tell(self, drive: OpenDrive[C, H], event: PeerJoined | PeerLeft) -> None:
        for watch in drive.watches:
            watch.put(event)
            self._host.news(watch)

    def _forget_routes(self, drive: OpenDrive[C, H], peer: Peer[C, H]) -> None:
        if peer.id is not None:
            for topic in drive.topics.values():
                topic.routes.pop(peer.id, None)

    def _fold(self, peer: Peer[C, H], now: float) -> None:
        """Retire duplicates, and reach the peer's memberships on what is left."""
        if len(peer.links) < 2:
            return
        self._folding.fold(peer, now)
        self._reroute_all(peer)

    def _reroute_all(self, peer: Peer[C, H]) -> None:
        for drive in self._drives.values():
            self._forget_routes(drive, peer)
            member = drive.members.get(peer.id or 0)
            if member is not None:
                self._reroute(drive, member)


_HANDLERS: dict[type[Event], _Handler] = {
    HandshakeCompleted: Peersockets._handshake_completed,
    DriveOpened: Peersockets._drive_opened,
    DriveClosed: Peersockets._drive_closed,
    MessagesReceived: Peersockets._messages_received,
    ConnectionClosed: Peersockets._connection_closed,
}
