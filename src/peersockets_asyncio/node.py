"""`Node`: the connections of one identity."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs

from peersockets_core import (
    DEFAULT_LIMITS,
    Address,
    DriveKey,
    KeyPair,
    Limits,
    Peersockets,
    TopicScope,
    WireName,
)
from peersockets_core.checks import check_expect, check_host, check_port, check_timeout, check_wire
from peersockets_core.info import Authenticate, ConnectionInfo, PeerInfo
from peersockets_core.topics.naming import check_scope

from .drive import Drive
from .runtime import NodeRuntime
from .stream_protocol import StreamProtocol

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

    def __init__(self, runtime: NodeRuntime) -> None:
        self._runtime = runtime
        self._servers: list[asyncio.Server] = []
        self._drives: list[Drive] = []

    def __repr__(self) -> str:
        if self.closed:
            return "<Node, closed>"
        return f"<Node {self.machine.connections} connections, {self.machine.statistics().drives} drives>"

    @property
    def closed(self) -> bool:
        """Whether it was closed here."""
        return self._runtime.closed

    @property
    def machine(self) -> Peersockets[Any, Any]:
        """The machine of the core, which has `statistics` and more facts about peers and connections."""
        return self._runtime.machine

    @property
    def public_keys(self) -> dict[WireName, bytes]:
        """This node's public key on each wire, 32 bytes each."""
        return dict(self._runtime.key_pair.public_keys)

    async def listen_tcp(self, port: int, *, host: str) -> list[Listener]:
        """Listen for connections on every address of `host`. Port 0 takes any free port.

        Raises `TypeError` or `ValueError` for a bad argument, and `OSError` if binding fails.
        """
        check_port(port, lowest=0)
        check_host(host)
        self._runtime.check_open()
        runtime = self._runtime
        server = await runtime.loop.create_server(
            lambda: StreamProtocol(runtime, None, initiator=False, expect=None), host, port
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
        take `timeout` seconds (10 by default), and then the handshake may take `Limits.handshake_time`.

        Raises `TypeError` or `ValueError` for a bad argument; `OSError` if connecting fails (`TimeoutError`
        after `timeout`), or if the remote breaks off; `RemoteProtocolError` if it does not speak the wire,
        or, as `UnexpectedKey`, has a different key; and `Refused` if `authenticate` refuses it.
        """
        check_port(port, lowest=1)
        check_wire(wire)
        key = check_expect(expect)
        check_timeout(timeout)
        check_host(host)
        self._runtime.check_open()
        stream = StreamProtocol(self._runtime, wire, initiator=True, expect=key)
        try:
            async with asyncio.timeout(None if math.isinf(timeout) else timeout):
                await self._runtime.loop.create_connection(lambda: stream, host, port)
        except TimeoutError:
            place = Address(host, port)
            raise TimeoutError(f"{place} did not answer within {timeout:g} seconds") from None
        try:
            return await asyncio.shield(stream.admitted)
        except asyncio.CancelledError:
            stream.abort()
            raise

    def open_drive(self, key: DriveKey | bytes | str, *, topic_scope: TopicScope = "drive") -> Drive:
        """Open a drive: offer it to all connections, and accept the remotes that know its key as members.

        Raises `TypeError` or `ValueError` for a bad drive key, or an unknown scope.
        """
        parsed = DriveKey.parse(key)
        check_scope(topic_scope)
        self._runtime.check_open()
        drive = Drive(self._runtime, parsed, topic_scope)
        self._drives = [other for other in self._drives if not other.closed]
        self._drives.append(drive)
        return drive

    def peer(self, peer_id: int) -> PeerInfo:
        """Return the facts about a peer. Raises `UnknownPeer` if the id was never given, or its peer was
        forgotten.
        """
        return self._runtime.peer(peer_id)

    async def aclose(self) -> None:
        """Send all accepted messages, for up to `Limits.linger` seconds, and close everything.

        Watches still report the members that leave meanwhile, with the bytes that did not reach them.
        """
        self._stop_listening()
        await self._runtime.finish()
        self._close_drives()

    def abort(self) -> None:
        """Close everything at once."""
        self._stop_listening()
        self._runtime.abort()
        self._close_drives()

    def _stop_listening(self) -> None:
        for server in self._servers:
            server.close()

    def _close_drives(self) -> None:
        for drive in self._drives:
            drive.close()


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
    node = Node(NodeRuntime(key_pair or KeyPair.generate(os.urandom), limits, authenticate))
    try:
        yield node
        await node.aclose()
    finally:
        node.abort()
