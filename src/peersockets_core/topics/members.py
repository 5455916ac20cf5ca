"""Who is there: peers, their connections, and their memberships. `peersockets` keeps these books."""

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
    """What the machine asks of the code around it. None of these may call back into the machine."""

    def news(
        self,
        handle: TopicHandle[C_contra, H_contra] | Watch[H_contra],
    ) -> None:
        """A handle has something to take."""

    def readable(self, connection: Connection[C_contra]) -> None:
        """A connection that `may_read` held up may be read again."""

    def rerouted(self) -> None:
        """A send that found no room because a connection was being replaced may be tried again."""

    def wake(self, connection: Connection[C_contra]) -> None:
        """A connection has something to send, though nothing has come on it."""

    def retire(self, connection: Connection[C_contra]) -> None:
        """A duplicate has served its time: send what it has queued, and close it."""

    def drop(self, connection: Connection[C_contra], error: RemoteProtocolError) -> None:
        """Close a connection at once."""


@attrs.define(eq=False)
class Peer(Generic[C_co, H_co]):
    """One public key on one wire."""

    wire: WireName
    public_key: bytes
    id: int | None = None
    """Given when first met: as a member, or as the sender of a message in network scope."""
    was_member: bool = False
    """Whether it is, or ever was, a member of a drive."""
    memberships: int = 0
    """Of how many drives it is a member."""
    links: list[Link[C_co, H_co]] = attrs.field(factory=list)
    """Its connections, the one that survives folding last."""


@attrs.define(eq=False)
class Link(Generic[C_co, H_co]):
    """The machine's side of one connection."""

    connection: Connection[C_co]
    peer: Peer[C_co, H_co]
    _host: Host[C_co, H_co]
    number: int = 0
    """Of two connections, the newer has the larger number."""
    drives: set[bytes] = attrs.field(factory=set)
    """Discovery keys of the drives that both sides have open."""
    blockers: set[TopicHandle[C_co, H_co]] = attrs.field(factory=set)
    """Full handles, for which the connection is read no further."""
    retired: bool = False
    dropped: bool = False
    """Whether it is one of too many duplicates, and the host has been asked to close it."""
    held_back: list[tuple[TopicHandle[C_co, H_co], list[bytes]]] = attrs.field(factory=list)
    """Messages for handles that overflowed already, all of one read."""
    held_size: int = 0
    """Bytes of memory that they take."""
    _held_in: int = 0

    def hold_back(self, handle: TopicHandle[C_co, H_co], payloads: list[bytes], read: int) -> bool:
        """Keep messages until an overflowing handle has drained, and be read no further.

        Whoever comes to a topic that others have filled may not know: what the read numbered `read` has
        brought waits. Returns False for more than that, since it should not have been read.
        """
        if self.held_back and self._held_in != read:
            return False
        handle.block(self)
        self._held_in = read
        self.held_back.append((handle, payloads))
        self.held_size += sum(map(len, payloads)) + len(payloads) * MESSAGE_COST
        return True

    def block(self, handle: TopicHandle[C_co, H_co]) -> None:
        """A handle is full: read the connection no further."""
        self.blockers.add(handle)

    def unblock(self, handle: TopicHandle[C_co, H_co]) -> None:
        """A handle has drained."""
        self.blockers.discard(handle)
        if self.held_back:
            self._let_go(handle)
        if not self.blockers:
            self._host.readable(self.connection)

    def _let_go(self, handle: TopicHandle[C_co, H_co]) -> None:
        """Hand over what was held back for a handle, unless others have filled it again."""
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


@attrs.define(eq=False)
class Member(Generic[C_co, H_co]):
    """A peer that has a drive open, and has proved that it may."""

    peer: Peer[C_co, H_co]
    peer_id: int
    link: Link[C_co, H_co] | None
    """The connection in use; None while it is being replaced."""
    deadline: float = math.inf
    """When a replacement has taken too long."""
    awaited: set[Connection[C_co]] = attrs.field(factory=set)
    """Connections of which one may turn out to be a replacement."""
    reason: str = ""
    unsent: int = 0

    @property
    def joined(self) -> PeerJoined:
        """The event of its joining."""
        return PeerJoined(self.peer_id, self.peer.public_key, self.peer.wire)
