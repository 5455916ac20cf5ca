"""`SwarmConnections`: turns the handshakes of a swarm, in both directions, into connections of the node."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import attrs
import trio

from peersockets_core import Address as NodeAddress
from peersockets_core import PeerUnreachable, Refused, RemoteProtocolError
from peersockets_core.dht import Accepted, Dial, HyperDht, Incoming, IncomingPunch, Pairing
from peersockets_core.info import ConnectionInfo
from peersockets_core.swarm import Swarm
from peersockets_core.udx import State
from peersockets_core.wires.keys import Keys

from ..instruments import Instrument
from ..udp import UdpSocket, UdxStream
from .connection_task import ConnectionTask
from .node_runtime import NodeRuntime
from .relays import PASSIVE_TIME, Relays

if TYPE_CHECKING:
    from peersockets_core.address import PathAddress, SocketAddress

Attach = Callable[[UdxStream, Keys, bool, "SocketAddress"], ConnectionTask]
"""A function that makes a connection of the node on an encrypted stream, from the keys, whether we dialled,
and the address."""


class ConnectionsHost(Protocol):
    """The attributes and methods of a swarm's runtime that its connections use."""

    node_runtime: NodeRuntime
    udp: UdpSocket
    machine: Swarm

    @property
    def accepting(self) -> bool:
        """Whether new connections may begin."""
        ...

    def flush(self) -> None:
        """Send the datagrams that a command has caused."""


@attrs.define(eq=False)
class _Dialling:
    """A dial that a task waits for."""

    ours: bool
    """Whether a task has begun it, and not the swarm by itself."""
    tasks: int = 0
    done: trio.Event = attrs.field(factory=trio.Event)
    info: ConnectionInfo | None = None
    error: Exception | None = None


