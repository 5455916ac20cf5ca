"""`Live`: plays and records one side of a real connection, for `peersockets trace record` and `replay`."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import trio

from peersockets_core import DEFAULT_LIMITS, Address, WireName
from peersockets_core.trace import Command, Recording, Report, Secrets, Side

from ..node import CONNECT_TIMEOUT
from ..runtime import transport
from ..runtime.addresses import address_of
from . import streams

_READ_SIZE: Final = 64 * 1024


class Live:
    """Moves the bytes of a recording between it and a stream, and queues its reports."""

    def __init__(self, stream: trio.SocketStream, recording: Recording) -> None:
        self.recording = recording
        self._stream = stream
        self._wake = trio.Event()
        self._written = trio.lowlevel.ParkingLot()
        self._scope = trio.CancelScope()
        self.unsent = 0
        """Bytes that the stream has not accepted."""
        # The channel is unbounded, because the bytes of a report are in memory anyway.
        self._send, self._reports = trio.open_memory_channel[Report](math.inf)

    async def next_report(self) -> Report | None:
        """Wait for the next report; returns None after the last one."""
        try:
            return await self._reports.receive()
        except trio.EndOfChannel:
            return None

    def carry_out(self, command: Command) -> None:
        """Carry out a command. Raises `TraceError` if the connection refuses it."""
        self._queue(self.recording.carry_out(command))
        self._wake.set()
        if self.recording.closed:
            self._scope.deadline = trio.current_time() + DEFAULT_LIMITS.linger

    async def until_written(self) -> None:
        """Wait until the stream has accepted all output so far."""
        await self._written.park()

    async def read_first(self) -> None:
        """Take in the first bytes, before `run`, because they identify the wire."""
        self._queue(self.recording.receive(await self._read(), trio.current_time()))

    async def run(self) -> None:
        """Run until both sides have ended; if ours ends first, the remote has `Limits.linger` to end in good
        order.
        """
        with self._send:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    while data := await self._read():
                        self._queue(self.recording.receive(data, trio.current_time()))
                        self._wake.set()
                    self._queue(self.recording.receive_eof(trio.current_time()))
                    nursery.cancel_scope.cancel()
            await trio.aclose_forcefully(self._stream)

    async def _read(self) -> bytes:
        try:
            return bytes(await self._stream.receive_some(_READ_SIZE))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""

    async def _write(self) -> None:
        recording = self.recording
        try:
            while True:
                self._wake = trio.Event()
                if data := recording.data_to_send(trio.current_time()):
                    self.unsent = len(data)
                    await self._stream.send_all(data)
                    self.unsent = 0
                elif recording.closed:
                    await self._stream.send_eof()
                    return  # reading reports the end, within `Limits.linger`
                else:
                    self._written.unpark_all()
                    with trio.move_on_at(recording.next_deadline()):
                        await self._wake.wait()
                    self._queue(recording.handle_deadline(trio.current_time()))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # reading reports the end

    def _queue(self, reports: list[Report]) -> None:
        for report in reports:
            self._send.send_nowait(report)


async def meet(listen: Sequence[Address], connect: Sequence[Address]) -> tuple[trio.SocketStream, Side]:
    """Connect, or wait for the first remote that connects; returns the stream and our side. Raises
    `OSError`.
    """
    if connect:
        return await transport.connect(connect[0].host, connect[0].port, CONNECT_TIMEOUT), "initiator"
    listeners = await transport.listen(listen[0].host, listen[0].port)
    for listener in listeners:
        streams.note(f"listening on {address_of(listener.socket.getsockname())}")
    found: list[trio.SocketStream] = []

    async def accept(listener: trio.SocketListener, scope: trio.CancelScope) -> None:
        async with listener:
            found.append(await listener.accept())
            scope.cancel()

    async with trio.open_nursery() as nursery:
        for listener in listeners:
            nursery.start_soon(accept, listener, nursery.cancel_scope)
    for superfluous in found[1:]:
        await trio.aclose_forcefully(superfluous)
    return found[0], "responder"


@asynccontextmanager
async def open_live(
    stream: trio.SocketStream, side: Side, secrets: Secrets, wire: WireName
) -> AsyncIterator[Live]:
    """Play `side` over a stream until both sides have ended it. A responder uses the wire of the remote's
    first bytes.
    """
    recording = Recording(wire if side == "initiator" else None, side, secrets, now=trio.current_time())
    async with stream, trio.open_nursery() as nursery:
        live = Live(stream, recording)
        if side == "responder":
            await live.read_first()
        nursery.start_soon(live.run)
        yield live
