"""`Memberships`: the members of the open drives, and the connection to each member."""

from __future__ import annotations

import math
from typing import Generic

from ..connection import Connection
from ..errors import PeerGone, RemoteProtocolError
from ..limits import Limits
from ..owners import C, H
from .drives import OpenDrive, OpenTopic
from .folding import Folding
from .members import Host, KnownPeer, Link, Member
from .peers import Peers
from .registry import Registry
from .watches import PeerJoined, PeerLeft


class Memberships(Generic[C, H]):
    """The peers of one node, and their memberships of the drives that are open here.

    A member whose connection has ended stays for `Limits.fold_time` while another connection may replace it.
    """

    def __init__(self, host: Host[C, H], limits: Limits, registry: Registry[C, H]) -> None:
        self.drives: dict[bytes, OpenDrive[C, H]] = {}
        """The drives that are open here, by discovery key."""
        self.peers: Peers[C, H] = Peers(limits.peer_ids)
        self.folding = Folding(host, limits)
        self.replacing: set[tuple[OpenDrive[C, H], Member[C, H]]] = set()
        """Members whose connection has ended, and may be replaced."""
        self._host = host
        self._limits = limits
        self._registry = registry

    def next_deadline(self) -> float:
        """Return the latest time at which to call `handle_deadline`; infinity for never."""
        replacing = (member.deadline for _, member in self.replacing)
        return min(self.folding.next_deadline(), *replacing, math.inf)

    def handle_deadline(self, now: float) -> None:
        """Remove members whose connection was not replaced in time, and duplicates that were not ended in
        time.
        """
        for peer in self.folding.overdue(now):
            self.fold(peer, now)
        for drive, member in list(self.replacing):
            if member.deadline <= now:
                self.leave(drive, member)

    def postpone(self, now: float) -> None:
        """Give every peer the full time once more."""
        self.folding.postpone(now)
        for _, member in self.replacing:
            member.deadline = now + self._limits.fold_time

    # Links

    def add_link(self, link: Link[C, H], now: float) -> None:
        """Add a new connection to its peer."""
        peer = link.peer
        self.folding.add(link)
        for drive in self.drives.values():
            self.forget_routes(drive, peer)
        self.stop_awaiting(link.connection)
        self._bound_duplicates(peer)
        self.fold(peer, now)

    def remove_link(self, link: Link[C, H], now: float, reason: str, unsent: int) -> None:
        """Move the memberships of a connection that has ended to another connection, or end them."""
        self.folding.remove(link)
        peer = link.peer
        for drive in self.drives.values():
            self.forget_routes(drive, peer)
            if drive.key.discovery_key in link.drives:
                self._lose(drive, link, now, reason, unsent)
                continue
            member = drive.members.get(peer.id or 0)
            if member is not None and not self._reroute(drive, member) and not peer.links:
                self.leave(drive, member)
        link.drives.clear()
        self._host.rerouted()
        self._part(peer)

    def stop_awaiting(self, connection: Connection[C]) -> None:
        """Note that a connection has proved its key or ended. Members that waited for no other one leave."""
        for drive, member in list(self.replacing):
            if connection in member.awaited:
                member.awaited.discard(connection)
                if not member.awaited and not member.peer.links:
                    self.leave(drive, member)

    def fold(self, peer: KnownPeer[C, H], now: float) -> None:
        """Retire duplicates, and use the remaining connection for the peer's memberships."""
        if len(peer.links) < 2:
            return
        self.folding.fold(peer, now)
        self.reroute_all(peer)

    def reroute_all(self, peer: KnownPeer[C, H]) -> None:
        """Choose the link for each membership of a peer again."""
        for drive in self.drives.values():
            self.forget_routes(drive, peer)
            member = drive.members.get(peer.id or 0)
            if member is not None:
                self._reroute(drive, member)

    # Members

    def meet(self, peer: KnownPeer[C, H]) -> int | None:
        """Return a peer's id, and give it one when it is first met. Returns None, and drops the peer, if
        there are too many.
        """
        peer_id = self.peers.identify(peer)
        if peer_id is None:
            error = RemoteProtocolError(f"more than {self._limits.peer_ids} peers are here")
            for link in peer.links:
                self._host.drop(link.connection, error)
        return peer_id

    def drive_opened(self, link: Link[C, H], discovery_key: bytes, now: float) -> None:
        """Make a peer a member of a drive that both sides of a link have open."""
        drive = self.drives[discovery_key]
        peer_id = self.meet(link.peer)
        if peer_id is None:
            return
        link.peer.was_member = True
        self._registry.share(link, discovery_key)
        for topic in drive.topics.values():
            topic.hold_up(link)
        member = drive.members.get(peer_id)
        if member is None:
            member = drive.members[peer_id] = Member(link.peer, peer_id, link)
            link.peer.memberships += 1
            self._report(drive, member.joined)
        else:
            self._reroute(drive, member)
        self.fold(link.peer, now)

    def drive_closed(self, link: Link[C, H], discovery_key: bytes, now: float) -> None:
        """Handle that the remote has closed a drive on a link."""
        drive = self.drives[discovery_key]
        self._registry.unshare(link, discovery_key)
        self.forget_routes(drive, link.peer)
        self._lose(drive, link, now, "", 0)
        self.fold(link.peer, now)

    def end_drive(self, drive: OpenDrive[C, H]) -> None:
        """End all memberships of a drive that is no longer open here, without events."""
        del self.drives[drive.key.discovery_key]
        for member in drive.members.values():
            self.replacing.discard((drive, member))
            member.peer.memberships -= 1
            self._part(member.peer)

    def leave(self, drive: OpenDrive[C, H], member: Member[C, H]) -> None:
        """End a membership."""
        self.replacing.discard((drive, member))
        del drive.members[member.peer_id]
        member.peer.memberships -= 1
        self.forget_routes(drive, member.peer)
        self._report(
            drive,
            PeerLeft(member.peer_id, member.peer.public_key, member.peer.wire, member.reason, member.unsent),
        )
        self._host.rerouted()
        self._part(member.peer)

    # Routes

    def link_to(self, peer_id: int, topic: OpenTopic[C, H]) -> Link[C, H] | None:
        """Return the connection that carries a topic to a peer, or None while it is being replaced.

        Raises `UnknownPeer` or `PeerGone`.
        """
        peer = self.peers.by_id(peer_id)
        if topic.scope == "drive":
            member = topic.drive.members.get(peer_id)
            if member is None:
                raise PeerGone(peer_id)
            return member.link
        discovery_key, _ = topic.addresses[peer.wire]
        links = [link for link in peer.links if discovery_key is None or discovery_key in link.drives]
        if not links:
            raise PeerGone(peer_id)
        return self._in_order(peer, links)

    def forget_routes(self, drive: OpenDrive[C, H], peer: KnownPeer[C, H]) -> None:
        """Remove a peer's routes from the topics of a drive, so that they find new ones."""
        if peer.id is not None:
            for topic in drive.topics.values():
                topic.routes.pop(peer.id, None)

    def _bound_duplicates(self, peer: KnownPeer[C, H]) -> None:
        duplicates = [link for link in peer.links[:-1] if not link.dropped]
        if len(duplicates) >= self._limits.duplicates:
            oldest = min(duplicates, key=lambda link: link.number)
            oldest.dropped = True
            text = f"more than {self._limits.duplicates} connections of one peer"
            self._host.drop(oldest.connection, RemoteProtocolError(text))

    def _lose(self, drive: OpenDrive[C, H], link: Link[C, H], now: float, reason: str, unsent: int) -> None:
        """Handle that a link no longer carries a drive: switch to another link, wait for one, or let the
        member leave.
        """
        member = drive.members.get(link.peer.id or 0)
        if member is None:
            return
        member.unsent += unsent
        member.reason = reason
        if self._reroute(drive, member):
            return
        member.awaited = self._registry.successors(link)
        if member.awaited or any(not other.retired for other in link.peer.links if other is not link):
            member.deadline = now + self._limits.fold_time
            self.replacing.add((drive, member))
        else:
            self.leave(drive, member)

    def _reroute(self, drive: OpenDrive[C, H], member: Member[C, H]) -> bool:
        """Choose the link to a member; returns whether there is any."""
        links = [link for link in member.peer.links if drive.key.discovery_key in link.drives]
        member.link = self._in_order(member.peer, links)
        self.forget_routes(drive, member.peer)
        if links:
            member.deadline = math.inf
            self.replacing.discard((drive, member))
            self._host.rerouted()
        return bool(links)

    def _in_order(self, peer: KnownPeer[C, H], links: list[Link[C, H]]) -> Link[C, H] | None:
        """Return the link to send on, or None while a new message could overtake an earlier one.

        Until a retired link has ended, messages that were sent on it may still be on their way.
        """
        if not links or peer in self.folding or any(link.retired for link in peer.links):
            return None
        return links[-1]

    def _part(self, peer: KnownPeer[C, H]) -> None:
        """Note that a peer is gone if it has no links and no memberships left."""
        if not peer.links and not peer.memberships:
            self.peers.depart(peer)

    def _report(self, drive: OpenDrive[C, H], event: PeerJoined | PeerLeft) -> None:
        for watch in drive.watches:
            watch.put(event)
            self._host.news(watch)
