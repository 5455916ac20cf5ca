"""`WriteBatch`: decides whether output leaves a socket at once, or together with output that follows soon.

The first write after a pause leaves at once, so that a lone message waits for nothing. Writes that follow
closely share datagrams and system calls: they leave together, a few turns of the scheduler later.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import trio

from ..runtime.flusher import Flusher

_GATHER_TIME: Final = 0.001
"""Seconds after a write within which another one belongs to the same batch, and the longest time that a batch
stays open."""

_GATHER_SIZE: Final = 256 * 1024
"""Bytes at which a batch leaves at once: four full runs, and a few packets."""

_GATHER_TURNS: Final = 2
"""Turns of the scheduler that a batch stays open after a write, so that data carries the END after it."""


class WriteBatch:
    """The writes that leave together, or none while it is `idle`."""

    def __init__(self, send: Callable[[], None]) -> None:
        """`send` is called to send all pending output."""
        self.idle = True
        """Whether no batch is open. An open one is registered with the flusher."""
        self.left = trio.lowlevel.ParkingLot()
        """Tasks that wait until some output of the open batch has left."""
        self._send = send
        self._flusher = Flusher()
        self._turns = 0  # the number of turns that the batch still stays open without another write
        self._gathered = 0  # the number of bytes in the batch
        self._batch_end = 0.0  # the time at which the batch leaves even if it grows
        self._sent_time = -math.inf  # the last time at which a write or a batch was sent

    def wake(self, size: int = 0) -> None:
        """Send pending output: at once if the last write was a while ago, otherwise together with output that
        follows soon. `size` is the number of bytes that were just written.
        """
        if self.idle:
            now = trio.current_time()
            if now - self._sent_time > _GATHER_TIME:
                self._sent_time = now
                self._send()
                return
            self.open(now)
        self._turns = _GATHER_TURNS
        self._gathered += size
        if self._gathered >= _GATHER_SIZE:
            self._gathered = 0
            self._batch_end = trio.current_time() + _GATHER_TIME
            self._leave()

    def open(self, now: float) -> None:
        """Open a batch, if none is open."""
        if self.idle:
            self.idle = False
            self._turns = _GATHER_TURNS
            self._batch_end = now + _GATHER_TIME
            self._gathered = 0
            self._flusher.add(self)

    def hurry_next(self) -> None:
        """Let the next write leave at once, for it answers data that has just arrived."""
        self._sent_time = -math.inf

    def flush(self) -> None:
        """Send the output that was queued since, once the batch has been open long enough."""
        now = trio.current_time()
        if self._turns and now < self._batch_end:
            self._turns -= 1
            self._flusher.add(self)
        else:
            self.idle = True
            self._sent_time = now
            self._leave()

    def _leave(self) -> None:
        self._send()
        self.left.unpark_all()

    async def run(self) -> None:
        """Flush open batches for ever."""
        await self._flusher.run()
