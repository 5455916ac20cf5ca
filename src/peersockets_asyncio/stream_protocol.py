"""`StreamProtocol`: moves bytes between one stream and its connection, and handles its deadlines."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final, TypeVar

from peersockets_core import (
    Address,
    Connection,
    Event,
    HandshakeCompleted,
    Refused,
    RemoteProtocolError,
    WireName,
)
from peersockets_core.info import ConnectionInfo

from .host import NodeHost

T = TypeVar("T")

SLICE: Final = 4096
"""Items of work of one connection (see `peersockets_core.work`) before others get their turn: about a
millisecond."""


class StreamProtocol(asyncio.Protocol):
    """One stream and its connection."""

    connection: Connection[StreamProtocol]

    def __init__(
        self, node: NodeHost[StreamProtocol], wire: WireName | None, *, initiator: bool, expect: bytes | None
    ) -> None:
        self.admitted: asyncio.Future[ConnectionInfo] = node.loop.create_future()
        """The facts, once the remote is admitted; or the reason why it is not."""
        self.admitted.add_done_callback(_retrieve)  # no task waits for remotes that dialled us
        self.ended = asyncio.Event()
        self.turn = asyncio.Lock()
        """The sender whose turn it is holds this lock. The others get it in the order of their arrival."""
        self.address: Address | None = None
        self._node = node
        self._how: tuple[WireName | None, bool, bytes | None] = (wire, initiator, expect)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Handle | None = None
        self._paused = False
        self._ending = False
        self._senders = 0
        self._room = asyncio.Event()
        self._decision: asyncio.Task[None] | None = None
        self._written = 0  # bytes of the last write, some of which may still wait in the transport

    # Calls of asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        assert isinstance(transport, asyncio.Transport)
        # Write only when the transport has nothing left, so that we know how much may be lost with it.
        transport.set_write_buffer_limits(high=0)
        self._transport = transport
        name = transport.get_extra_info("peername")
        self.address = Address(*name[:2]) if isinstance(name, tuple) else None
        wire, initiator, expect = self._how
        self.connection = self._node.make_connection(self, wire, initiator, expect)
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Take in bytes from the remote, one slice of work at a time."""
        if self.connection.closed:
            return
        self._take_in(self.connection.receive_data(data, self._node.loop.time(), SLICE))

    def eof_received(self) -> None:
        """Take in the end of the stream; asyncio closes the socket once our output has left."""
        self._take_in(self.connection.receive_eof(self._node.loop.time()))

    def connection_lost(self, error: Exception | None) -> None:
        """Remove the connection from the node."""
        for timer in (self._timer, self._flushing):
            if timer is not None:
                timer.cancel()
        if self._decision is not None:
            self._decision.cancel()
        failure = self.connection.error or error
        unsent = self.connection.outbox.message_size + (self._written if self._paused else 0)
        self._node.remove(self, str(failure or ""), unsent)
        if not self.admitted.done():
            closed = ConnectionResetError("the remote has closed the connection before it was admitted")
            self.admitted.set_exception(failure or closed)
        self.ended.set()
        self._room.set()

    def pause_writing(self) -> None:
        """Leave further output in the core, where it makes senders wait."""
        self._paused = True

    def resume_writing(self) -> None:
        """Continue to write."""
        self._paused = False
        self.flush()

    # Input

    def _take_in(self, events: list[Event]) -> None:
        if self.connection.on_hold and events:
            self.flush()  # the rest of the handshake
            self._decision = self._node.loop.create_task(self._decide(events))
        else:
            self._report(events)

    def _report(self, events: list[Event]) -> None:
        """Hand events to the machine, and act on them."""
        self._node.receive_events(self.connection, events)
        if self.connection.closed:
            self._end()
            return
        if not self.admitted.done() and any(isinstance(event, HandshakeCompleted) for event in events):
            self.admitted.set_result(self.facts())
        self.flush()
        if self.connection.has_input or not self._node.machine.may_read(self.connection):
            self._stop_reading()
        if self.connection.has_input:
            self._node.loop.call_soon(self._go_on)

    async def _decide(self, events: list[Event]) -> None:
        """Ask the application whether to admit the remote."""
        self._transport_in_use.pause_reading()
        try:
            await self._node.decide(self.facts())
        except Refused as refused:
            self.fail(refused)
            return
        if not self.connection.closed:  # the connection may have been given up meanwhile
            events += self.connection.admit(self._node.loop.time(), SLICE)
            self._report(events)
            self.resume()

    def _go_on(self) -> None:
        if not self.connection.closed and self._node.machine.may_read(self.connection):
            self._report(self.connection.receive_data(b"", self._node.loop.time(), SLICE))
            self.resume()

    def _stop_reading(self) -> None:
        self.connection.pause_reading(self._node.loop.time())
        self._transport_in_use.pause_reading()

    def resume(self) -> None:
        """Read again, unless input is still waiting or a topic is full."""
        connection = self.connection
        if connection.closed or not self._node.machine.may_read(connection):
            return
        if connection.has_input:
            self._node.loop.call_soon(self._go_on)
            return
        connection.resume_reading(self._node.loop.time())
        self._transport_in_use.resume_reading()
        self.flush()

    def _tick(self) -> None:
        self._timer = None
        self._report(self.connection.handle_deadline(self._node.loop.time()))

    # Output

    def flush_soon(self) -> None:
        """Write all queued output at once, after the tasks that are ready now have run."""
        if self._flushing is None:
            self._flushing = self._node.loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write the queued output, unless the remote does not read, and set the timer."""
        self._flushing = None
        connection, now = self.connection, self._node.loop.time()
        if connection.closed or self._ending:
            return
        if connection.has_output and not self._paused:
            self._write(now)
            self._room.set()
        if self._timer is not None:
            self._timer.cancel()
        deadline = connection.next_deadline()
        self._timer = None if math.isinf(deadline) else self._node.loop.call_at(deadline, self._tick)

    def _write(self, now: float) -> None:
        data = self.connection.data_to_send(now)
        self._written = len(data)
        self._transport_in_use.write(data)

    async def in_turn(self, send: Callable[[], T | None]) -> T | None:
        """Call `send` once there is room. Senders take turns in the order of their calls."""
        outbox = self.connection.outbox
        self._senders += 1
        outbox.reserve()
        try:
            async with self.turn:
                while outbox.size >= outbox.limit and not self.ended.is_set():
                    self._room.clear()
                    await self._room.wait()
                return send()
        finally:
            self._senders -= 1
            if not self._senders:
                outbox.open()

    # The end

    def facts(self) -> ConnectionInfo:
        """Return the facts of the connection, once the remote has proved its key."""
        connection = self.connection
        assert connection.remote_public_key is not None
        assert connection.wire is not None
        return ConnectionInfo(connection.remote_public_key, connection.wire, self.address)

    def fail(self, error: RemoteProtocolError | Refused) -> None:
        """Close the connection because of the remote's fault."""
        self._report(self.connection.fail(error))

    def _end(self) -> None:
        """End the stream of a closed connection: at once after a remote's fault, else in good order."""
        if isinstance(self.connection.error, RemoteProtocolError):
            self.abort()
        else:
            self.finish()
            self._transport_in_use.resume_reading()

    def finish(self) -> None:
        """End our half after the queued output, and keep reading until the remote has ended its half.

        The stream is cut if that takes too long. Closing the socket earlier would lose messages of both
        sides, because the system resets a stream that is closed with unread input.
        """
        transport = self._transport_in_use
        if self._ending or transport.is_closing():
            return
        self._ending = True
        self._node.machine.end_sending(self.connection)
        self._write(self._node.loop.time())
        try:
            transport.write_eof()
        except OSError:  # the remote has reset the stream, and the transport has not noticed yet
            transport.abort()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._node.loop.call_later(self._node.limits.linger, transport.abort)

    def abort(self) -> None:
        """Cut the stream at once."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def _transport_in_use(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport


def _retrieve(admitted: asyncio.Future[ConnectionInfo]) -> None:
    """Retrieve the exception, so that asyncio does not log it if no task waits for it."""
    if not admitted.cancelled():
        admitted.exception()
