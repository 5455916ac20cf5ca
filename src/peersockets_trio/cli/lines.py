"""Reads and writes the standard streams line by line, without holding up the connections."""

from __future__ import annotations

import json
import os
import select
import stat
from collections.abc import AsyncIterator
from itertools import accumulate
from typing import Any, Final

import trio

from peersockets_core import DEFAULT_LIMITS, PeerEvent, PeerJoined

from . import streams
from .ending import Ending
from .text import printable

_READ_SIZE: Final = 256 * 1024
MAX_LINE: Final = 32 * 1024 * 1024
"""The most bytes in a line: the largest message in base64, and room to spare."""
_MAX_OUTPUT: Final = 1024 * 1024
"""Bytes that wait for a slow reader of stdout before the command stops taking messages."""
_STDOUT: Final = 1


class Output:
    """Lines for stdout. A thread writes them, so that a slow reader does not stop the connections.

    If stdout fails (its reader has gone, the disk is full), the command is asked to end.
    """

    def __init__(self, ending: Ending) -> None:
        self._ending = ending
        self.pieces: list[bytes] = []
        self._size = 0
        self._finished = False
        self._failed = False
        self._scope = trio.CancelScope()
        self._changed = trio.lowlevel.ParkingLot()
        self._drained = trio.lowlevel.ParkingLot()

    def write(self, **event: Any) -> None:
        """Write an event as JSON."""
        self.write_text(json.dumps(event, separators=(",", ":")))

    def write_text(self, text: str) -> None:
        """Write a line of text."""
        self.write_line([printable(text).encode() + b"\n"])

    def write_line(self, pieces: list[bytes]) -> None:
        """Write a line of printable text, given in pieces and including the line end."""
        if self._failed:
            return
        self.pieces += pieces
        self._size += sum(map(len, pieces))
        self._changed.unpark()

    def finish(self) -> None:
        """End after the last line. If the command was asked to end, the reader has `Limits.linger` seconds
        left.
        """
        self._finished = True
        self._changed.unpark()
        if self._ending.asked:
            self._scope.deadline = trio.current_time() + DEFAULT_LIMITS.linger

    async def room(self) -> None:
        """Wait until the reader has caught up."""
        while self._size > _MAX_OUTPUT:
            await self._drained.park()

    async def run(self) -> None:
        """Write until finished."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_reader)
                with self._scope:
                    await self._write_lines()
                nursery.cancel_scope.cancel()
        except* OSError as group:
            self._fail(group.exceptions[0])
        if self._scope.cancelled_caught:
            self._fail(TimeoutError(f"nobody reads stdout; {self._size} bytes were not written"))

    async def _write_lines(self) -> None:
        while self.pieces or not self._finished:
            if not self.pieces:
                await self._changed.park()
                continue
            data = self._take()
            await trio.to_thread.run_sync(streams.write_all, data, abandon_on_cancel=True)
            self._size -= len(data)
            self._drained.unpark_all()

    def _take(self) -> bytes:
        """Remove and return the bytes to write next. Their number is bounded, because this copies them."""
        sizes = accumulate(map(len, self.pieces))
        count = next((number for number, size in enumerate(sizes, 1) if size >= _MAX_OUTPUT), None)
        data = b"".join(self.pieces[:count])
        del self.pieces[:count]
        return data

    async def _watch_reader(self) -> None:
        """Raise `BrokenPipeError` when the reader of a pipe has gone, even if there is nothing to write."""
        if not stat.S_ISFIFO(os.fstat(_STDOUT).st_mode):
            return
        await trio.lowlevel.wait_readable(_STDOUT)
        state = select.poll()
        state.register(_STDOUT, 0)
        if any(events & select.POLLERR for _, events in state.poll(0)):
            raise BrokenPipeError

    def _fail(self, error: BaseException) -> None:
        assert isinstance(error, OSError)
        self._failed = True
        self.pieces.clear()
        self._size = 0
        self._drained.unpark_all()
        self._ending.fail(error)


async def input_lines(ending: Ending) -> AsyncIterator[bytes | None]:
    """Yield the lines of stdin until its end, or until the command is asked to end.

    None stands for a line longer than `MAX_LINE`. Lines that have been read are always yielded. A thread
    reads, because stdin may be a file or a terminal, for which Trio cannot wait.
    """
    line = bytearray()
    too_long = False
    while data := await _read(ending):
        *ended, rest = data.split(b"\n")
        for piece in ended:
            line += piece
            yield None if too_long or len(line) > MAX_LINE else bytes(line)
            line.clear()
            too_long = False
        line += rest
        if len(line) > MAX_LINE:
            line.clear()
            too_long = True
    if ending.asked:
        return  # half a line does not count
    if line or too_long:
        yield None if too_long else bytes(line)


async def _read(ending: Ending) -> bytes:
    with ending.unless_asked() as scope:
        data = await trio.to_thread.run_sync(streams.read, _READ_SIZE, abandon_on_cancel=True)
    return b"" if scope.cancelled_caught else data


def member_event(event: PeerEvent) -> dict[str, Any]:
    """Return a member's join or leave in the form that `pipe` and `watch --json` write."""
    if isinstance(event, PeerJoined):
        return {
            "event": "join",
            "peerId": event.peer_id,
            "publicKey": event.public_key.hex(),
            "wire": event.wire,
        }
    return {
        "event": "leave",
        "peerId": event.peer_id,
        "publicKey": event.public_key.hex(),
        "wire": event.wire,
        "reason": event.reason,
        "unsent": event.unsent,
    }
