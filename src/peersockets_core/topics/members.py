"""Peers, their connections, and their memberships: the records that `machine` keeps.

The records refer to each other in circles, so a repr of all fields would show the whole machine.
"""

from __future__ import annotations

import math
from typing import Generic, Protocol

import attrs

from ..connection import Connection
from ..errors import RemoteProtocolError
from ..events import WireName
from ..limits import MESSAGE_COST
from ..owners import C_co, C_contra, H_co, H_contra
from .handles import TopicHandle
from .watches import PeerJoined, Watch


class Host(Protocol[C_contra, H_contra]):
    """The interface between the machine and the code around it. None of these methods may call the
    machine.
    """

    def news(
        self,
        handle: TopicHandle[C_contra, H_contra] | Watch[H_contra],
    ) -> None:
        """Note that a handle has something to take."""

    def readable(self, connection: Connection[C_contra]) -> None:
        """Note that a connection that `may_read` held up may be read again."""

    def rerouted(self) -> None:
        """Note that sends that failed because a connection was being replaced can be tried again."""

    def wake(self, connection: Connection[C_contra]) -> None:
        """Note that a connection has output, although it got no input."""

    def retire(self, connection: Connection[C_contra]) -> None:
        """Send the queued output of a duplicate connection, and close it."""

    def drop(self, connection: Connection[C_contra], error: RemoteProtocolError) -> None:
        """Close a connection at once."""


@attrs.define(eq=False, repr=False)
class KnownPeer(Generic[C_co, H_co]):
    """A peer: one public key on one wire."""

    wire: WireName
    public_key: bytes
    id: int | None = None
    """The peer id. A peer gets it when it first becomes a member, or sends a message in network scope."""
    was_member: bool = False
    """Whether it is or was a member of any drive."""
    memberships: int = 0
    """The number of drives of which it is a member."""
    links: list[Link[C_co, H_co]] = attrs.field(factory=list)
    """Its connections; the last one is the one that survives folding."""


@attrs.define(eq=False, repr=False)
class Link(Generic[C_co, H_co]):
    """The machine's side of one connection."""

    connection: Connection[C_co]
    peer: KnownPeer[C_co, H_co]
    _host: Host[C_co, H_co]
    number: int = 0
    """The number of the connection; a newer connection has a larger number."""
    drives: set[bytes] = attrs.field(factory=set)
    """The discovery keys of the drives that both sides have open."""
    blockers: set[TopicHandle[C_co, H_co]] = attrs.field(factory=set)
    """The full handles that stop us from reading the connection."""
    retired: bool = False
    dropped: bool = False
    """Whether it was one of too many duplicates, so that the host was asked to close it."""
    held_back: list[tuple[TopicHandle[C_co, H_co], list[bytes]]] = attrs.field(factory=list)
    """Messages for handles that were already overflowing, all from one read."""
    held_size: int = 0
    """Bytes of memory that these messages take."""
    _held_in: int = 0

    def hold_back(self, handle: TopicHandle[C_co, H_co], payloads: list[bytes], read: int) -> bool:
        """Keep messages until an overflowing handle has drained, and stop reading the connection.

        A peer cannot know that others have filled a topic, so its messages wait, all those of the read with
        the number `read`. Returns False for messages of a later read, which the host should not have done.
        """
        if self.held_back and self._held_in != read:
            return False
        handle.block(self)
        self._held_in = read
        self.held_back.append((handle, payloads))
        self.held_size += sum(map(len, payloads)) + len(payloads) * MESSAGE_COST
        return True

    def block(self, handle: TopicHandle[C_co, H_co]) -> None:
        """Stop reading the connection, because a handle is full."""
        self.blockers.add(handle)

    def unblock(self, handle: TopicHandle[C_co, H_co]) -> None:
        """Note that a handle has drained."""
        self.blockers.discard(handle)
        if self.held_back:
            self._let_go(handle)
        if not self.blockers:
            self._host.readable(self.connection)

    def _let_go(self, handle: TopicHandle[C_co, H_co]) -> None:
        """Deliver the messages that were held back for a handle, unless others have filled it again."""
        waiting, self.held_back = self.held_back, []
        for other, payloads in waiting:
            if other is not handle or (handle.full and not handle.closed):
                self.held_back.append((other, payloads))
                continue
            self.held_size -= sum(map(len, payloads)) + len(payloads) * MESSAGE_COST
            if not handle.closed:
                assert self.peer.id is not None
                handle.put(self.peer.id, self.peer.public_key, payloads)
                self._host.news(handle)
        handle.block(self)


@attrs.define(eq=False, repr=False)
class Member(Generic[C_co, H_co]):
    """A peer that has a drive open, and has proved that it knows the drive's key."""

    peer: KnownPeer[C_co, H_co]
    peer_id: int
    link: Link[C_co, H_co] | None
    """The connection in use; None while it is being replaced."""
    deadline: float = math.inf
    """The time at which a replacement has taken too long."""
    awaited: set[Connection[C_co]] = attrs.field(factory=set)
    """Connections of which one may turn out to be a replacement."""
    reason: str = ""
    unsent: int = 0

    @property
    def joined(self) -> PeerJoined:
        """The event for its join."""
        return PeerJoined(self.peer_id, self.peer.public_key, self.peer.wire)
