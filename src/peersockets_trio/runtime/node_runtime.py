"""`NodeRuntime`: the machine, the deadlines and the tasks that all connections of a node share."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable
from typing import Final

import trio

from peersockets_core import (
    DEFAULT_LIMITS,
    DriveKey,
    KeyPair,
    Limits,
    PeerLeft,
    Peersockets,
    RemoteProtocolError,
    Watch,
    WireName,
)
from peersockets_core.info import Authenticate, NodeStatistics, PeerInfo
from peersockets_core.wires.keys import Keys

from ..instruments import Instrument
from .affinity import Affinity
from .connection_task import ConnectionTask
from .deadlines import Deadlines
from .flusher import Flusher
from .machine import NodeConnection, NodeDrive, NodeMachine, NodeTopicHandle
from .receiver import Wakeable
from .scheduler import Scheduler
from .slots import connection_slots, handshake_slots
from .statistics import node_statistics, peer_info
from .telemetry import Telemetry

EXHAUSTED_TIME: Final = 1.0
"""Seconds until another attempt to accept, if none of our descriptors becomes free."""


class _Members:
    """Reports the members of a drive while it is open."""

    def __init__(self, runtime: NodeRuntime, opened: NodeDrive) -> None:
        self._report = runtime.telemetry
        self._key = opened.key
        self._watch = runtime.machine.watch(opened, owner=self)

    def wake(self) -> None:
        """Report members that have joined or left."""
        while len(self._watch):
            self._report.member(self._key, self._watch.take())


class NodeRuntime:
    """The internals of a node, and the `Host` of its machine."""

    def __init__(
        self,
        key_pair: KeyPair,
        limits: Limits = DEFAULT_LIMITS,
        authenticate: Authenticate | None = None,
        instruments: Iterable[Instrument] = (),
    ) -> None:
        self.affinity = Affinity()
        self.key_pair = key_pair
        self.telemetry = Telemetry(instruments)
        self.authenticate = authenticate
        self.limits = limits
        self.machine: NodeMachine = Peersockets(self, limits)
        self.tasks: set[ConnectionTask] = set()
        self.flusher = Flusher()
        self.scheduler = Scheduler(limits)
        self.closed = False
        # Start at a random id, so that a late reply to an earlier process matches no request.
        self.request_ids = itertools.count(int.from_bytes(os.urandom(4)))
        self.on_rerouted: set[Callable[[], None]] = set()
        """Functions to call when the routes to peers may have changed."""
        self.handshaking: dict[ConnectionTask, None] = {}
        """The tasks that are not admitted, in the order of arrival."""
        self._empty = trio.lowlevel.ParkingLot()
        self._freed = trio.lowlevel.ParkingLot()
        self._rerouted = trio.lowlevel.ParkingLot()
        self.changed = trio.lowlevel.ParkingLot()
        """Unparked when a connection is admitted or has ended."""
        self.deadlines = Deadlines(self.machine)

    def connection(
        self,
        wire: WireName | None,
        *,
        initiator: bool,
        expect: bytes | None = None,
        keys: Keys | None = None,
        admitted: bool = False,
    ) -> NodeConnection:
        """Make a connection for a task that starts at once; a responder may pass None as the wire.

        `keys` are the keys of a handshake that is already finished. `admitted` is whether the application
        has already admitted the remote.
        """
        return self.machine.make_connection(
            wire=wire,
            initiator=initiator,
            key_pair=self.key_pair,
            entropy=os.urandom,
            now=trio.current_time(),
            expect=expect,
            hold=self.authenticate is not None and not admitted,
            keys=keys,
        )

    def peer(self, peer_id: int) -> PeerInfo:
        """Return the facts about a peer. Raises `UnknownPeer`."""
        return peer_info(self.machine, peer_id)

    def statistics(self) -> NodeStatistics:
        """Return the current counters."""
        return node_statistics(self.machine, self.tasks, len(self.handshaking), self.telemetry)

    # Drives

    def open_drive(self, key: DriveKey) -> NodeDrive:
        """Open a drive, or count one more user of an open one."""
        opened = self.machine.open_drive(key)
        if opened.users == 1:
            _Members(self, opened)
        return opened

    def close_drive(self, opened: NodeDrive) -> None:
        """Undo one `open_drive`."""
        if opened.users == 1:
            for member in opened.members.values():
                peer = member.peer
                left = PeerLeft(member.peer_id, peer.public_key, peer.wire, "the drive was closed here")
                self.telemetry.member(opened.key, left)
        self.machine.close_drive(opened)
        self.flush()

    # Connection tasks

    def add(self, task: ConnectionTask) -> None:
        """Add a task that starts with its handshake."""
        if len(self.handshaking) >= handshake_slots(self.limits):
            self._end_oldest_handshake()
        self.handshaking[task] = None
        self.tasks.add(task)
        if self.closed:
            task.cancel()
        self.schedule(task)

    def _end_oldest_handshake(self) -> None:
        for task in self.handshaking:
            if not task.connection.initiator:  # a remote that dials us must not end our own dials
                task.fail(RemoteProtocolError("handshake: gave way to newer connections"))
                return

    def make_slot(self) -> bool:
        """Make a slot for one more incoming connection; returns whether there is one.

        The oldest stranger gives way; members do not.
        """
        excess = self.machine.connections + 1 - connection_slots(self.limits)
        return all(self._end_oldest_stranger() for _ in range(excess))

    def _end_oldest_stranger(self) -> bool:
        stranger = self.machine.oldest_stranger()
        if stranger is None:
            return False
        stranger.owner.fail(RemoteProtocolError("not a member of any drive: gave way to newer connections"))
        return True

    async def wait_for_descriptor(self, error: OSError) -> None:
        """Free a file descriptor, or wait for one, because none is left to accept a connection."""
        self.telemetry.exhausted(error, trio.current_time())
        self._end_oldest_stranger()
        with trio.move_on_after(EXHAUSTED_TIME):
            await self._freed.park()

    def handshaken(self, task: ConnectionTask) -> None:
        """Note that a task's handshake is finished and its remote is admitted."""
        self.handshaking.pop(task, None)
        self.telemetry.opened(task.facts())
        self.changed.unpark_all()

    def ended(self, task: ConnectionTask, unsent: int) -> None:
        """Note that a task's connection has closed; `unsent` accepted bytes did not leave."""
        self.handshaking.pop(task, None)
        if task.info is not None:
            self.telemetry.closed(task.info, task.reason, unsent)
        else:
            connection = task.connection
            key = connection.remote_public_key
            self.telemetry.failed(task.address, connection.wire, key, task.failure())
        self.changed.unpark_all()
        self.look_again()

    def discard(self, task: ConnectionTask) -> None:
        """Remove a task that has stopped."""
        self.tasks.discard(task)
        self._freed.unpark_all()
        if not self.tasks:
            self._empty.unpark_all()

    async def finish(self) -> None:
        """Close every connection in good order, for up to `Limits.linger`."""
        self.closed = True
        for task in list(self.handshaking):
            task.cancel()
        for task in self.tasks:
            task.finish(self.limits.linger)
        while self.tasks:
            await self._empty.park()

    def flush(self) -> None:
        """Write the output that a command has queued on any connection."""
        for task in self.tasks:
            if task.connection.has_output:
                task.writer.wake()

    async def wait_rerouted(self) -> None:
        """Wait until a connection that is being replaced may have been replaced."""
        await self._rerouted.park()

    def schedule(self, task: ConnectionTask) -> None:
        """Make sure that a task's next deadline is not missed."""
        self.deadlines.schedule(task)

    def look_again(self) -> None:
        """Check whether something is due earlier than before."""
        self.deadlines.look_again()

    # The machine's Host

    def news(self, handle: NodeTopicHandle | Watch[Wakeable]) -> None:
        """Note that a handle has something to take."""
        handle.owner.wake()

    def readable(self, connection: NodeConnection) -> None:
        """Continue to read a connection."""
        connection.owner.readable()

    def rerouted(self) -> None:
        """Try sends again that waited for a new connection."""
        self._rerouted.unpark_all()
        for look in self.on_rerouted:
            look()

    def wake(self, connection: NodeConnection) -> None:
        """Write the output of a connection."""
        connection.owner.writer.wake()

    def retire(self, connection: NodeConnection) -> None:
        """Close a duplicate connection in good order."""
        connection.owner.finish(self.limits.linger)

    def drop(self, connection: NodeConnection, error: RemoteProtocolError) -> None:
        """Close a connection at once."""
        connection.owner.doom(error)
