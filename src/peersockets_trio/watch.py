"""`PeerEvents`: a feed of a drive's members, joining and leaving."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from peersockets_core import PeerEvent, Watch

from .mailbox import Mailbox


class PeerEvents(Mailbox):
    """Joined and left events of one drive, beginning with the members present at the call of `watch`."""

    _handle: Watch

    async def receive(self) -> PeerEvent:
        """Return the next event, waiting for it; checkpoints as `Topic.receive` does.

        Raises `trio.ClosedResourceError` when closed here, `trio.BusyResourceError` for a second receiver.
        """
        await self._until_news()
        return self._handle.take()

    def receive_nowait(self) -> PeerEvent:
        """Return the next event. Raises `trio.WouldBlock` if there is none."""
        self._check_news()
        return self._handle.take()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PeerEvent:
        return await self.receive()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