class SwarmConnections(Instrument):
    """The dials of one swarm, the remotes that dial it, and the connections on its socket.

    It is an instrument of its node, because a swarm does not dial a key that is connected on any transport.
    """

    def __init__(self, runtime: ConnectionsHost, attach: Attach) -> None:
        self._runtime = runtime
        self._attach = attach
        self._dials: dict[bytes, UdxStream] = {}
        """For each dialled key, the stream that waits for its answer."""
        self._waiting: dict[bytes, _Dialling] = {}
        self._arriving: dict[IncomingPunch, UdxStream] = {}
        """For each punch of a remote that has dialled us, the stream that it is for."""
        self._accepted: dict[Pairing, Incoming] = {}
        """For each pairing with a remote that has dialled us, its handshake."""
        self.relays = Relays(self)
        """The connections to blind relays."""
        self.claimed: set[int] = set()
        """The paths that a stream is about to use."""
        self._answering = 0
        """The number of incoming handshakes that are being decided or wait for their stream."""
        self.tasks: set[ConnectionTask] = set()
        """The connections on this swarm's socket. Ended ones are removed when the next one is added."""

    # For the relays

    @property
    def dht(self) -> HyperDht:
        """The node of the DHT."""
        return self._runtime.machine.dht

    @property
    def udp(self) -> UdpSocket:
        """The socket of all streams."""
        return self._runtime.udp

    def flush(self) -> None:
        """Send the datagrams that a command has caused."""
        self._runtime.flush()

    # Dialling

    async def connect(self, public_key: bytes, relays: Iterable[SocketAddress]) -> ConnectionInfo:
        """Dial a key, and return once its connection is admitted. Raises the error of a failed dial."""
        waiting = self._waiting.get(public_key)
        if waiting is None:
            waiting = self._waiting[public_key] = _Dialling(public_key not in self._dials)
            if waiting.ours:
                self._runtime.machine.connect(public_key, trio.current_time(), relays=relays)
                self._runtime.flush()
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
            self._runtime.machine.cancel_dial(public_key, trio.current_time())
            self._runtime.flush()

    async def dialled(self, dial: Dial, keys: Keys, remote_id: int, address: PathAddress | None) -> None:
        """Connect the stream of a dialled key, and wait until the remote is admitted."""
        stream = self._dials.pop(dial.public_key)
        task = await self._carry(stream, keys, remote_id, address, True)
        await self.follow(dial.public_key, task)

    async def follow(self, public_key: bytes, task: ConnectionTask | None) -> None:
        """Wait until a remote that we have dialled is admitted."""
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
        self._runtime.machine.connection_lost(public_key, trio.current_time())
        self._end_dial(public_key, error=error)
        self._runtime.flush()

    def relayed(self, pairing: Pairing, remote_id: int) -> tuple[bytes, ConnectionTask | None] | None:
        """Connect the stream of a peer through a blind relay. If we have dialled the peer, returns the
        arguments of `follow`, which the caller awaits.
        """
        incoming = self._accepted.pop(pairing, None)
        taken = self.relays.take_peer(pairing, incoming)
        if taken is None:
            return None
        stream, address = taken
        public_key = pairing.keys.remote_public_key
        dialled = self._dials.get(public_key) is stream
        task = self._join(stream, pairing.keys, remote_id, address, dialled)
        if not dialled:
            stream.early(address)  # `_welcome` waits for that
            return None
        del self._dials[public_key]
        return public_key, task

    def dial_failed(self, public_key: bytes, reason: str) -> None:
        """End a dial that has failed."""
        stream = self._dials.pop(public_key, None)
        if stream is not None:
            stream.abandon()
        error = PeerUnreachable(reason)
        self._runtime.node_runtime.telemetry.failed(None, "hypercore11", public_key, error)
        self._end_dial(public_key, error=error)

    # The connections of the node, on any transport

    def connection_opened(self, info: ConnectionInfo) -> None:
        if info.wire != "hypercore11":
            return
        self._runtime.machine.connection_opened(info.public_key, trio.current_time())
        self._end_dial(info.public_key, info=info)
        self._runtime.flush()

    def connection_closed(self, info: ConnectionInfo, reason: str, unsent: int) -> None:
        # Another connection with the same key may be left.
        if (
            info.wire == "hypercore11"
            and self._runtime.node_runtime.machine.connection_to(info.wire, info.public_key) is None
        ):
            self._runtime.machine.connection_lost(info.public_key, trio.current_time())
            self._runtime.flush()

    # Remotes that dial us

    async def answer(self, incoming: Incoming) -> None:
        """Decide about a remote that wants to connect, and accept its stream. A refused remote gets no
        answer.
        """
        machine, node_runtime = self._runtime.machine.dht, self._runtime.node_runtime
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
                not self._runtime.accepting
                or incoming.expired(trio.current_time())
                or not node_runtime.make_slot()
            ):
                return
            stream = self.new_stream()
            relay = self._runtime.machine.relay_for(incoming.remote_public_key)
            accepted = machine.accept(incoming, stream.local_id, trio.current_time(), relay_through=relay)
            if incoming.pairing is not None:
                self._accepted[incoming.pairing] = incoming
            self._runtime.flush()
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
        punch, relayed = incoming.punch, False
        try:
            if punch is not None:
                self._arriving[punch] = stream
                with suppress(trio.ClosedResourceError):  # the punch has failed
                    address = await stream.wait_early()
                if address is None:
                    return
                if stream.core.state is not State.OPEN:
                    relayed = True  # the punch goes on as long as the stream needs it
                    return
                self.claim(address)
                self._runtime.machine.dht.arrived(incoming, address, trio.current_time())
            await self._carry(stream, accepted.keys, accepted.remote_stream_id, address, False)
        finally:
            if punch is not None:
                self._arriving.pop(punch, None)
            if punch is not None and not relayed:
                if incoming.pairing is not None:
                    self._accepted.pop(incoming.pairing, None)
                self._runtime.machine.dht.abandon(incoming, trio.current_time())
                self._runtime.flush()

    def claim(self, address: PathAddress | None) -> None:
        """Keep the path of a stream that is about to be connected."""
        if address is not None and len(address) == 3:
            self.claimed.add(address[2])

    def unclaim(self, address: PathAddress | None) -> None:
        """Leave a path to its stream, which is about to be connected."""
        if address is not None and len(address) == 3:
            self.claimed.discard(address[2])

    def give_up(self, punch: IncomingPunch, reason: str) -> None:
        """End the wait for the stream of a remote that cannot reach us."""
        stream = self._arriving.pop(punch, None)
        if stream is not None:
            stream.abandon()
        self._runtime.node_runtime.telemetry.failed(
            None, "hypercore11", punch.public_key, PeerUnreachable(reason)
        )

    async def _carry(
        self, stream: UdxStream, keys: Keys, remote_id: int, address: PathAddress | None, initiator: bool
    ) -> ConnectionTask | None:
        """Connect a stream, after the remote's first packet if necessary; returns its task, or None if that
        fails.
        """
        if address is None:
            with trio.move_on_after(PASSIVE_TIME):
                address = await stream.wait_early()
        self.unclaim(address)
        if address is None:
            stream.abandon()
            return None
        return self._join(stream, keys, remote_id, address, initiator)

    def _join(
        self, stream: UdxStream, keys: Keys, remote_id: int, address: PathAddress, initiator: bool
    ) -> ConnectionTask | None:
        """Connect a stream; returns its task, or None if no new connections may begin."""
        if not self._runtime.accepting:
            stream.abandon()
            return None
        stream.connect(remote_id, address)
        task = self._attach(stream, keys, initiator, (address[0], address[1]))
        self.tasks = {other for other in self.tasks if not other.connection.closed} | {task}
        return task

    # The end

    async def finish(self) -> None:
        """End the connections on this swarm's socket in good order, for up to `Limits.linger`."""
        linger = self._runtime.node_runtime.limits.linger
        for task in self.tasks:
            if not task.connection.closed:
                task.finish(linger)
        with trio.move_on_after(linger):
            while any(not task.connection.closed for task in self.tasks):
                await self._runtime.node_runtime.changed.park()

    def close(self) -> None:
        """Give up all dials."""
        self.relays.close()
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

    def open_stream(self, public_key: bytes) -> int:
        """Open the stream for a dial; returns its id."""
        stream = self._dials[public_key] = self.new_stream()
        return stream.local_id

    def new_stream(self) -> UdxStream:
        """Open a stream with a new id."""
        while True:
            local_id = int.from_bytes(os.urandom(4))
            if local_id not in self._runtime.udp.endpoint.streams:
                return self._runtime.udp.open_stream(local_id)
