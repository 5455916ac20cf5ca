"""`SwarmRuntime`: moves a swarm's datagrams, handles its deadlines, and dispatches its events."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import trio

from peersockets_core.dht import (
    ConnectionRequested,
    DialFailed,
    Dialled,
    HyperDht,
    HyperDhtLimits,
    PunchFailed,
    RelayClosed,
    Relayed,
    RelayOffered,
    RelayReached,
    Upgraded,
)
from peersockets_core.dht.rpc import Socket
from peersockets_core.swarm import Swarm, SwarmEvent
from peersockets_core.transitions import follow

from ..udp import ProbeSocket, UdpSocket
from . import bootstrap as bootstrapping
from .addresses import ANY_HOST
from .bootstrap import RETRY, BootstrapNode, is_ipv4
from .network_watch import INTERVAL, NetworkWatch
from .node_runtime import NodeRuntime
from .swarm_connections import Attach, SwarmConnections
from .swarm_state import MOVING, SWARM_STATES, SwarmSignal, SwarmState

if TYPE_CHECKING:
    from peersockets_core.address import PathAddress, SocketAddress

WITHDRAW_TIME: Final = 2.0
"""Seconds that leaving waits for nodes of the DHT to remove our announcements."""


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
        relay_through: bytes | None,
        limits: HyperDhtLimits,
    ) -> None:
        """Begin. With a `probe`, the node becomes persistent by itself once strangers have been able to reach
        it for long enough.
        """
        self.node_runtime = node_runtime
        self.udp = udp
        self._probe = probe
        self.state = SwarmState.OPEN
        self._bootstrap = bootstrap
        self._nursery = nursery
        self._on_event = on_event
        self._scope = trio.CancelScope()
        self.connections = SwarmConnections(self, attach)
        """The dials, and the connections on this swarm's socket."""
        self._sockets_closed = 0
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
            open_stream=self.connections.open_stream,
            relay_through=relay_through,
        )
        self._withdrawn = trio.lowlevel.ParkingLot()
        self._hurried = False
        self._watch = NetworkWatch(udp)
        udp.on_datagram = self._receive
        udp.on_datagrams_read = self.flush
        if probe is not None:
            probe.on_datagram = self._receive_probed

    # Moving

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Handle deadlines for ever."""
        self.node_runtime.telemetry.add(self.connections)
        for task in self.node_runtime.tasks:
            if task.info is not None:
                self.connections.connection_opened(task.info)
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._resolve)
                nursery.start_soon(self._watch_network)
                await self._keep_time()
        finally:
            self.node_runtime.telemetry.remove(self.connections)

    async def _keep_time(self) -> None:
        while True:
            self.flush()
            deadline = self.machine.next_deadline() if self.state in MOVING else math.inf
            with trio.CancelScope(deadline=deadline) as self._scope:
                await trio.sleep_forever()
            if self.state in MOVING:
                self._dispatch(self.machine.handle_deadline(trio.current_time()))

    async def _watch_network(self) -> None:
        """Announce, look up and dial again whenever the network may have changed, for ever."""
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
        if self.state not in MOVING:
            return
        now = trio.current_time()
        self.udp.send_datagrams(self.machine.datagrams_to_send(now))
        for datagram in self.machine.dht.punch_datagrams_to_send(now):
            self.udp.paths.send(datagram.socket, datagram.data, datagram.to, datagram.ttl)
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
        self.udp.close_idle_paths(self.connections.claimed | punching.sockets.keys())

    def _receive(self, datagram: memoryview, source: PathAddress) -> None:
        if self.state not in MOVING:
            return
        now = self.udp.read_time
        socket = source[2] if len(source) == 3 else Socket.MAIN
        events = self.machine.receive_datagrams(
            datagram, len(datagram), (source[0], source[1]), now, socket=socket
        )
        if events or self._withdrawn:
            self._dispatch(events)

    def _receive_probed(self, datagram: bytes, source: SocketAddress) -> None:
        if self.state not in MOVING:
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
                    self._nursery.start_soon(self.connections.answer, incoming)
                case Dialled(dial, keys, remote_id, address):
                    self.connections.claim(address)
                    self._nursery.start_soon(self.connections.dialled, dial, keys, remote_id, address)
                case DialFailed(dial, reason):
                    self.connections.dial_failed(dial.public_key, reason)
                case PunchFailed(punch, reason):
                    self.connections.give_up(punch, reason)
                case RelayOffered(pairing):
                    self.connections.relays.offered(pairing)
                case RelayReached(pairing, remote_id, address):
                    self.connections.claim(address)
                    self._nursery.start_soon(self.connections.relays.talk, pairing, remote_id, address)
                case Relayed(pairing, remote_id):
                    dialled = self.connections.relayed(pairing, remote_id)
                    if dialled is not None:
                        self._nursery.start_soon(self.connections.follow, *dialled)
                case Upgraded(pairing, remote_id, address):
                    self.connections.relays.upgraded(pairing, remote_id, address)
                case RelayClosed(pairing, reason):
                    self.connections.relays.closed(pairing, reason)
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

    # Commands

    async def suspend(self) -> None:
        """Withdraw the announcements, end the connections, and stay silent until `resume`."""
        self._signal(SwarmSignal.SUSPEND)
        self.machine.suspend(trio.current_time())
        self.flush()
        try:
            with trio.move_on_after(WITHDRAW_TIME):
                await self.wait_withdrawn()
            await self.connections.finish()
        finally:
            self._signal(SwarmSignal.SILENCE)

    def resume(self) -> None:
        """Continue after `suspend`."""
        self._signal(SwarmSignal.RESUME)
        self.machine.resume(trio.current_time())
        self.flush()

    def close(self) -> None:
        """Stop sending and receiving."""
        self.flush()
        self._signal(SwarmSignal.CLOSE)
        self.udp.on_datagram = self.udp.on_datagrams_read = None
        self.connections.close()

    @property
    def accepting(self) -> bool:
        """Whether new connections may begin."""
        return self.state is SwarmState.OPEN

    @property
    def closed(self) -> bool:
        """Whether the swarm was closed."""
        return self.state is SwarmState.CLOSED

    def _signal(self, signal: SwarmSignal) -> None:
        self.state = follow(SWARM_STATES, self.state, signal, "swarm")
