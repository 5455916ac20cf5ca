"""`Node`: all connections of one identity, and the drives open on them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import Final

import attrs
import trio

from peersockets_core import (
    DEFAULT_LIMITS,
    Address,
    DriveKey,
    KeyPair,
    Limits,
    Refused,
    TopicScope,
    WireName,
)
from peersockets_core.dht import DEFAULT_HYPER_DHT_LIMITS, HyperDhtLimits
from peersockets_core.topics.naming import TOPIC_SCOPES
from peersockets_core.wires.keys import Keys

from .drive import Drive
from .info import Authenticate, ConnectionInfo, NodeStatistics, PeerInfo
from .instruments import Instrument
from .reconnect import DEFAULT_BACKOFF, Backoff, KeptConnection
from .runtime.addresses import address_of
from .runtime.background import background_tasks
from .runtime.bootstrap import PUBLIC_BOOTSTRAP, BootstrapNode
from .runtime.checks import check_address, check_expect, check_host, check_port, check_timeout, check_wire
from .runtime.connection_task import ConnectionTask, attached
from .runtime.home import Home
from .runtime.memory import keep_memory
from .runtime.node_runtime import NodeRuntime
from .runtime.places import accept_connections
from .runtime.transport import connect, listen, remote_address
from .swarm import Swarm, open_swarm
from .udp import UdxStream

CONNECT_TIMEOUT: Final = 10.0
"""Seconds that a host may take to answer. A system's own limit is about two minutes; a host farther away than
ten seconds could not finish a handshake within `Limits.handshake_time` either."""


@attrs.frozen
class Listener:
    """A listening socket of a node."""

    address: Address
    """Host and port it is bound to."""
    _home: Home = attrs.field(repr=False)
    _scope: trio.CancelScope = attrs.field(repr=False)
    _listener: trio.SocketListener = attrs.field(repr=False)

    async def aclose(self) -> None:
        """Listen no longer; connections that are there stay."""
        self._home.check()
        self._scope.cancel()
        await self._listener.aclose()


class Node:
    """Made by `open_node`."""

    def __init__(self, runtime: NodeRuntime, nursery: trio.Nursery) -> None:
        self._runtime = runtime
        self._nursery = nursery
        self._children: list[Drive | KeptConnection] = []

    @property
    def public_keys(self) -> Mapping[WireName, bytes]:
        """The keys by which remotes know this node, 32 bytes for each wire."""
        return MappingProxyType(self._runtime.key_pair.public_keys)

    async def listen_tcp(self, port: int, *, host: str) -> list[Listener]:
        """Listen for connections on every address that `host` has; port 0 is any free one.

        Raises `ValueError` for a port that is none, `OSError` where binding fails.
        """
        check_port(port, lowest=0)
        self._check_open()
        check_host(host)
        opened = await listen(host, port)
        listeners = []
        try:
            for listener in opened:
                scope = trio.CancelScope()
                address = address_of(listener.socket.getsockname())
                assert address is not None
                listeners.append(Listener(address, self._runtime.home, scope, listener))
                await self._nursery.start(self._serve, listener, scope)
        except BaseException:
            for bound in listeners:
                bound._scope.cancel()
            for listener in opened:
                listener.socket.close()
            raise
        for bound in listeners:
            self._runtime.report.listening(bound.address)
        return listeners

    async def connect_tcp(
        self,
        host: str,
        port: int,
        *,
        wire: WireName,
        expect: bytes | str | None = None,
        timeout: float = CONNECT_TIMEOUT,
    ) -> ConnectionInfo:
        """Connect, and return after the handshake, once the remote is admitted.

        `expect` is the public key that the remote has to prove, 32 bytes or 64 hex digits; one that proves
        another does not even learn ours. `timeout` is how many seconds the host may take to be resolved and
        to answer; the handshake then has `Limits.handshake_time`.

        Raises `ValueError` for a bad port, wire, `expect` or `timeout`, `OSError` where no connection comes
        about (`TimeoutError` after `timeout`), `RemoteProtocolError` if the other end does not speak the
        wire, its subclass `UnexpectedKey` for another key than the one expected, `Refused` for one that
        `authenticate` refuses, `trio.BrokenResourceError` if the remote breaks off.
        """
        check_port(port, lowest=1)
        check_wire(wire)
        key = check_expect(expect)
        check_timeout(timeout)
        self._check_open()
        check_host(host)
        task = await self._dial(Address(host, port), wire, key, timeout)
        return task.facts()

    def keep_connected(
        self,
        address: tuple[str, int],
        *,
        wire: WireName,
        expect: bytes | str | None = None,
        backoff: Backoff = DEFAULT_BACKOFF,
        timeout: float = CONNECT_TIMEOUT,
    ) -> KeptConnection:
        """Connect to a host and port, and again whenever that fails or ends; returns at once.

        Tell how it goes by iterating over what it returns, or by its `connected`. As long as the remote's
        key is connected in another way (it may have dialled us), it is not dialled. Goes on until the
        returned handle is closed, or the node. `timeout` is that of each dial, as for `connect_tcp`.

        Raises `TypeError` or `ValueError` for a bad address, wire, `expect` or `timeout`.
        """
        check_address(address)
        check_wire(wire)
        key = check_expect(expect)
        check_timeout(timeout)
        self._check_open()
        dial = partial(self._dial, Address(*address), wire, key, timeout)
        kept = KeptConnection(self._runtime, address, wire, key, dial, backoff)
        self._adopt(kept)
        self._nursery.start_soon(kept.run)
        return kept

    async def attach(
        self,
        stream: trio.abc.Stream,
        *,
        wire: WireName,
        initiator: bool,
        expect: bytes | str | None = None,
    ) -> ConnectionInfo:
        """Connect over a stream that is there, which then belongs to the node; otherwise as `connect_tcp`.

        Raises `trio.BusyResourceError` for a stream that belongs to a connection already.
        """
        check_wire(wire)
        key = check_expect(expect)
        self._runtime.home.check()
        if id(stream) in attached:
            raise trio.BusyResourceError("the stream belongs to a connection already")
        address = remote_address(stream)
        task = await self._attach(stream, wire, initiator, key, address)
        return task.facts()

    def open_swarm(
        self,
        *,
        bootstrap: Iterable[BootstrapNode] = PUBLIC_BOOTSTRAP,
        host: str = "0.0.0.0",
        port: int = 0,
        persistent: bool | None = None,
        limits: HyperDhtLimits = DEFAULT_HYPER_DHT_LIMITS,
    ) -> AbstractAsyncContextManager[Swarm]:
        """Open a swarm: one UDP socket through which peers are found in HyperDHT, and connected to.

        Joining a drive there finds the applications that have it open, wherever they are. Connections made
        by a swarm are connections of the node like any other, and stay when a discovery is closed; they end
        with the swarm. `bootstrap` are the nodes of the DHT to begin with, pairs of host and port; with none,
        this node begins a network of its own. `limits` are the bounds of what others can have it keep and do.

        A `persistent` one is a complete node, which keeps the records of others, once most of them see it at
        one address; the first node of a network is one in any case. With None, it becomes one by itself once
        strangers have been able to reach it for 20 minutes (`HyperDhtLimits.rpc.stable_time`). Until then,
        a second UDP socket asks other nodes whether they can.

        Entering the block raises `TypeError` or `ValueError` for a bad argument, `OSError` where binding
        fails.
        """
        self._check_open()
        return open_swarm(
            self._runtime,
            self._attach_swarm,
            bootstrap=bootstrap,
            host=host,
            port=port,
            persistent=persistent,
            limits=limits,
        )

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
        drive = Drive(self._runtime, self._runtime.open_drive(parsed), topic_scope)
        self._adopt(drive)
        self._runtime.flush()
        return drive

    def peer(self, peer_id: int) -> PeerInfo:
        """Return what is known of a peer. Raises `UnknownPeer` for an id that was never given."""
        return self._runtime.peer(peer_id)

    def disconnect(self, peer_id: int, reason: str = "disconnected here") -> None:
        """Close every connection to a peer, at once: for one that does not read, or is not wanted.

        What was accepted for the peer and has not left is lost. Its `PeerLeft` has the `reason` and the
        bytes that were unsent. Nothing keeps the peer from coming back; `keep_connected` dials it again, and
        `authenticate` can refuse it. A peer that is not connected is left alone.

        Raises `UnknownPeer` for an id that was never given.
        """
        self._runtime.home.check()
        for link in list(self._runtime.machine.peer(peer_id).links):
            link.connection.owner.disconnect(reason)

    async def finish(self) -> None:
        """Close every connection in good order, before the node is closed, so that watches tell how it went.

        Sends what has been accepted and waits until the remotes have taken it and finished, too, for as
        long as `limits.linger`. Then every member has left: a `PeerLeft` with a reason, or with unsent bytes,
        is one that did not. Nothing can be listened to, connected or opened any more.
        """
        self._runtime.home.check()
        await self._runtime.finish()

    def statistics(self) -> NodeStatistics:
        """What the node has now, and has done so far."""
        return self._runtime.statistics()

    async def _dial(
        self, address: Address, wire: WireName, expect: bytes | None, timeout: float
    ) -> ConnectionTask:
        try:
            stream = await connect(*address, timeout)
        except OSError as error:
            self._runtime.report.failed(address, wire, None, error)
            raise
        return await self._attach(stream, wire, True, expect, remote_address(stream))

    async def _attach(
        self,
        stream: trio.abc.Stream,
        wire: WireName,
        initiator: bool,
        expect: bytes | None,
        address: Address | None,
    ) -> ConnectionTask:
        if self._runtime.closed:
            await trio.aclose_forcefully(stream)
            self._check_open()
        connection = self._runtime.connection(wire, initiator=initiator, expect=expect)
        task = ConnectionTask(self._runtime, stream, connection, address)
        self._nursery.start_soon(task.run)
        try:
            await task.handshaken()
        except Refused:
            raise  # the task is on its way out
        except BaseException:
            task.cancel()
            raise
        return task

    def _attach_swarm(
        self, stream: UdxStream, keys: Keys, initiator: bool, address: tuple[str, int]
    ) -> ConnectionTask:
        """Make a connection on a stream that HyperDHT's handshake has secured."""
        connection = self._runtime.connection(
            "hypercore11", initiator=initiator, keys=keys, admitted=not initiator
        )
        task = ConnectionTask(self._runtime, stream, connection, Address(*address))
        self._nursery.start_soon(task.run)
        return task

    async def _serve(
        self,
        listener: trio.SocketListener,
        scope: trio.CancelScope,
        task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        with scope:
            task_status.started()
            await accept_connections(listener, self._accept, self._nursery, self._runtime.wait_for_descriptor)

    async def _accept(self, stream: trio.SocketStream) -> None:
        if self._runtime.closed or not self._runtime.make_place():
            await trio.aclose_forcefully(stream)
            return
        connection = self._runtime.connection(None, initiator=False)
        await ConnectionTask(self._runtime, stream, connection, remote_address(stream)).run()

    def _check_open(self) -> None:
        self._runtime.home.check()
        if self._runtime.closed:
            raise trio.ClosedResourceError("this Node is closed")

    def _adopt(self, child: Drive | KeptConnection) -> None:
        self._children = [other for other in self._children if not other.closed]
        self._children.append(child)

    def _close_children(self) -> None:
        for child in self._children:
            child.close()


@asynccontextmanager
async def open_node(
    *,
    key_pair: KeyPair | None = None,
    authenticate: Authenticate | None = None,
    limits: Limits = DEFAULT_LIMITS,
    instruments: Iterable[Instrument] = (),
) -> AsyncIterator[Node]:
    """Open a node, with a new identity unless a `key_pair` is given.

    `authenticate` is an async function that is called with the `ConnectionInfo` of every remote, whoever
    dialled, once that has proved its key. Until it returns, nothing of the remote is delivered, and nothing
    of ours told to it: no drive, no topic. It refuses by raising `Refused`; any other exception is taken
    for a bug and comes out of the node. Its time is part of `limits.handshake_time`.

    `instruments` are told what the node does (see `Instrument`).

    Leaving the block sends what has been accepted for sending, for as long as `limits.linger`, and closes
    everything; leaving it by an exception or a cancellation closes everything at once.
    """
    keep_memory()
    runtime = NodeRuntime(key_pair or KeyPair.generate(os.urandom), limits, authenticate, instruments)
    async with background_tasks() as nursery:
        node = Node(runtime, nursery)
        nursery.start_soon(runtime.deadlines.run)
        nursery.start_soon(runtime.flusher.run)
        try:
            yield node
            node._close_children()
            await runtime.finish()
        finally:
            runtime.closed = True
            node._close_children()


def runtime_of(node: Node) -> NodeRuntime:
    """Return the inside of a node (see `peersockets_trio.testing.internals`)."""
    return node._runtime
