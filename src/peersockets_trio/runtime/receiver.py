"""`Receiver`: the base of topics, watches and kept connections. One task at a time waits for news; any task
can close it.
"""

from __future__ import annotations

from typing import Final, Protocol, Self

import trio

from .affinity import Affinity
from .closing import Closing

CHECKPOINT_INTERVAL: Final = 64
"""The number of operations in a row without a checkpoint. A checkpoint costs as much as ten messages, and
sixty-four messages pass faster than other tasks could notice."""


class Wakeable(Protocol):
    """The owner of a handle of the core."""

    def wake(self) -> None:
        """Note that the handle has something to take."""


class Handle(Protocol):
    """The source of news: a handle of the core, or another queue."""

    closed: bool

    def __len__(self) -> int:
        """Return the number of items to take."""

    def close(self) -> None:
        """Stop taking items."""


class Receiver(Closing):
    """The receiving side of a handle."""

    _handle: Handle

    def __init__(self, affinity: Affinity) -> None:
        self._affinity = affinity
        self._news = trio.lowlevel.ParkingLot()
        self._receiving = False
        self._turns = CHECKPOINT_INTERVAL

    @property
    def closed(self) -> bool:
        """Whether it was closed here, by itself or with its drive or node."""
        return self._handle.closed

    def close(self) -> None:
        """Close it. A task that waits in `receive` gets `trio.ClosedResourceError`. Closing it twice is
        fine.
        """
        self._affinity.check()
        self._handle.close()
        self._news.unpark_all()

    def __aiter__(self) -> Self:
        return self

    def wake(self) -> None:
        """Wake the receiver because something has arrived. The node calls this."""
        if self._receiving and self._news:
            self._news.unpark_all()

    def _check_open(self) -> None:
        self._affinity.check()
        if self._handle.closed:
            raise trio.ClosedResourceError(f"this {type(self).__name__} is closed")

    def _check_news(self) -> None:
        self._check_open()
        if not len(self._handle):
            raise trio.WouldBlock

    def _claim(self) -> None:
        """Become the only receiver, for good or until `_receiving` is unset."""
        if self._receiving:
            raise trio.BusyResourceError(f"another task is receiving from this {type(self).__name__}")
        self._receiving = True

    async def _until_news(self, turns: int = 1) -> None:
        """Wait until there is something to take; if there is, checkpoint only now and then.

        This call counts for `turns` operations.
        """
        self._check_open()
        if len(self._handle) and self._turns >= turns:
            self._turns -= turns
            return
        self._claim()
        try:
            self._turns = CHECKPOINT_INTERVAL
            if len(self._handle):
                await trio.lowlevel.checkpoint()
            while not len(self._handle):
                self._check_open()
                await self._news.park()
        finally:
            self._receiving = False
        self._check_open()
