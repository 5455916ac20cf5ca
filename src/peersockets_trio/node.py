"""`Node`: all connections of one identity, and the drives open on them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType

import attrs
import trio

from peersockets_core import DEFAULT_LIMITS, WIRES, DriveKey, KeyPair, Limits, TopicScope, WireName
from peersockets_core.topics import TOPIC_SCOPES

from .drive import Drive
from .hub import Hub
from .info import ConnectionInfo, PeerInfo
from .pump import Pump


@attrs.frozen
class Listener:
    """A listening socket of a node."""

    address: tuple[str, int]
    """Host and port it is bound to."""
    _scope: trio.CancelScope = attrs.field(repr=False)
    _listener: trio.SocketListener = attrs.field(repr=False)

    async def aclose(self) -> None:
        """Listen no longer; connections that are there stay."""
        self._scope.cancel()
        await self._listener.aclose()


class Node:
    """Made by `open_node`."""

    def __init__(self, hub: Hub, nursery: trio.Nursery) -> None:
        self._hub = hub
        self._nursery = nursery
        self._drives: list[Drive] = []

    @property
    def public_keys(self) -> Mapping[WireName, bytes]:
        """The keys by which remotes know this node, 32 bytes for each wire."""
        return MappingProxyType(self._hub.key_pair.public_keys)

    async def listen_tcp(self, port: int, *, host: str) -> list[Listener]:
        """Listen for connections on every address that `host` has; port 0 is any free one.

        Raises `ValueError` for a port that is none, `OSError` where binding fails.
        """
        _check_port(port, lowest=0)
        self._check_open()
        _check_host(host)
        opened = await trio.open_tcp_listeners(port, host=host)
        listeners = []
        try:
            for listener in opened:
                scope = trio.CancelScope()
                listeners.append(Listener(listener.socket.getsockname()[:2], scope, listener))
                await self._nursery.start(self._serve, listener, scope)
        except BaseException:
            for bound in listeners:
                bound._scope.cancel()
            for listener in opened:
                listener.socket.close()
            raise
        return listeners

    async def connect_tcp(self, host: str, port: int, *, wire: WireName) -> ConnectionInfo:
        """Connect, and return after the handshake.

        Raises `ValueError` for a bad port or wire, `OSError` where no connection comes about,
        `RemoteProtocolError` if the other end does not speak the wire, `trio.BrokenResourceError` if it
        breaks off.
        """
        _check_port(port, lowest=1)
        _check_wire(wire)
        self._check_open()
        _check_host(host)
        stream = await trio.open_tcp_stream(host, port)
        return await self._attach(stream, wire, initiator=True, address=_remote_address(stream))

    async def attach(self, stream: trio.abc.Stream, *, wire: WireName, initiator: bool) -> ConnectionInfo:
        """Connect over a stream that is there, which then belongs to the node; otherwise as `connect_tcp`."""
        _check_wire(wire)
        address = _remote_address(stream) if isinstance(stream, trio.SocketStream) else None
        return await self._attach(stream, wire, initiator=initiator, address=address)

    def open_drive(self, key: DriveKey | bytes | str, *, topic_scope: TopicScope = "drive") -> Drive:
        """Open a drive: offer it to all connections, and welcome those that know its key.

        `topic_scope` is `"drive"` for Beaker's topics, heard from members only, or `"network"` for those of
        applications that use npm peersockets directly, heard from any connection (see `TopicScope`).

        Raises `TypeError` or `ValueError` for what is not a drive key, or another scope.
        """
        parsed = DriveKey.parse(key)
        if topic_scope not in TOPIC_SCOPES:
            raise ValueError(f"topic_scope must be one of {', '.join(TOPIC_SCOPES)}, not {topic_scope!r}")
        self._check_open()
        drive = Drive(self._hub, self._hub.machine.open_drive(parsed), topic_scope)
        self._drives = [other for other in self._drives if not other.closed]
        self._drives.append(drive)
        self._hub.flush()
        return drive

    def peer(self, peer_id: int) -> PeerInfo:
        """Return what is known of a peer. Raises `UnknownPeer` for an id that was never given."""
        return self._hub.peer(peer_id)

    async def _attach(
        self, stream: trio.abc.Stream, wire: WireName, *, initiator: bool, address: tuple[str, int] | None
    ) -> ConnectionInfo:
        if self._hub.closed:
            await trio.aclose_forcefully(stream)
            self._check_open()
        pump = Pump(self._hub, stream, self._hub.connection(wire, initiator=initiator), address)
        self._nursery.start_soon(pump.run)
        try:
            return await pump.handshaken()
        except BaseException:
            pump.cancel()
            raise

    async def _serve(
        self,
        listener: trio.SocketListener,
        scope: trio.CancelScope,
        task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        with scope:
            await trio.serve_listeners(
                self._accept, [listener], handler_nursery=self._nursery, task_status=task_status
            )

    async def _accept(self, stream: trio.SocketStream) -> None:
        if len(self._hub.pumps) >= self._hub.limits.connections or self._hub.closed:
            return
        connection = self._hub.connection(None, initiator=False)
        await Pump(self._hub, stream, connection, _remote_address(stream)).run()

    def _check_open(self) -> None:
        if self._hub.closed:
            raise trio.ClosedResourceError("this Node is closed")

    def _close_drives(self) -> None:
        for drive in self._drives:
            drive.close()


@asynccontextmanager
async def open_node(
    *, key_pair: KeyPair | None = None, limits: Limits = DEFAULT_LIMITS
) -> AsyncIterator[Node]:
    """Open a node, with a new identity unless a `key_pair` is given.

    Leaving the block sends what has been accepted for sending, for as long as `limits.linger`, and closes
    everything; leaving it by an exception or a cancellation closes everything at once.
    """
    hub = Hub(KeyPair.generate(os.urandom) if key_pair is None else key_pair, limits)
    raised: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            node = Node(hub, nursery)
            nursery.start_soon(hub.keep_time)
            nursery.start_soon(hub.flusher.run)
            try:
                yield node
                node._close_drives()
                await hub.finish()
            except BaseException as error:
                raised = error
            hub.closed = True
            node._close_drives()
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # The node's own tasks end by cancellation; anything else of theirs is a bug to be seen.
        if raised is None or group.split(trio.Cancelled)[1] is not None:
            raise
    # What the block raised comes out as it was, and not in a group.
    if raised is not None:
        raise raised


def _remote_address(stream: trio.SocketStream) -> tuple[str, int] | None:
    try:
        host, port = stream.socket.getpeername()[:2]
    except OSError:  # gone already, as the pump will find out
        return None
    return host, port


def _check_host(host: str) -> None:
    if not isinstance(host, str):
        raise TypeError(f"host must be str, not {type(host).__name__}")
    try:
        host.encode("idna")  # as the resolver is going to
    except UnicodeError as error:
        raise ValueError(f"host {host[:80]!r} is not a host name: {error}") from None


def _check_port(port: int, *, lowest: int) -> None:
    if not isinstance(port, int):
        raise TypeError(f"port must be int, not {type(port).__name__}")
    if not lowest <= port <= 65535:
        raise ValueError(f"port must be from {lowest} to 65535, not {port}")


def _check_wire(wire: str) -> None:
    if wire not in WIRES:
        raise ValueError(f"wire must be one of {', '.join(WIRES)}, not {wire!r}")
