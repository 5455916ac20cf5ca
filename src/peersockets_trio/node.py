"""`Node`: all connections of one identity, and the drives open on them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

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
from peersockets_core.checks import (
    check_address,
    check_expect,
    check_host,
    check_port,
    check_timeout,
    check_wire,
)
from peersockets_core.info import Authenticate, ConnectionInfo, NodeStatistics, PeerInfo
from peersockets_core.topics.naming import check_scope
from peersockets_core.wires.keys import Keys

from .drive import Drive
from .instruments import Instrument
from .reconnect import DEFAULT_BACKOFF, Backoff, KeptConnection
from .runtime.addresses import address_of
from .runtime.affinity import Affinity
from .runtime.background import background_tasks
from .runtime.bootstrap import PUBLIC_BOOTSTRAP, BootstrapNode
from .runtime.connection_task import ConnectionTask, attached
from .runtime.memory import keep_memory
from .runtime.node_runtime import NodeRuntime
from .runtime.slots import accept_connections
from .runtime.transport import connect, listen, remote_address

if TYPE_CHECKING:
    from peersockets_core.dht import HyperDhtLimits

    from .runtime.direct import DirectStream
    from .swarm import Swarm

CONNECT_TIMEOUT: Final = 10.0
"""Seconds that a host may take to answer. The operating system's own limit is about two minutes, but a host
more than ten seconds away could not finish a handshake within `Limits.handshake_time` anyway."""


@attrs.frozen
class Listener:
    """A listening socket of a node, made by `Node.listen_tcp`."""

    address: Address
    """The host and port to which it is bound."""
    _affinity: Affinity = attrs.field(repr=False)
    _scope: trio.CancelScope = attrs.field(repr=False)
    _listener: trio.SocketListener = attrs.field(repr=False)

    async def aclose(self) -> None:
        """Stop listening. Existing connections stay."""
        self._affinity.check()
        self._scope.cancel()
        await self._listener.aclose()


class Node:
    """All connections of one identity, made by `open_node`.

    `open_swarm` finds peers by the keys of drives; `listen_tcp`, `connect_tcp` and `keep_connected` meet
    peers at addresses. `open_drive` opens a drive on all connections, present and future.
    """

    def __init__(self, runtime: NodeRuntime, nursery: trio.Nursery) -> None:
        self._runtime = runtime
        self._nursery = nursery
        self._children: list[Drive | KeptConnection] = []

    def __repr__(self) -> str:
        if self._runtime.closed:
            return "<Node, closed>"
        counted = self._runtime.statistics()
        return f"<Node {counted.connections} connections, {counted.drives} drives>"

    @property
    def public_keys(self) -> Mapping[WireName, bytes]:
        """This node's public key on each wire, 32 bytes each."""
        return MappingProxyType(self._runtime.key_pair.public_keys)

    async def listen_tcp(self, port: int, *, host: str) -> list[Listener]:
        """Listen for connections on every address of `host`. Port 0 takes any free port.

        Raises `ValueError` for a bad port, and `OSError` if binding fails.
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
                listeners.append(Listener(address, self._runtime.affinity, scope, listener))
                await self._nursery.start(self._serve, listener, scope)
        except BaseException:
            for bound in listeners:
                bound._scope.cancel()
            for listener in opened:
                listener.socket.close()
            raise
        for bound in listeners:
            self._runtime.telemetry.listening(bound.address)
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
        """Connect, and return once the handshake is finished and the remote is admitted.

        `expect` is the public key that the remote must prove, as 32 bytes or 64 hex digits. A remote with
        another key does not even learn ours. Resolving the host and connecting may take `timeout` seconds
        (10 by default), and then the handshake may take `Limits.handshake_time`.

        Raises `ValueError` for a bad port, wire, `expect` or `timeout`; `OSError` if connecting fails
        (`TimeoutError` after `timeout`); `RemoteProtocolError` if the remote does not speak the wire; its
        subclass `UnexpectedKey` if the remote has a different key than `expect`; `Refused` if
        `authenticate` refuses the remote; and `trio.BrokenResourceError` if the remote breaks off.
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
        """Connect to a host and port, and reconnect whenever that fails or ends. Returns at once.

        Iterate over the returned handle to follow its progress, or read its `connected`. The node does
        not dial as long as it has another connection to the remote's key (the remote may have dialled
        us). Dialling continues until the returned handle or the node is closed. `timeout` applies to each
        dial, as for `connect_tcp`.

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
        """Connect over an existing stream, which then belongs to the node; otherwise like `connect_tcp`.

        Raises `trio.BusyResourceError` if the stream already belongs to a connection.
        """
        check_wire(wire)
        key = check_expect(expect)
        self._runtime.affinity.check()
        if id(stream) in attached:
            raise trio.BusyResourceError("the stream already belongs to a connection")
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
        relay_through: bytes | str | None = None,
        limits: HyperDhtLimits | None = None,
    ) -> AbstractAsyncContextManager[Swarm]:
        """Open a swarm: one UDP socket that finds peers in HyperDHT and connects to them.

        Joining a drive there finds other applications that have the drive open, wherever they are. A swarm's
        connections are connections of the node like any others. They stay when a discovery is closed, and end
        with the swarm. `bootstrap` lists the first nodes of the DHT to ask, as pairs of host and port; if it
        is empty, this node begins a network of its own. `limits` bounds the memory and work that others can
        cause.

        A `persistent` swarm is a complete node of the DHT, which keeps the records of others, once most of
        them see it at the same address. The first node of a network is always persistent. With None, the
        swarm becomes persistent by itself once strangers have been able to reach it for 20 minutes
        (`HyperDhtLimits.rpc.stable_time`). Until then, a second UDP socket tests whether they can.

        `relay_through` is the public key of a blind relay: a node that forwards the encrypted streams of
        peers who cannot reach each other. The swarm meets peers there if its own NAT is random, or if hole
        punching has failed, and leaves it for a direct path as soon as there is one. The swarm also meets
        peers at the relays that they ask for.

        Entering the block raises `TypeError` or `ValueError` for a bad argument, and `OSError` if
        binding fails.
        """
        self._check_open()
        from .swarm import open_swarm  # UDX and HyperDHT take as long to import as all the rest

        return open_swarm(
            self._runtime,
            self._attach_swarm,
            bootstrap=bootstrap,
            host=host,
            port=port,
            persistent=persistent,
            relay_through=relay_through,
            limits=limits,
        )

    def open_drive(self, key: DriveKey | bytes | str, *, topic_scope: TopicScope = "drive") -> Drive:
        """Open a drive: offer it to all connections, and accept the remotes that know its key as members.

        `topic_scope` is `"drive"` for Beaker's topics, which only members can send to, or `"network"` for
        the topics of applications that use npm peersockets directly, which any connection can carry (see
        `TopicScope`).

        Raises `TypeError` or `ValueError` for a bad drive key, or an unknown scope.
        """
        parsed = DriveKey.parse(key)
        check_scope(topic_scope)
        self._check_open()
        drive = Drive(self._runtime, self._runtime.open_drive(parsed), topic_scope)
        self._adopt(drive)
        self._runtime.flush()
        return drive

    def peer(self, peer_id: int) -> PeerInfo:
        """Return the facts about a peer. Raises `UnknownPeer` if the id was never given, or its peer was
        forgotten.
        """
        return self._runtime.peer(peer_id)

    def disconnect(self, peer_id: int, reason: str = "disconnected here") -> None:
        """Close every connection to a peer at once, for example because it does not read, or is unwanted.

        Messages that were accepted for the peer but have not left are lost. Its `PeerLeft` has the `reason`
        and the number of unsent bytes. Nothing keeps the peer from coming back: `keep_connected` dials it
        again, while `authenticate` can refuse it. If the peer is not connected, nothing happens.

        Raises `UnknownPeer` if the id was never given, or its peer was forgotten.
        """
        self._runtime.affinity.check()
        for link in list(self._runtime.machine.peer(peer_id).links):
            link.connection.owner.disconnect(reason)

    async def finish(self) -> None:
        """Close every connection in good order before the node is closed, so that watches report the result.

        This sends all accepted messages, and waits up to `limits.linger` until the remotes have taken them
        and finished, too. Then every member has left. A `PeerLeft` with a reason or unsent bytes reports a
        member that did not take everything. The node cannot listen, connect or open drives any more.
        """
        self._runtime.affinity.check()
        await self._runtime.finish()

    def statistics(self) -> NodeStatistics:
        """Return the current counters."""
        return self._runtime.statistics()

    async def _dial(
        self, address: Address, wire: WireName, expect: bytes | None, timeout: float
    ) -> ConnectionTask:
        try:
            stream = await connect(*address, timeout)
        except OSError as error:
            self._runtime.telemetry.failed(address, wire, None, error)
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
            raise  # the task is ending by itself
        except BaseException:
            task.cancel()
            raise
        return task

    def _attach_swarm(
        self, stream: DirectStream, keys: Keys, initiator: bool, address: tuple[str, int]
    ) -> ConnectionTask:
        """Make a connection on a stream that HyperDHT's handshake has encrypted."""
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
        if self._runtime.closed or not self._runtime.make_slot():
            await trio.aclose_forcefully(stream)
            return
        connection = self._runtime.connection(None, initiator=False)
        await ConnectionTask(self._runtime, stream, connection, remote_address(stream)).run()

    def _check_open(self) -> None:
        self._runtime.affinity.check()
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
    """Open a node, with a new identity by default.

    `authenticate` is an async function. The node calls it with the `ConnectionInfo` of every remote that
    has proved its key, no matter which side dialled. Until it returns, the node delivers nothing from the
    remote, and reveals no drive and no topic to it. The function raises `Refused` to refuse the remote; any
    other exception is a bug and propagates out of the node. Its time counts as part of
    `limits.handshake_time`.

    `instruments` observe the node (see `Instrument`).

    Leaving the block sends all accepted messages, for up to `limits.linger` seconds, and then closes
    everything. An exception or a cancellation closes everything at once.
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
