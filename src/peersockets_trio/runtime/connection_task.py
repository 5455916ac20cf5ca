"""`ConnectionTask`: moves the bytes of one connection between its stream and the core."""

from __future__ import annotations

from typing import Final

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
from peersockets_core.info import ConnectionInfo
from peersockets_core.transitions import follow

from .state import INPUT_STATES, STAGES, InputState, Stage, Step
from .task_host import TaskHost
from .transport import transport
from .writer import Writer

LOOK_AGAIN: Final = 0.1
"""Seconds until we look at a deadline again if the remote has unread input that still waits for its turn."""


attached: Final[set[int]] = set()
"""The `id` of every stream that belongs to a connection of any node; its task keeps the stream alive."""


class ConnectionTask:
    """Moves the bytes of one connection until it ends."""

    __slots__ = (
        "__weakref__", "_doom", "_handshake_over", "_input", "_readable", "_scope", "_stage", "address",
        "connection", "info", "not_before", "reason", "runtime", "scheduled", "stream", "transport", "writer",
    )  # fmt: skip

    def __init__(
        self,
        runtime: TaskHost[ConnectionTask],
        stream: trio.abc.Stream,
        connection: Connection[ConnectionTask],
        address: Address | None,
    ) -> None:
        connection.owner = self
        self.runtime = runtime
        self.connection = connection
        self.address = address
        self.info: ConnectionInfo | None = None
        """The facts of the connection, once the remote is admitted."""
        self.scheduled = float("inf")
        """The earliest time at which the runtime looks at our deadlines."""
        self.not_before = 0.0
        """The time at which to look at our deadlines again, after unread input kept us from judging them."""
        self.reason = ""
        """The reason why the connection ended, for people."""
        self.stream = stream
        """The stream, which belongs to this task."""
        attached.add(id(stream))
        self.transport = transport(stream, runtime.limits.send_time)
        """The way in which the stream is read and written."""
        self.writer = Writer(self, connection, runtime.flusher, runtime.telemetry)
        """The outgoing direction."""
        self._stage = Stage.HANDSHAKE
        self._handshake_over = trio.Event()  # finished or failed
        self._input = InputState.OPEN
        self._readable = trio.lowlevel.ParkingLot()  # the read loop parks here while a topic handle is full
        self._scope = trio.CancelScope()
        self._doom: RemoteProtocolError | None = None  # the error of a doomed connection

    async def run(self) -> None:
        """Move bytes until the connection has ended. Raises nothing except a cancellation from outside."""
        runtime = self.runtime
        runtime.add(self)
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
            runtime.discard(self)
            with trio.CancelScope(shield=True):  # a cancellation here would replace the exception of a bug
                await trio.aclose_forcefully(self.stream)
            attached.discard(id(self.stream))

    async def _carry(self, nursery: trio.Nursery) -> None:
        """Read to the end; meanwhile, other tasks write through the writer."""
        self.writer.start(nursery)
        try:
            if await self._read():
                # The remote sends no more, but may still read the messages that were accepted for it.
                self.finish(self.runtime.limits.linger)
            else:
                nursery.cancel_scope.cancel()
        finally:
            self.writer.stop()

    async def handshaken(self) -> None:
        """Wait until the handshake is finished and the remote is admitted.

        Raises `RemoteProtocolError`, `Refused` or `trio.BrokenResourceError` if it fails.
        """
        if not self._handshake_over.is_set():
            await self._handshake_over.wait()
        if self.info is None or self.connection.error is not None:
            raise self.failure()

    def failure(self) -> Exception:
        """Return the reason why the connection ended, as an exception."""
        text = self.reason or "the connection ended within the handshake"
        return self.connection.error or trio.BrokenResourceError(text)

    def facts(self) -> ConnectionInfo:
        """Return the facts of a connection whose remote has proved its key."""
        connection = self.connection
        assert connection.remote_public_key is not None
        assert connection.wire is not None
        return ConnectionInfo(connection.remote_public_key, connection.wire, self.address)

    @property
    def unsent(self) -> int:
        """Bytes of messages that were accepted but have not left yet."""
        return self.writer.unsent

    @property
    def ended(self) -> bool:
        """Whether the connection is closed."""
        return self.connection.closed

    def readable(self) -> None:
        """Continue to read, because nothing holds it up any more."""
        self._readable.unpark_all()

    def handle_deadline(self, now: float) -> None:
        """Handle deadlines that have come. Input that has arrived by then should be read first."""
        self.writer.progress.look(now)
        connection, vanishes_at = self.connection, self._vanishes_at()
        deadline = min(connection.remote_deadline, vanishes_at)
        if deadline <= now and connection.heard_at < deadline and not self.transport.is_read():
            self.not_before = now + LOOK_AGAIN
            return
        if vanishes_at <= now:
            seconds = self.runtime.limits.vanished
            error = RemoteProtocolError(f"nothing received or acknowledged for {seconds:g} seconds")
            self._ended(connection.fail(error))
        self._process(connection.handle_deadline(now), now)
        if connection.closed:
            self.cancel()

    def next_deadline(self) -> float:
        """Return the latest time at which to call `handle_deadline`."""
        return max(min(self.connection.next_deadline(), self._vanishes_at()), self.not_before)

    def _vanishes_at(self) -> float:
        """Return the time at which the remote counts as vanished if it sends nothing until then."""
        silent_since = max(self.writer.progress.silent_since(), self.connection.heard_at)
        return silent_since + self.runtime.limits.vanished

    def finish(self, linger: float) -> None:
        """Write the queued output and the end of the stream, and read until the remote ends, too."""
        self._end_within(linger)
        self.writer.finish()

    def fail(self, error: RemoteProtocolError) -> None:
        """End the connection now."""
        self._ended(self.connection.fail(error))
        self.cancel()

    def doom(self, error: RemoteProtocolError) -> None:
        """End the connection because of the peer's fault, as soon as the caller has finished."""
        self._stage = follow(STAGES, self._stage, Step.DOOM, "connection")
        self._doom = error
        self._scope.cancel()

    def disconnect(self, reason: str) -> None:
        """End the connection now, because the application asks for it."""
        self.reason = reason
        self._ended(self.connection.close())
        self.cancel()

    def cancel(self) -> None:
        """End the tasks now."""
        self._scope.cancel()

    async def _read(self) -> bool:
        """Read to the end; returns whether the remote ended in good order."""
        connection = self.connection
        may_read = self.runtime.machine.may_read
        while not connection.closed:
            if not may_read(connection):
                await self._until_readable()
            try:
                events = await self._receive()
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                self._break(self.writer.error or error)
                return False
            if connection.on_hold:
                events = await self._authenticate(events)
            self._process(events, trio.current_time())
        return not isinstance(connection.error, RemoteProtocolError)

    async def _receive(self) -> list[Event]:
        """Wait for our turn, then read, or continue with waiting input; returns the events of one slice.

        Raises the errors of reading.
        """
        connection, transport, machine = self.connection, self.transport, self.runtime.machine
        lane = self.runtime.scheduler.lane(connection, is_member=machine.is_member(connection))
        fresh = not connection.has_input
        transport.read_size = lane.read_size
        if fresh:
            await transport.wait()
        budget = await lane.turn(connection.remote_public_key, fresh=fresh)
        if connection.closed or not machine.may_read(connection):
            return []  # others have filled a handle, which this input would overflow
        data = transport.take() if fresh else b""
        if data is None:
            return []
        if fresh and not data:
            if self.writer.error is not None:
                raise self.writer.error
            await self._finish_writing()
            self._input = follow(INPUT_STATES, self._input, Step.END, "input")
            events = connection.receive_eof(trio.current_time())
        else:
            events = connection.receive_data(data, trio.current_time(), budget)
            lane.spend(budget - connection.budget_left)
        if fresh:
            self.runtime.telemetry.received(self.address, self.info, len(data), events)
        else:
            self.runtime.telemetry.went_on(self.address, events)
        return events

    async def _finish_writing(self) -> None:
        """Write the queued output after the remote has ended, because it may still read.

        Until then, the connection is not over, because messages on another one could overtake its messages.
        """
        if self.unsent and not self.connection.closed:
            self.runtime.machine.end_sending(self.connection)
            self.finish(self.runtime.limits.linger)
            await self.writer.wait_ended()

    async def _until_readable(self) -> None:
        """Wait until no full handle holds up this connection any more."""
        connection, machine = self.connection, self.runtime.machine
        self._input = follow(INPUT_STATES, self._input, Step.PAUSE, "input")
        connection.pause_reading(trio.current_time())
        while not machine.may_read(connection):
            await self._readable.park()
        self._input = follow(INPUT_STATES, self._input, Step.RESUME, "input")
        connection.resume_reading(trio.current_time())
        self.runtime.schedule(self)

    async def _authenticate(self, completed: list[Event]) -> list[Event]:
        """Let the application decide about a remote on hold; returns the events that follow.

        The machine never learns of a remote that was not admitted.
        """
        connection, runtime = self.connection, self.runtime
        assert runtime.authenticate is not None
        self.writer.wake()
        runtime.schedule(self)
        try:
            await runtime.authenticate(self.facts())
        except Refused as refusal:
            return connection.fail(refusal)
        if connection.closed:
            return []
        return [*completed, *connection.admit(trio.current_time(), runtime.limits.stranger_items)]

    # The methods of `WriterHost`

    def output_ended(self) -> None:
        """End the tasks, because the stream cannot end in one direction alone."""
        self.cancel()

    def output_broke(self, error: Exception) -> None:
        """Note that the stream accepts no more output. Earlier input of the remote may still be unread.

        Reading normally detects the end. If only one direction of the stream is broken, it does not, and a
        full topic may keep us from reading; hence the time limit.
        """
        self.reason = _reason(error)
        self._end_within(self.runtime.limits.linger)

    # Inside

    def _end_within(self, seconds: float) -> None:
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + seconds)

    def _break(self, error: Exception) -> None:
        self.reason = _reason(error)
        if isinstance(error.__cause__, TimeoutError):
            seconds = self.runtime.limits.send_time
            error = RemoteProtocolError(f"the remote has taken no output for {seconds:g} seconds")
            self._ended(self.connection.fail(error))
        self._ended(self.connection.close())

    def _process(self, events: list[Event], now: float) -> None:
        if events and self._stage is Stage.HANDSHAKE and isinstance(events[0], HandshakeCompleted):
            self.info = self.facts()
            self._enter(Step.ADMIT)
            self.runtime.handshaken(self)
            self.runtime.schedule(self)
        if events or not self.connection.closed:
            self.runtime.machine.receive_events(self.connection, events, now)
        if events:
            self.runtime.look_again()
            if isinstance(events[-1], ConnectionClosed):
                self._ended(events)
        if self.connection.has_output:
            self.writer.wake()

    def _ended(self, events: list[Event]) -> None:
        """If `events` is not empty, the connection has closed: inform the machine, the senders and the
        node.
        """
        if not events:
            return
        connection = self.connection
        if connection.error is not None:
            self.reason = str(connection.error)
        unsent = self.unsent
        if self._input is not InputState.ENDED or self.reason:
            # Bytes that the remote's side has not acknowledged may be lost, too.
            unsent += self.writer.progress.unacknowledged_messages
        self.runtime.machine.remove_connection(
            connection, trio.current_time(), reason=self.reason, unsent=unsent
        )
        self.writer.send_queue.close()
        self._enter(Step.END)
        self.runtime.ended(self, unsent)

    def _enter(self, signal: Step) -> None:
        self._stage = follow(STAGES, self._stage, signal, "connection")
        self._handshake_over.set()


def _reason(error: Exception) -> str:
    return str(error.__cause__ or error)
