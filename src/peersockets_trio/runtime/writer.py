"""`Writer`: writes the output of one connection, at once if that needs no waiting, and otherwise in a loop.

A stream whose transport is immediate takes most output at once, in the task of the sender; the node's flusher
gathers the messages that follow in the same turn. The write loop starts when the stream is full for the first
time, and most connections never need it.
"""

from __future__ import annotations

from typing import Protocol

import trio

from peersockets_core import Address, Connection
from peersockets_core.info import ConnectionInfo
from peersockets_core.transitions import follow

from .flusher import Flusher
from .progress import Progress
from .send_queue import SendQueue
from .state import OUTPUT_STATES, OutputState, Step
from .telemetry import Telemetry
from .transport import Transport


class WriterHost(Protocol):
    """The attributes and methods of a connection's task that its writer uses."""

    address: Address | None
    info: ConnectionInfo | None
    stream: trio.abc.Stream
    transport: Transport

    def output_ended(self) -> None:
        """Note that everything is written, and that the stream cannot end in one direction alone."""

    def output_broke(self, error: Exception) -> None:
        """Note that the stream accepts no more output."""


class Writer:
    """The outgoing direction of one connection."""

    __slots__ = (
        "_connection", "_ended", "_flusher", "_loop", "_nursery", "_state", "_task", "_telemetry",
        "_transport", "error", "idle", "progress", "send_queue",
    )  # fmt: skip

    def __init__(
        self, task: WriterHost, connection: Connection, flusher: Flusher, telemetry: Telemetry
    ) -> None:
        self.idle = False
        """Whether there is nothing to write, so that a sender must `wake` us."""
        self.error: Exception | None = None
        """The reason why nothing more can be written, once the output is broken."""
        self.send_queue = SendQueue(connection.outbox)
        """The queue of senders that wait for room."""
        self.progress = Progress(connection, task.transport, trio.current_time())
        """The progress of the output."""
        self._task = task
        self._transport = task.transport
        self._connection = connection
        self._flusher = flusher
        self._telemetry = telemetry
        self._state = OutputState.OPEN
        self._nursery: trio.Nursery | None = None
        self._loop: trio.lowlevel.ParkingLot | None = None  # the write loop parks here while it is idle
        self._ended = trio.lowlevel.ParkingLot()

    def start(self, nursery: trio.Nursery) -> None:
        """Begin to write; the write loop will run in `nursery`."""
        self._nursery = nursery
        self.idle = True
        self.wake()

    def stop(self) -> None:
        """Start no further write loop."""
        self._nursery = None

    @property
    def unsent(self) -> int:
        """Bytes of messages that were accepted but have not left yet."""
        return self.progress.unsent

    def wake(self) -> None:
        """Write pending output, at once if that needs no waiting."""
        if self.idle:
            self.idle = False
            if self._write_now():
                self._flusher.add(self)
            else:
                self._hand_over()

    def flush(self) -> None:
        """Write the output that was queued since."""
        if self._write_now():
            self.idle = True
            if self._connection.has_output:  # an instrument has sent something
                self.wake()
        else:
            self._hand_over()

    def finish(self) -> None:
        """Write the queued output, and then the end of the stream."""
        self._state = follow(OUTPUT_STATES, self._state, Step.FINISH, "output")
        self.idle = False
        self._hand_over()

    async def wait_ended(self) -> None:
        """Wait until the end of the stream is written, or cannot be."""
        await self._ended.park()

    def break_off(self, error: Exception) -> None:
        """Stop writing after an error of the stream."""
        self.error = error
        self._state = follow(OUTPUT_STATES, self._state, Step.BREAK, "output")
        self._ended.unpark_all()
        self._task.output_broke(error)

    def _hand_over(self) -> None:
        """Hand the output to the write loop, which can wait."""
        if self._loop is not None:
            self._loop.unpark()
        elif self._nursery is not None:
            self._loop = trio.lowlevel.ParkingLot()
            self._nursery.start_soon(self._write, self._loop)

    def _write_now(self) -> bool:
        """Write the queued output; returns whether everything is written, so that the write loop has nothing
        to do.
        """
        if self._state is not OutputState.OPEN or not self._transport.immediate:
            return False
        self._take()
        data = self.progress.unwritten
        if not data:
            return True
        written = self._transport.write(data)
        if written == len(data):
            self.progress.unwritten = b""
            return True
        self.progress.unwritten = memoryview(data)[written:]
        return False

    def _take(self) -> None:
        """Take the next output from the core. Senders may queue more from now on."""
        messages = self.progress.take(trio.current_time())
        size = len(self.progress.unwritten)
        if size:
            if not self._connection.outbox.room:
                self.send_queue.call_next()
            self._telemetry.sent(self._task.address, self._task.info, size, messages)

    async def _write(self, lot: trio.lowlevel.ParkingLot) -> None:
        stream = self._task.stream
        try:
            while True:
                if not self.progress.unwritten:
                    self._take()
                if self.progress.unwritten:
                    await self._send()
                elif self._state is OutputState.OPEN:
                    self.idle = True
                    await lot.park()
                elif isinstance(stream, trio.abc.HalfCloseableStream):
                    await stream.send_eof()
                    self._ended.unpark_all()
                    return
                else:
                    self._task.output_ended()
                    return
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self.break_off(error)

    async def _send(self) -> None:
        data = memoryview(self.progress.unwritten)
        while data:
            data = data[await self._transport.send(data) :]
            self.progress.unwritten = data
            self._connection.output_taken()
