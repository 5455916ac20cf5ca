"""`Node`: the connections of one identity, and the host of their machine."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs

from peersockets_core import (
    DEFAULT_LIMITS,
    Address,
    Connection,
    DriveKey,
    Event,
    KeyPair,
    Limits,
    LocalProtocolError,
    Peersockets,
    RemoteProtocolError,
    TopicHandle,
    TopicScope,
    Watch,
    WireName,
)
from peersockets_core.checks import check_expect, check_host, check_port, check_timeout, check_wire
from peersockets_core.info import Authenticate, ConnectionInfo, PeerInfo
from peersockets_core.topics.naming import check_scope

from .drive import Drive
from .host import Wakeable
from .link import Link

CONNECT_TIMEOUT = 10.0
"""Seconds that a host may take to answer."""


@attrs.frozen
class Listener:
    """A listening socket of a node, made by `Node.listen_tcp`."""

    address: Address
    """The host and port to which it is bound."""
    _server: asyncio.Server = attrs.field(repr=False)

    async def aclose(self) -> None:
        """Stop listening, also on the other addresses of the same `listen_tcp`. Existing connections stay."""
        self._server.close()


class Node:
    """All connections of one identity, made by `open_node`.

    It belongs to the event loop in which it was opened, and to that loop's thread.
    """

    def __init__(self, key_pair: KeyPair, limits: Limits, authenticate: Authenticate | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self.machine: Peersockets[Link, Wakeable] = Peersockets(self, limits)
        """The machine of the core."""
        self.closed = False
        self._key_pair = key_pair
        self._authenticate = authenticate
        self._links: set[Link] = set()
        self._servers: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None
        self._rerouted = asyncio.Event()

    @property
    def public_keys(self) -> dict[WireName, bytes]:
        """This node's public key on each wire, 32 bytes each."""
        return dict(self._key_pair.public_keys)

    # The application's calls

    async def listen_tcp(self, port: int, *, host: str) -> list[Listener]:
        """Listen for connections on every address of `host`. Port 0 takes any free port.

        Raises `TypeError` or `ValueError` for a bad argument, and `OSError` if binding fails.
        """
        check_port(port, lowest=0)
        check_host(host)
        self._check_open()
        server = await self.loop.create_server(
            lambda: Link(self, None, initiator=False, expect=None), host, port
        )
        self._servers.append(server)
        return [Listener(Address(*sock.getsockname()[:2]), server) for sock in server.sockets]

    async def connect_tcp(
        self,
        host: str,
        port: int,
        *,
        wire: WireName,
        expect: bytes | str | None = None,
        timeout: float = CONNECT_TIMEOUT,
    ) -> ConnectionInfo:
        """Connect, and return once the handshake is finished and the remote is admitted.

        `expect` is the public key that the remote must prove, as 32 bytes or 64 hex digits. Connecting may
        take `timeout` seconds, and then the handshake may take `Limits.handshake_time`.

        Raises `TypeError` or `ValueError` for a bad argument; `OSError` if connecting fails (`TimeoutError`
        after `timeout`), or if the remote breaks off; `RemoteProtocolError` if it does not speak the wire,
        or, as `UnexpectedKey`, has a different key; and `Refused` if `authenticate` refuses it.
        """
        check_port(port, lowest=1)
        check_wire(wire)
        key = check_expect(expect)
        check_timeout(timeout)
        check_host(host)
        self._check_open()
        link = Link(self, wire, initiator=True, expect=key)
        try:
            async with asyncio.timeout(None if math.isinf(timeout) else timeout):
                await self.loop.create_connection(lambda: link, host, port)
        except TimeoutError:
            place = Address(host, port)
            raise TimeoutError(f"{place} did not answer within {timeout:g} seconds") from None
        try:
            return await asyncio.shield(link.admitted)
        except asyncio.CancelledError:
            link.abort()
            raise

    def open_drive(self, key: DriveKey | bytes | str, *, topic_scope: TopicScope = "drive") -> Drive:
        """Open a drive: offer it to all connections, and accept the remotes that know its key as members.

        Raises `TypeError` or `ValueError` for a bad drive key, or an unknown scope.
        """
        parsed = DriveKey.parse(key)
        check_scope(topic_scope)
        self._check_open()
        return Drive(self, parsed, topic_scope)

    def peer(self, peer_id: int) -> PeerInfo:
        """Return the facts about a peer. Raises `UnknownPeer` if the id was never given, or its peer was
        forgotten.
        """
        peer = self.machine.peer(peer_id)
        return PeerInfo(
            peer_id=peer_id,
            public_key=peer.public_key,
            wire=peer.wire,
            address=peer.links[-1].connection.owner.address if peer.links else None,
            drives=tuple(self.machine.drives_of(peer_id)),
            unsent=sum(link.connection.outbox.message_size for link in peer.links),
        )

    async def aclose(self) -> None:
        """Send all accepted messages, for up to `Limits.linger` seconds, and close everything."""
        self.closed = True
        for server in self._servers:
            server.close()
        for link in list(self._links):
            link.finish()
        await asyncio.gather(*(link.ended.wait() for link in list(self._links)))

    def abort(self) -> None:
        """Close everything at once."""
        self.closed = True
        for server in self._servers:
            server.close()
        for link in list(self._links):
            link.abort()

    def _check_open(self) -> None:
        if self.closed:
            raise LocalProtocolError("this Node is closed")

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
        self._links.add(link)
        if self.closed:
            self.loop.call_soon(link.abort)
        return self.machine.make_connection(
            wire=wire,
            initiator=initiator,
            key_pair=self._key_pair,
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
        self._links.discard(link)
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
        for link in self._links:
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


@asynccontextmanager
async def open_node(
    *,
    key_pair: KeyPair | None = None,
    authenticate: Authenticate | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> AsyncIterator[Node]:
    """Open a node, with a new identity by default.

    `authenticate` is an async function. The node calls it with the `ConnectionInfo` of every remote that has
    proved its key. Until it returns, the remote learns of no drive and no topic; it raises `Refused` to
    refuse the remote.

    Leaving the block sends all accepted messages, for up to `limits.linger` seconds, and then closes
    everything. An exception or a cancellation closes everything at once.
    """
    node = Node(key_pair or KeyPair.generate(os.urandom), limits, authenticate)
    try:
        yield node
        await node.aclose()
    finally:
        node.abort()
