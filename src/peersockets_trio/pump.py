"""One connection's tasks: bytes from the stream into the core, and from the core to the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from peersockets_core import (
    Address,
    Connection,
    ConnectionClosed,
    Event,
    HandshakeCompleted,
    Refused,
    RemoteProtocolError,
)

from .info import ConnectionInfo
from .transport import transport

if TYPE_CHECKING:
    from .hub import Hub

WRITE_SIZE: Final = 256 * 1024
"""Bytes given to the stream at a time, so that it can be told how much has left."""


attached: Final[set[int]] = set()
"""The `id` of every stream that belongs to a connection of any node; its pump keeps the stream alive."""


class Pump:
    """Moves the bytes of one connection until it ends."""

    __slots__ = (
        "__weakref__",
        "_called",
        "_doom",
        "_finishing",
        "_in_flight",
        "_nursery",
        "_readable",
        "_room",
        "_scope",
        "_settled",
        "_stream",
        "_transport",
        "_unwritten",
        "_writer",
        "_written",
        "address",
        "connection",
        "hub",
        "idle",
        "info",
        "reason",
        "scheduled",
    )  # fmt: skip

    def __init__(
        self, hub: Hub, stream: trio.abc.Stream, connection: Connection, address: Address | None
    ) -> None:
        connection.owner = self
        self.hub = hub
        self.connection = connection
        self.address = address
        self.info: ConnectionInfo | None = None
        """The facts, from when the remote is admitted."""
        self.scheduled = float("inf")
        """The earliest time at which the hub is going to look at our deadlines."""
        self.idle = False
        """Whether there was nothing to write, so that whoever queues something has to `wake` us."""
        self.reason = ""
        """Why the connection ended, for people."""
        self._stream = stream
        attached.add(id(stream))
        self._transport = transport(stream)
        self._unwritten: bytes | memoryview = b""
        self._scope = trio.CancelScope()
        self._settled: trio.Event | None = trio.Event()  # handshake finished or failed
        self._nursery: trio.Nursery | None = None
        # The write loop while it has nothing to do; most connections never need one.
        self._writer: trio.lowlevel.ParkingLot | None = None
        self._room = trio.lowlevel.ParkingLot()  # senders, while there is too much
        self._called = False  # whether a sender has been called out of the queue and is on its way
        self._readable = trio.lowlevel.ParkingLot()  # the read loop, while a topic handle is full
        self._in_flight = 0
        self._finishing = False
        self._written = trio.lowlevel.ParkingLot()  # the read loop, while the write loop finishes
        self._doom: RemoteProtocolError | None = None

    async def run(self) -> None:
        """Pump until the connection has ended. Raises nothing but cancellation from outside."""
        hub = self.hub
        hub.add(self)
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    await self._carry(nursery)
            if self._scope.cancelled_caught and trio.current_time() >= self._scope.deadline:
                self.reason = self.reason or "did not finish in time"
        finally:
            if self._doom is not None:
                self._ended(self.connection.fail(self._doom))
            self._ended(self.connection.close())
            hub.discard(self)
            with trio.CancelScope(shield=True):  # a cancellation would replace the exception of a bug
                await trio.aclose_forcefully(self._stream)
            attached.discard(id(self._stream))

    async def _carry(self, nursery: trio.Nursery) -> None:
        """Read to the end, while others write by way of `wake`."""
        self._nursery = nursery
        try:
            self.idle = True
            self.wake()
            if await self._read():
                # The remote says no more, but may still listen to what it has been promised.
                self.finish(self.hub.limits.linger)
            else:
                nursery.cancel_scope.cancel()
        finally:
            self._nursery = None

    async def handshaken(self) -> None:
        """Wait until the handshake is finished and the remote admitted.

        Raises the `RemoteProtocolError`, `Refused` or `trio.BrokenResourceError` that it ended in.
        """
        if self._settled is not None:
            await self._settled.wait()
        if self.info is None or self.connection.error is not None:
            raise self.failure()

    def failure(self) -> Exception:
        """What the connection has ended in, as an exception."""
        text = self.reason or "the connection ended within the handshake"
        return self.connection.error or trio.BrokenResourceError(text)

    def facts(self) -> ConnectionInfo:
        """What is known once the remote has proved its key."""
        connection = self.connection
        assert connection.remote_public_key is not None
        assert connection.wire is not None
        return ConnectionInfo(connection.remote_public_key, connection.wire, self.address)

    @property
    def unsent(self) -> int:
        """Bytes of messages that have been accepted and not yet left."""
        return self._in_flight + self.connection.outbox.message_size

    def wake(self) -> None:
        """There may be something to write: write it at once, if that takes no waiting."""
        if self.idle:
            self.idle = False
            if self._write_now():
                self.hub.flusher.add(self)
            else:
                self._hand_over()

    def flush(self) -> None:
        """Write what has been queued since."""
        if self._write_now():
            self.idle = True
            if self.connection.has_output:  # an instrument has sent something
                self.wake()
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        """Let the write loop go on, which can wait."""
        if self._writer is not None:
            self._writer.unpark()
        elif self._nursery is not None:
            self._writer = trio.lowlevel.ParkingLot()
            self._nursery.start_soon(self._write)

    def _write_now(self) -> bool:
        """Write what is queued; returns whether that is done, and there is nothing for the write loop."""
        if self._finishing or not self._transport.immediate:
            return False
        data = self._take()
        if not data:
            return True
        written = self._transport.write(data)
        if written == len(data):
            self._in_flight = 0
            return True
        self._unwritten = memoryview(data)[written:]
        return False

    def _take(self) -> bytes | memoryview:
        """What to write next. Senders may queue more meanwhile."""
        outbox = self.connection.outbox
        in_flight = outbox.message_size
        data = self.connection.data_to_send(trio.current_time())
        if data:
            self._in_flight = in_flight
            if not outbox.room:
                self._call_sender()
            self.hub.report.sent(self.address, self.info, len(data), in_flight)
        return data

    def readable(self) -> None:
        """Nothing holds up reading any more."""
        self._readable.unpark_all()

    def tick(self, now: float) -> None:
        """A deadline may have come."""
        self._process(self.connection.handle_deadline(now), now)
        if self.connection.closed:
            self.cancel()

    def finish(self, linger: float) -> None:
        """Write what is queued, say that no more follows, and read until the remote does the same."""
        self._finishing = True
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + linger)
        self.idle = False
        self._hand_over()

    def fail(self, error: RemoteProtocolError) -> None:
        """End the connection now."""
        self._ended(self.connection.fail(error))
        self.cancel()

    def doom(self, error: RemoteProtocolError) -> None:
        """End the connection for what the peer did, as soon as the caller has finished what it does."""
        self._doom = error
        self._scope.cancel()

    def disconnect(self, reason: str) -> None:
        """End the connection now, because our side wants no more of it."""
        self.reason = reason
        self._ended(self.connection.close())
        self.cancel()

    def cancel(self) -> None:
        """End the tasks now."""
        self._scope.cancel()

    async def wait_for_room(self) -> None:
        """Queue up for sending. Who returns sends if it still can, and then calls `end_turn`."""
        self.connection.outbox.room = 0
        await self._room.park()

    def end_turn(self) -> None:
        """A sender that was called has done what it could."""
        self._called = False
        self._call_sender()

    def _call_sender(self) -> None:
        """Let the next sender in the queue try, one at a time; or everyone, if there is none."""
        outbox, limit = self.connection.outbox, self.hub.limits.send_buffer
        if self._called:
            return
        if not self._room:
            outbox.room = limit
        elif outbox.size < limit:
            self._called = True
            self._room.unpark()

    async def _read(self) -> bool:
        """Read to the end; returns whether it was one in good order."""
        connection = self.connection
        may_read = self.hub.machine.may_read
        while not connection.closed:
            if not may_read(connection):
                await self._until_readable()
            try:
                events = await self._receive()
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                self._break(error)
                return False
            if connection.on_hold:
                events = await self._authenticate(events)
            self._process(events, trio.current_time())
        return not isinstance(connection.error, RemoteProtocolError)

    async def _receive(self) -> list[Event]:
        """Wait for our turn, and read on, or go on with what waits; returns what comes of one slice.

        Raises what reading raises.
        """
        connection, transport, machine = self.connection, self._transport, self.hub.machine
        lane = self.hub.turns.lane(connection, machine)
        fresh = not connection.has_input
        transport.read_size = lane.read_size
        if fresh:
            await transport.wait()
        budget = await lane.turn(connection.remote_public_key, fresh=fresh)
        if connection.closed or not machine.may_read(connection):
            return []  # others have filled what this would overflow
        data = transport.take() if fresh else b""
        if data is None:
            return []
        if fresh and not data:
            await self._finish_writing()
            events = connection.receive_eof(trio.current_time())
        else:
            events = connection.receive_data(data, trio.current_time(), budget)
            lane.spend(budget - connection.budget_left)
        if fresh:
            self.hub.report.received(self.address, self.info, len(data), events)
        else:
            self.hub.report.went_on(self.address, events)
        return events

    async def _finish_writing(self) -> None:
        """Let go what is queued, since the remote has ended but may still listen.

        Until then the connection is not over: what is sent on another one would overtake.
        """
        if self.unsent and not self.connection.closed:
            self.hub.machine.end_sending(self.connection)
            self.finish(self.hub.limits.linger)
            await self._written.park()

    async def _until_readable(self) -> None:
        """Wait until no full handle holds this connection up any more."""
        connection, machine = self.connection, self.hub.machine
        connection.pause_reading(trio.current_time())
        while not machine.may_read(connection):
            await self._readable.park()
        connection.resume_reading(trio.current_time())
        self.hub.schedule(self)

    async def _authenticate(self, completed: list[Event]) -> list[Event]:
        """Let the application decide about a remote on hold; returns the events that come of it.

        Of one that is not admitted, the machine does not hear.
        """
        connection, hub = self.connection, self.hub
        assert hub.authenticate is not None
        self.wake()
        hub.schedule(self)
        try:
            await hub.authenticate(self.facts())
        except Refused as refusal:
            return connection.fail(refusal)
        if connection.closed:
            return []
        return [*completed, *connection.admit(trio.current_time(), hub.limits.stranger_items)]

    async def _write(self) -> None:
        stream, lot = self._stream, self._writer
        assert lot is not None
        try:
            while True:
                data, self._unwritten = self._unwritten or self._take(), b""
                if data:
                    await self._send(data)
                elif not self._finishing:
                    self.idle = True
                    await lot.park()
                elif isinstance(stream, trio.abc.HalfCloseableStream):
                    await stream.send_eof()
                    self._written.unpark_all()
                    return
                else:
                    self.cancel()
                    return
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._break(error)
            self.cancel()

    async def _send(self, data: bytes | bytearray | memoryview) -> None:
        whole, message_size = len(data), self._in_flight
        if whole > WRITE_SIZE:
            data = memoryview(data)
        for start in range(0, whole, WRITE_SIZE):
            self._in_flight = message_size * (whole - start) // whole
            await self._stream.send_all(data[start : start + WRITE_SIZE])
        self._in_flight = 0

    def _break(self, error: Exception) -> None:
        self.reason = str(error.__cause__ or error)
        self._ended(self.connection.close())

    def _process(self, events: list[Event], now: float) -> None:
        if events and self._settled is not None and isinstance(events[0], HandshakeCompleted):
            self.info = self.facts()
            self._settle()
            self.hub.handshaken(self)
            self.hub.schedule(self)
        if events or not self.connection.closed:
            self.hub.machine.receive_events(self.connection, events, now)
        if events:
            self.hub.look_again()
            if isinstance(events[-1], ConnectionClosed):
                self._ended(events)
        if self.connection.has_output:
            self.wake()

    def _ended(self, events: list[Event]) -> None:
        """The connection has closed, if `events` say so: tell everybody."""
        if not events:
            return
        connection = self.connection
        if connection.error is not None:
            self.reason = str(connection.error)
        unsent = self.unsent
        self.hub.machine.remove_connection(connection, trio.current_time(), reason=self.reason, unsent=unsent)
        connection.outbox.room = self.hub.limits.send_buffer
        self._room.unpark_all()
        self._settle()
        self.hub.ended(self, unsent)

    def _settle(self) -> None:
        if self._settled is not None:
            self._settled.set()
            self._settled = None
