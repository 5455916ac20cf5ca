"""`SwarmRuntime`: moves a swarm's datagrams, handles its deadlines, and turns its events into connections."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import attrs
import trio

from peersockets_core import Address as NodeAddress
from peersockets_core import PeerUnreachable, Refused, RemoteProtocolError
from peersockets_core.dht import (
    Accepted,
    ConnectionRequested,
    Dial,
    DialFailed,
    Dialled,
    HyperDht,
    HyperDhtLimits,
    Incoming,
    IncomingPunch,
    PunchFailed,
)
from peersockets_core.dht.rpc import Socket
from peersockets_core.info import ConnectionInfo
from peersockets_core.swarm import Swarm, SwarmEvent
from peersockets_core.wires.keys import Keys

from ..instruments import Instrument
from ..udp import ProbeSocket, UdpSocket, UdxStream
from . import bootstrap as bootstrapping
from .addresses import ANY_HOST
from .bootstrap import RETRY, BootstrapNode, is_ipv4
from .connection_task import ConnectionTask
from .network_watch import INTERVAL, NetworkWatch
from .node_runtime import NodeRuntime

if TYPE_CHECKING:
    from peersockets_core.address import PathAddress, SocketAddress

Attach = Callable[[UdxStream, Keys, bool, "SocketAddress"], ConnectionTask]
"""A function that makes a connection of the node on an encrypted stream, from the keys, whether we dialled,
and the address."""

WITHDRAW_TIME: Final = 2.0
"""Seconds that leaving waits for nodes of the DHT to remove our announcements."""

PASSIVE_TIME: Final = 10.0
"""Seconds to wait for the first packet of a remote that connects to us (hyperdht 6.34.0)."""


@attrs.define(eq=False)
class _Dialling:
    """A dial that a task waits for."""

    ours: bool
    """Whether a task has begun it, and not the swarm by itself."""
    tasks: int = 0
    done: trio.Event = attrs.field(factory=trio.Event)
    info: ConnectionInfo | None = None
    error: Exception | None = None


class _Connections(Instrument):
    """Reports the node's connections on every transport to a swarm, which does not dial connected peers."""

    def __init__(self, runtime: SwarmRuntime) -> None:
        self._runtime = runtime

    def connection_opened(self, info: ConnectionInfo) -> None:
        if info.wire == "hypercore11":
            self._runtime.connection_opened(info)

    def connection_closed(self, info: ConnectionInfo, reason: str, unsent: int) -> None:
        if info.wire == "hypercore11":
            self._runtime.connection_closed(info.public_key)


