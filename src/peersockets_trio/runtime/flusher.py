"""`Flusher`: one task that writes for all connections of a node, where that needs no waiting.

A message to a connection with nothing else to write goes to its socket at once. What follows in the same
turn of the scheduler is gathered and written here, for all connections in one turn. Only a socket that takes
no more wakes its connection's own write loop: a switch of tasks costs as much as the rest of a short message.
"""

from __future__ import annotations

from typing import Protocol

import trio


class Flushable(Protocol):
    """A connection that has written at once."""

    def flush(self) -> None:
        """Write what has been queued since, and be idle."""


class Flusher:
    """The connections that have written in this turn."""

    def __init__(self) -> None:
        self._waiting: list[Flushable] = []
        self._lot = trio.lowlevel.ParkingLot()

    def add(self, connection: Flushable) -> None:
        """See to it that `connection.flush` is called in the next turn."""
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
