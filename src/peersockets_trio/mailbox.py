"""What a topic and a watch have in common: one receiver at a time waiting for news, and closing."""

from __future__ import annotations

from typing import Final

import trio

from peersockets_core import TopicHandle, Watch

_TURNS: Final = 64
"""How many operations in a row go without a checkpoint. One costs as much as ten messages, and sixty-four
messages pass faster than anyone else could notice."""


class Mailbox:
    """The waiting side of a core handle."""

    _handle: TopicHandle | Watch

    def __init__(self) -> None:
        self._news = trio.lowlevel.ParkingLot()
        self._receiving = False
        self._turns = _TURNS

    @property
    def closed(self) -> bool:
        """Whether it has been closed here, by itself or with its drive or node."""
        return self._handle.closed

    def close(self) -> None:
        """Close; a task that waits in `receive` gets `trio.ClosedResourceError`. Closing twice is fine."""
        self._handle.close()
        self._news.unpark_all()

    async def aclose(self) -> None:
        """Close, and checkpoint."""
        self.close()
        await trio.lowlevel.checkpoint()

    def wake(self) -> None:
        """Something has come (called by the node)."""
        if self._news:
            self._news.unpark_all()

    def _check_open(self) -> None:
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

    async def _until_news(self) -> None:
        """Wait until there is something to take; if there is, checkpoint only now and then."""
        self._check_open()
        if len(self._handle) and self._turns:
            self._turns -= 1
            return
        self._claim()
        try:
            self._turns = _TURNS
            if len(self._handle):
                await trio.lowlevel.checkpoint()
            while not len(self._handle):
                self._check_open()
                await self._news.park()
        finally:
            self._receiving = False
        self._check_open()
