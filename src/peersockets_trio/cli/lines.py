"""Standard input and output as lines, without holding up the connections."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any, Final

import trio

from peersockets_core import PeerEvent, PeerJoined

_READ_SIZE: Final = 256 * 1024
MAX_LINE: Final = 32 * 1024 * 1024
"""Bytes: the largest message in base64, and room to spare."""
_MAX_OUTPUT: Final = 1024 * 1024
"""Bytes waiting for a slow reader of stdout before messages are taken no further."""


class Output:
    """Lines for stdout, written by a thread so that a slow reader does not stop the connections."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._size = 0
        self._finished = False
        self._changed = trio.lowlevel.ParkingLot()
        self._drained = trio.lowlevel.ParkingLot()

    def write(self, **event: Any) -> None:
        """Write an event as JSON."""
        self.write_text(json.dumps(event, separators=(",", ":")))

    def write_text(self, text: str) -> None:
        """Write a line of text."""
        line = text.encode(errors="surrogateescape") + b"\n"
        self._lines.append(line)
        self._size += len(line)
        self._changed.unpark()

    def finish(self) -> None:
        """Nothing more will be written."""
        self._finished = True
        self._changed.unpark()

    async def room(self) -> None:
        """Wait until the reader has caught up."""
        while self._size > _MAX_OUTPUT:
            await self._drained.park()

    async def run(self) -> None:
        """Write until finished. Raises `BrokenPipeError` when the reader has gone."""
        while self._lines or not self._finished:
            if not self._lines:
                await self._changed.park()
                continue
            data = b"".join(self._lines)
            self._lines.clear()
            await trio.to_thread.run_sync(write_all, data, abandon_on_cancel=True)
            self._size -= len(data)
            self._drained.unpark_all()


def write_all(data: bytes) -> None:
    """Write to stdout, past any buffer."""
    view = memoryview(data)
    while view:
        view = view[os.write(sys.stdout.fileno(), view) :]


async def input_lines() -> AsyncIterator[bytes | None]:
    """The lines of stdin; None stands for one that is longer than `MAX_LINE`.

    Read from the descriptor in a thread: stdin may be a file or a terminal, which cannot be waited for,
    and a buffered reader would hold its lock while we exit.
    """
    line = bytearray()
    too_long = False
    while data := await trio.to_thread.run_sync(
        os.read, sys.stdin.fileno(), _READ_SIZE, abandon_on_cancel=True
    ):
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
    if line or too_long:
        yield None if too_long else bytes(line)


def member_event(event: PeerEvent) -> dict[str, Any]:
    """A member's joining or leaving as `pipe` and `watch --json` write it."""
    if isinstance(event, PeerJoined):
        return {
            "event": "join",
            "peerId": event.peer_id,
            "publicKey": event.public_key.hex(),
            "wire": event.wire,
        }
    return {"event": "leave", "peerId": event.peer_id, "publicKey": event.public_key.hex()}
