"""`Flusher`: one task that writes for all connections of a node, as far as that needs no waiting.

A connection with nothing else to write sends a message to its socket at once. Further messages in the same
turn of the scheduler are gathered, and this task writes them for all connections in one turn. A connection's
own write loop only wakes if its socket is full, because a task switch costs as much as the rest of a short
message.
"""

from __future__ import annotations

from typing import Protocol

import trio


class Flushable(Protocol):
    """A connection, or another writer, that gathers output for the next turn."""

    def flush(self) -> None:
        """Write the output that was queued since, and become idle."""


class Flusher:
    """The connections with output that waits for the next turn."""

    def __init__(self) -> None:
        self._waiting: list[Flushable] = []
        self._lot = trio.lowlevel.ParkingLot()

    def add(self, connection: Flushable) -> None:
        """Schedule a call of `connection.flush` in the next turn."""
        if not self._waiting:
            self._lot.unpark_all()
        self._waiting.append(connection)

    async def run(self) -> None:
        """Flush for ever."""
        while True:
            if self._waiting:
                await trio.lowlevel.checkpoint()
            else:
                await self._lot.park()
            connections, self._waiting = self._waiting, []
            for connection in connections:
                connection.flush()
