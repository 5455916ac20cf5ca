"""Open drives and their topics: the records that `machine` keeps."""

from __future__ import annotations

from typing import Generic, Protocol

import attrs

from ..errors import PeerGone, RemoteProtocolError, UnknownPeer
from ..events import WireName
from ..keys import DriveKey
from ..limits import Limits
from ..owners import C, H
from . import naming as topics
from .handles import Route, TopicHandle
from .members import Host, KnownPeer, Link, Member
from .watches import Watch


class TopicHost(Protocol[C, H]):
    """The interface between a topic and its machine."""

    def link_to(self, peer_id: int, topic: OpenTopic[C, H]) -> Link[C, H] | None:
        """Return the connection that carries a topic to a peer, or None while it is being replaced."""

    def links_of(self, topic: OpenTopic[C, H]) -> list[Link[C, H]]:
        """Return the connections on which messages for a topic may arrive."""
        ...

    def meet(self, peer: KnownPeer[C, H]) -> int | None:
        """Return a peer's id, or None if there are too many."""

    def count_closed(self, handle: TopicHandle[C, H]) -> None:
        """Add the counters of a closed handle to the sum."""

    def forget_topic(self, topic: OpenTopic[C, H]) -> None:
        """Remove a topic whose last handle was closed."""


@attrs.define(eq=False, repr=False)
class OpenTopic(Generic[C, H]):
    """One topic of a drive in one scope; it exists as long as it has handles."""

    machine: TopicHost[C, H]
    drive: OpenDrive[C, H]
    name: str
    scope: topics.TopicScope
    addresses: dict[WireName, topics.TopicAddress]
    limits: Limits
    handles: dict[TopicHandle[C, H], None] = attrs.field(factory=dict)
    routes: dict[int, Route[C]] = attrs.field(factory=dict)
    """The routes in use by peer id. An entry is removed as soon as it becomes wrong."""

    def route(self, peer_id: int) -> Route[C] | None:
        """Find the route to a peer; returns None while its connection is being replaced.

        Raises `UnknownPeer` or `PeerGone`.
        """
        link = self.machine.link_to(peer_id, self)
        if link is None:
            return None
        sender = link.connection.sender(*self.addresses[link.peer.wire])
        route = Route(link.connection, link.connection.outbox, sender.send, sender.check_size)
        self.routes[peer_id] = route
        return route

    def reaches(self, peer_id: int) -> bool:
        """Return whether there is a route to a peer, now or once its connection has been replaced."""
        try:
            self.machine.link_to(peer_id, self)
        except (UnknownPeer, PeerGone):
            return False
        return True

    def deliver(self, link: Link[C, H], payloads: list[bytes], host: Host[C, H], read: int) -> None:
        """Deliver messages to every handle, unless a stranger to the drive sent them.

        `read` is the number of the read that contained them. All messages of one read are accepted, however
        many there are; if they fill a handle, we stop reading from the sender. Messages for a handle that
        other senders have filled wait with their connection.
        """
        if self.scope == "drive" and self.drive.key.discovery_key not in link.drives:
            return
        peer_id = self.machine.meet(link.peer)
        if peer_id is None:
            return
        for handle in tuple(self.handles):
            if handle.overflowing and handle.holds_up and handle.overflowed_in != read:
                if link.hold_back(handle, payloads, read):
                    continue
                host.drop(link.connection, RemoteProtocolError("sends to a topic that has long been full"))
                return
            if handle.put(peer_id, link.peer.public_key, payloads):
                self._hold_up_senders(handle, link, read)
            host.news(handle)

    def hold_up(self, link: Link[C, H]) -> None:
        """Make a new connection wait for the same overflowing handles as the earlier ones."""
        for handle in self.handles:
            if handle.overflowing:
                handle.block(link)

    def _hold_up_senders(self, handle: TopicHandle[C, H], link: Link[C, H], read: int) -> None:
        """Hold up the sender that filled a handle, or all senders if the handle overflows."""
        handle.block(link)
        if handle.overflowing and handle.overflowed_in != read:
            handle.overflowed_in = read
            for other in self.machine.links_of(self):
                handle.block(other)

    def remove(self, handle: TopicHandle[C, H]) -> None:
        """Remove a handle that was closed."""
        del self.handles[handle]
        self.machine.count_closed(handle)
        if not self.handles:
            self.machine.forget_topic(self)


@attrs.define(eq=False, repr=False)
class OpenDrive(Generic[C, H]):
    """A drive that is open here: one object, no matter how often the drive was opened."""

    key: DriveKey
    users: int = 0
    members: dict[int, Member[C, H]] = attrs.field(factory=dict)
    """The members by peer id, in the order of joining."""
    topics: dict[tuple[str, str], OpenTopic[C, H]] = attrs.field(factory=dict)
    watches: list[Watch[H]] = attrs.field(factory=list)

    def __repr__(self) -> str:
        topics = ", ".join(repr(topic.name) for topic in self.topics.values())
        return f"<OpenDrive {self.key}, {len(self.members)} members, topics [{topics}]>"
