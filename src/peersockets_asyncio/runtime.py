"""`NodeRuntime`: the machine of one identity with its streams, and the `Host` of that machine."""

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
from .stream_protocol import StreamProtocol


class NodeRuntime:
    """The machine of one identity with its streams, in the event loop in which it is made."""

    def __init__(self, key_pair: KeyPair, limits: Limits, authenticate: Authenticate | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self.key_pair = key_pair
        self.machine: Peersockets[StreamProtocol, Wakeable] = Peersockets(self, limits)
        self.streams: set[StreamProtocol] = set()
        self.closed = False
        self._authenticate = authenticate
        self._timer: asyncio.TimerHandle | None = None
        self._rerouted = asyncio.Event()

    def check_open(self) -> None:
        """Raise `LocalProtocolError` if the node is closed."""
        if self.closed:
            raise LocalProtocolError("this Node is closed")

    async def finish(self) -> None:
        """Send all accepted messages, for up to `Limits.linger` seconds, and end all streams."""
        self.closed = True
        for stream in list(self.streams):
            stream.finish()
        await asyncio.gather(*(stream.ended.wait() for stream in list(self.streams)))

    def abort(self) -> None:
        """Cut all streams at once."""
        self.closed = True
        for stream in list(self.streams):
            stream.abort()

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

    # For streams and handles

    def make_connection(
        self, stream: StreamProtocol, wire: WireName | None, initiator: bool, expect: bytes | None
    ) -> Connection[StreamProtocol]:
        """Make the connection of a stream, and make room for it if there are too many."""
        if not initiator and self.machine.connections >= self.limits.connections:
            stranger = self.machine.oldest_stranger()
            if stranger is not None:
                text = "not a member of any drive: gave way to newer connections"
                self.loop.call_soon(stranger.owner.fail, RemoteProtocolError(text))
            else:
                self.loop.call_soon(stream.abort)
        self.streams.add(stream)
        if self.closed:
            self.loop.call_soon(stream.abort)
        return self.machine.make_connection(
            wire=wire,
            initiator=initiator,
            key_pair=self.key_pair,
            entropy=os.urandom,
            now=self.loop.time(),
            expect=expect,
            hold=self._authenticate is not None,
            owner=stream,
        )

    def receive_events(self, connection: Connection[StreamProtocol], events: list[Event]) -> None:
        """Hand the events of a connection to the machine."""
        self.machine.receive_events(connection, events, self.loop.time())
        self._keep_time()

    def remove(self, stream: StreamProtocol, reason: str, unsent: int) -> None:
        """Remove a stream that has ended."""
        self.streams.discard(stream)
        self.machine.remove_connection(stream.connection, self.loop.time(), reason=reason, unsent=unsent)
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
        for stream in self.streams:
            stream.flush_soon()

    def _keep_time(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline = self.machine.next_deadline()
        self._timer = None if math.isinf(deadline) else self.loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self.machine.handle_deadline(self.loop.time())
        self._keep_time()

    # The `Host` of the machine. None of these methods may call the machine, so they postpone such calls.

    def news(self, handle: TopicHandle[StreamProtocol, Wakeable] | Watch[Wakeable]) -> None:
        """Wake the receiver of a handle."""
        handle.owner.wake()

    def rerouted(self) -> None:
        """Wake the senders that wait for a connection."""
        self._rerouted.set()

    def readable(self, connection: Connection[StreamProtocol]) -> None:
        """Read a connection again."""
        self.loop.call_soon(connection.owner.resume)

    def wake(self, connection: Connection[StreamProtocol]) -> None:
        """Write the output of a connection."""
        connection.owner.flush_soon()

    def retire(self, connection: Connection[StreamProtocol]) -> None:
        """End a duplicate connection in good order."""
        self.loop.call_soon(connection.owner.finish)

    def drop(self, connection: Connection[StreamProtocol], error: RemoteProtocolError) -> None:
        """Close a connection because of the remote's fault."""
        self.loop.call_soon(connection.owner.fail, error)