class SwarmRuntime:
    """The internals of a `peersockets_trio.Swarm`."""

    def __init__(
        self,
        node_runtime: NodeRuntime,
        udp: UdpSocket,
        bootstrap: tuple[BootstrapNode, ...],
        attach: Attach,
        nursery: trio.Nursery,
        on_event: Callable[[SwarmEvent], None],
        *,
        persistent: bool,
        probe: ProbeSocket | None,
        limits: HyperDhtLimits,
    ) -> None:
        """Begin. With a `probe`, the node becomes persistent by itself once strangers have been able to reach
        it for long enough.
        """
        self.node_runtime = node_runtime
        self.udp = udp
        self._probe = probe
        self.closed = False
        self._bootstrap = bootstrap
        self._attach = attach
        self._nursery = nursery
        self._on_event = on_event
        self._scope = trio.CancelScope()
        self._dials: dict[bytes, UdxStream] = {}
        """For each dialled key, the stream that waits for its answer."""
        self._waiting: dict[bytes, _Dialling] = {}
        self._arriving: dict[IncomingPunch, UdxStream] = {}
        """For each punch of a remote that has dialled us, the stream that it is for."""
        self._claimed: set[int] = set()
        """The paths that a stream is about to use."""
        self._sockets_closed = 0
        self._answering = 0
        """The number of incoming handshakes that are being decided or wait for their stream."""
        self.tasks: set[ConnectionTask] = set()
        """The connections on this swarm's socket. Ended ones are removed when the next one is added."""
        known = [node for node in bootstrap if is_ipv4(node[0])]
        first = not bootstrap
        self.machine = Swarm(
            HyperDht(
                key_pair=node_runtime.key_pair,
                entropy=os.urandom,
                now=trio.current_time(),
                bootstrap=known,
                persistent=persistent or first or (None if probe is not None else False),
                first=first,
                port=udp.address[1],
                limits=limits,
                address=udp.address if first and udp.address[0] != ANY_HOST else None,
            ),
            os.urandom,
            open_stream=self._open_stream,
        )
        self._instrument = _Connections(self)
        self._withdrawn = trio.lowlevel.ParkingLot()
        self._hurried = False
        self.silent = False
        """Whether the swarm is suspended and therefore sends and receives nothing."""
        self._watch = NetworkWatch(udp)
        udp.on_datagram = self._receive
        udp.on_datagrams_read = self.flush
        if probe is not None:
            probe.on_datagram = self._receive_probed

    # Moving

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Handle deadlines for ever."""
        self.node_runtime.telemetry.add(self._instrument)
        for task in self.node_runtime.tasks:
            if task.info is not None:
                self._instrument.connection_opened(task.info)
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._resolve)
                nursery.start_soon(self._watch_network)
                await self._keep_time()
        finally:
            self.node_runtime.telemetry.remove(self._instrument)

    async def _keep_time(self) -> None:
        while True:
            self.flush()
            deadline = math.inf if self.silent else self.machine.next_deadline()
            with trio.CancelScope(deadline=deadline) as self._scope:
                await trio.sleep_forever()
            if not self.silent:
                self._dispatch(self.machine.handle_deadline(trio.current_time()))

    async def _watch_network(self) -> None:
        """Announce, look up and dial anew whenever the network may have changed, for ever."""
        while True:
            hosts = [host for host, _ in self.machine.dht.node.bootstrap]
            changed = self._watch.look(hosts)
            self.machine.dht.local_addresses = self._watch.addresses
            if changed and not self.machine.suspended:
                self.machine.network_changed(trio.current_time())
                self.flush()
            self._close_paths()
            await trio.sleep(INTERVAL)

    def flush(self) -> None:
        """Send the datagrams that the machine has queued, and schedule its next deadline."""
        if self.closed or self.silent:
            return
        now = trio.current_time()
        self.udp.send_datagrams(self.machine.datagrams_to_send(now))
        for datagram in self.machine.dht.punch_datagrams_to_send(now):
            self.udp.send_on_path(datagram.socket, datagram.data, datagram.to, datagram.ttl)
        if self._sockets_closed != self.machine.dht.punching.sockets_closed:
            self._close_paths()
        if self._probe is not None:
            probed = self.machine.datagrams_to_send(trio.current_time(), socket=Socket.PROBE)
            for destination, (data,), _ in probed:
                self._probe.send_datagram(data, destination)
        self._scope.deadline = min(self._scope.deadline, self.machine.next_deadline())

    def _close_paths(self) -> None:
        """Close the sockets of punches that are over, except those that carry a stream."""
        punching = self.machine.dht.punching
        self._sockets_closed = punching.sockets_closed
        self.udp.close_idle_paths(self._claimed | punching.sockets.keys())

    def _receive(self, datagram: memoryview, source: PathAddress) -> None:
        if self.closed or self.silent:
            return
        now = self.udp.read_time
        socket = source[2] if len(source) == 3 else Socket.MAIN
        events = self.machine.receive_datagrams(
            datagram, len(datagram), (source[0], source[1]), now, socket=socket
        )
        if events or self._withdrawn:
            self._dispatch(events)

    def _receive_probed(self, datagram: bytes, source: SocketAddress) -> None:
        if self.closed:
            return
        now = trio.current_time()
        self._dispatch(
            self.machine.receive_datagrams(datagram, len(datagram), source, now, socket=Socket.PROBE)
        )
        self.flush()

    async def _resolve(self) -> None:
        """Resolve the names of the bootstrap nodes, and try again as long as there is no network."""
        while names := [node for node in self._bootstrap if not is_ipv4(node[0])]:
            found = await bootstrapping.resolve(names)
            if found:
                self.machine.dht.node.bootstrap += tuple(found)
                self.machine.dht.node.look_around(trio.current_time())
                self.flush()
                return
            await trio.sleep(RETRY)

    # Events

    def _dispatch(self, events: Iterable[SwarmEvent]) -> None:
        for event in events:
            match event:
                case ConnectionRequested(incoming):
                    self._nursery.start_soon(self._answer, incoming)
                case Dialled(dial, keys, remote_id, address):
                    self._claim(address)
                    self._nursery.start_soon(self._connect, dial, keys, remote_id, address)
                case DialFailed(dial, reason):
                    self._dials.pop(dial.public_key).abandon()
                    error = PeerUnreachable(reason)
                    self.node_runtime.telemetry.failed(None, "hypercore11", dial.public_key, error)
                    self._end_dial(dial.public_key, error=error)
                case PunchFailed(punch, reason):
                    self._give_up(punch, reason)
                case _:
                    self._on_event(event)
        if self._withdrawn and not self.machine.withdrawing:
            self._withdrawn.unpark_all()

    async def wait_withdrawn(self) -> None:
        """Wait until the nodes that keep our announcements have removed them."""
        while self.machine.withdrawing and not self._hurried:
            await self._withdrawn.park()

    def hurry(self) -> None:
        """Stop waiting for confirmations."""
        self._hurried = True
        self._withdrawn.unpark_all()

    async def _answer(self, incoming: Incoming) -> None:
        """Decide about a remote that wants to connect, and accept its stream. A refused remote gets no
        answer.
        """
        machine, node_runtime = self.machine.dht, self.node_runtime
        info = ConnectionInfo(incoming.remote_public_key, "hypercore11", NodeAddress(*incoming.address))
        if self._answering >= machine.limits.incoming_handshakes:
            machine.refuse(incoming)
            return
        self._answering += 1
        try:
            if node_runtime.authenticate is not None:
                with trio.move_on_at(incoming.expires):
                    await node_runtime.authenticate(info)
            if (
                self.closed
                or self.machine.suspended
                or incoming.expired(trio.current_time())
                or not node_runtime.make_slot()
            ):
                return
            stream = self._new_stream()
            accepted = machine.accept(incoming, stream.local_id, trio.current_time())
            self.flush()
            if accepted is None:
                stream.abandon()
            else:
                await self._welcome(incoming, stream, accepted)
        except Refused as refusal:
            if not incoming.expired(trio.current_time()):
                machine.refuse(incoming)
            node_runtime.telemetry.failed(info.address, "hypercore11", info.public_key, refusal)
        finally:
            self._answering -= 1

    async def _welcome(self, incoming: Incoming, stream: UdxStream, accepted: Accepted) -> None:
        """Carry the stream of an accepted remote, after hole punching if that is necessary."""
        address: PathAddress | None = accepted.address
        punch = incoming.punch
        try:
            if punch is not None:
                self._arriving[punch] = stream
                with suppress(trio.ClosedResourceError):  # the punch has failed
                    address = await stream.wait_early()
                if address is None:
                    return
                self._claim(address)
                self.machine.dht.arrived(incoming, address, trio.current_time())
            await self._carry(stream, accepted.keys, accepted.remote_stream_id, address, False)
        finally:
            if punch is not None:
                self._arriving.pop(punch, None)
                self.machine.dht.abandon(incoming, trio.current_time())
                self.flush()

    def _claim(self, address: PathAddress | None) -> None:
        """Keep the path of a stream that is about to be connected."""
        if address is not None and len(address) == 3:
            self._claimed.add(address[2])

    def _give_up(self, punch: IncomingPunch, reason: str) -> None:
        """End the wait for the stream of a remote that cannot reach us."""
        stream = self._arriving.pop(punch, None)
        if stream is not None:
            stream.abandon()
        self.node_runtime.telemetry.failed(None, "hypercore11", punch.public_key, PeerUnreachable(reason))

    async def _connect(self, dial: Dial, keys: Keys, remote_id: int, address: PathAddress | None) -> None:
        """Connect the stream of a dialled key, and wait until the remote is admitted."""
        stream = self._dials.pop(dial.public_key)
        task = await self._carry(stream, keys, remote_id, address, True)
        error: Exception
        if task is None:
            error = PeerUnreachable("the peer answered, but its stream did not arrive")
        else:
            try:
                await task.handshaken()
            except (RemoteProtocolError, Refused, trio.BrokenResourceError) as failure:
                error = failure
            else:
                return  # `connection_opened` has ended the dial
        self.machine.connection_lost(dial.public_key, trio.current_time())
        self._end_dial(dial.public_key, error=error)
        self.flush()

    async def _carry(
        self, stream: UdxStream, keys: Keys, remote_id: int, address: PathAddress | None, initiator: bool
    ) -> ConnectionTask | None:
        """Connect a stream, after the remote's first packet if necessary; returns its task, or None if that
        fails.
        """
        if address is None:
            with trio.move_on_after(PASSIVE_TIME):
                address = await stream.wait_early()
        if address is not None and len(address) == 3:
            self._claimed.discard(address[2])
        if address is None or self.closed or self.machine.suspended:
            stream.abandon()
            return None
        stream.connect(remote_id, address)
        task = self._attach(stream, keys, initiator, (address[0], address[1]))
        self.tasks = {other for other in self.tasks if not other.connection.closed} | {task}
        return task

    # Commands

    async def connect(self, public_key: bytes, relays: Iterable[SocketAddress]) -> ConnectionInfo:
        """Dial a key, and return once its connection is admitted. Raises the error of a failed dial."""
        waiting = self._waiting.get(public_key)
        if waiting is None:
            waiting = self._waiting[public_key] = _Dialling(public_key not in self._dials)
            if waiting.ours:
                self.machine.connect(public_key, trio.current_time(), relays=relays)
                self.flush()
        waiting.tasks += 1
        try:
            await waiting.done.wait()
        finally:
            waiting.tasks -= 1
            if not waiting.tasks and not waiting.done.is_set():
                self._leave_dial(public_key, waiting)
        if waiting.error is not None:
            raise waiting.error
        assert waiting.info is not None
        return waiting.info

    def _leave_dial(self, public_key: bytes, waiting: _Dialling) -> None:
        """Cancel a dial for which no task waits any more, unless the swarm has begun it by itself or its
        stream is connected.
        """
        self._waiting.pop(public_key, None)
        if waiting.ours and public_key in self._dials:
            self._dials.pop(public_key).abandon()
            self.machine.cancel_dial(public_key, trio.current_time())
            self.flush()

    def connection_opened(self, info: ConnectionInfo) -> None:
        """Note that a connection with a key exists, on any transport."""
        self.machine.connection_opened(info.public_key, trio.current_time())
        self._end_dial(info.public_key, info=info)
        self.flush()

    def connection_closed(self, public_key: bytes) -> None:
        """Note that a connection has ended; another one with the same key may be left."""
        if self.node_runtime.machine.connection_to("hypercore11", public_key) is None:
            self.machine.connection_lost(public_key, trio.current_time())
            self.flush()

    async def suspend(self) -> None:
        """Withdraw the announcements, end the connections, and stay silent until `resume`."""
        self.machine.suspend(trio.current_time())
        self.flush()
        try:
            with trio.move_on_after(WITHDRAW_TIME):
                await self.wait_withdrawn()
            await self.finish()
        finally:
            self.silent = self.machine.suspended

    def resume(self) -> None:
        """Continue after `suspend`."""
        self.silent = False
        self.machine.resume(trio.current_time())
        self.flush()

    async def finish(self) -> None:
        """End the connections on this swarm's socket in good order, for up to `Limits.linger`."""
        linger = self.node_runtime.limits.linger
        for task in self.tasks:
            if not task.connection.closed:
                task.finish(linger)
        with trio.move_on_after(linger):
            while any(not task.connection.closed for task in self.tasks):
                await self.node_runtime.changed.park()

    def close(self) -> None:
        """Stop sending and receiving."""
        self.flush()
        self.closed = True
        self.udp.on_datagram = self.udp.on_datagrams_read = None
        for stream in self._dials.values():
            stream.abandon()
        self._dials.clear()
        for public_key in list(self._waiting):
            self._end_dial(public_key, error=trio.ClosedResourceError("the swarm was closed"))

    def _end_dial(
        self, public_key: bytes, *, info: ConnectionInfo | None = None, error: Exception | None = None
    ) -> None:
        waiting = self._waiting.pop(public_key, None)
        if waiting is not None:
            waiting.info, waiting.error = info, error
            waiting.done.set()

    def _open_stream(self, public_key: bytes) -> int:
        """Open the stream for a dial; returns its id."""
        stream = self._dials[public_key] = self._new_stream()
        return stream.local_id

    def _new_stream(self) -> UdxStream:
        while True:
            local_id = int.from_bytes(os.urandom(4))
            if local_id not in self.udp.endpoint.streams:
                return self.udp.open_stream(local_id)
