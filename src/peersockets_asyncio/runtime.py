"""`NodeRuntime`: the machine of one identity with its links, and the `Host` of that machine."""

from __future__ import annotations

import asyncio
import math
import os

from peersockets_core import (
    Connection,
    Event,
    KeyPair,
    Limits,
    LocalProtocolError,
    Peersockets,
    RemoteProtocolError,
    TopicHandle,
    Watch,
    WireName,
)
from peersockets_core.info import Authenticate, ConnectionInfo, PeerInfo

from .host import Wakeable
from .link import Link


class NodeRuntime:
    """The machine of one identity with its links, in the event loop in which it is made."""

    def __init__(self, key_pair: KeyPair, limits: Limits, authenticate: Authenticate | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self.key_pair = key_pair
        self.machine: Peersockets[Link, Wakeable] = Peersockets(self, limits)
        self.links: set[Link] = set()
        self.closed = False
        self._authenticate = authenticate
        self._timer: asyncio.TimerHandle | None = None
        self._rerouted = asyncio.Event()

    def check_open(self) -> None:
        """Raise `LocalProtocolError` if the node is closed."""
        if self.closed:
            raise LocalProtocolError("this Node is closed")

    async def finish(self) -> None:
        """Send all accepted messages, for up to `Limits.linger` seconds, and end all links."""
        self.closed = True
        for link in list(self.links):
            link.finish()
        await asyncio.gather(*(link.ended.wait() for link in list(self.links)))

    def abort(self) -> None:
        """Cut all links at once."""
        self.closed = True
        for link in list(self.links):
            link.abort()

    def peer(self, peer_id: int) -> PeerInfo:
        """Return the facts about a peer. Raises `UnknownPeer`."""
        peer = self.machine.peer(peer_id)
        return PeerInfo(
            peer_id=peer_id,
            public_key=peer.public_key,
            wire=peer.wire,
            address=peer.links[-1].connection.owner.address if peer.links else None,
            drives=tuple(self.machine.drives_of(peer_id)),
            unsent=sum(link.connection.outbox.message_size for link in peer.links),
        )

    # For links and handles

    def make_connection(
        self, link: Link, wire: WireName | None, initiator: bool, expect: bytes | None
    ) -> Connection[Link]:
        """Make the connection of a link, and make room for it if there are too many."""
        if not initiator and self.machine.connections >= self.limits.connections:
            stranger = self.machine.oldest_stranger()
            if stranger is not None:
                text = "not a member of any drive: gave way to newer connections"
                self.loop.call_soon(stranger.owner.fail, RemoteProtocolError(text))
            else:
                self.loop.call_soon(link.abort)
        self.links.add(link)
        if self.closed:
            self.loop.call_soon(link.abort)
        return self.machine.make_connection(
            wire=wire,
            initiator=initiator,
            key_pair=self.key_pair,
            entropy=os.urandom,
            now=self.loop.time(),
            expect=expect,
            hold=self._authenticate is not None,
            owner=link,
        )

    def receive_events(self, connection: Connection[Link], events: list[Event]) -> None:
        """Hand the events of a connection to the machine."""
        self.machine.receive_events(connection, events, self.loop.time())
        self._keep_time()

    def remove(self, link: Link, reason: str, unsent: int) -> None:
        """Remove a link that has ended."""
        self.links.discard(link)
        self.machine.remove_connection(link.connection, self.loop.time(), reason=reason, unsent=unsent)
        self._keep_time()

    async def decide(self, info: ConnectionInfo) -> None:
        """Ask the application whether to admit a remote. Raises `Refused`."""
        if self._authenticate is not None:
            await self._authenticate(info)

    async def until_rerouted(self) -> None:
        """Wait until the routes to peers have changed."""
        self._rerouted.clear()
        await self._rerouted.wait()

    def flush(self) -> None:
        """Write the output of all connections, after a command that concerns all of them."""
        for link in self.links:
            link.flush_soon()

    def _keep_time(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline = self.machine.next_deadline()
        self._timer = None if math.isinf(deadline) else self.loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self.machine.handle_deadline(self.loop.time())
        self._keep_time()

    # The `Host` of the machine. None of these methods may call the machine, so they postpone such calls.

    def news(self, handle: TopicHandle[Link, Wakeable] | Watch[Wakeable]) -> None:
        """Wake the receiver of a handle."""
        handle.owner.wake()

    def rerouted(self) -> None:
        """Wake the senders that wait for a connection."""
        self._rerouted.set()

    def readable(self, connection: Connection[Link]) -> None:
        """Read a connection again."""
        self.loop.call_soon(connection.owner.resume)

    def wake(self, connection: Connection[Link]) -> None:
        """Write the output of a connection."""
        connection.owner.flush_soon()

    def retire(self, connection: Connection[Link]) -> None:
        """End a duplicate connection in good order."""
        self.loop.call_soon(connection.owner.finish)

    def drop(self, connection: Connection[Link], error: RemoteProtocolError) -> None:
        """Close a connection because of the remote's fault."""
        self.loop.call_soon(connection.owner.fail, error)
