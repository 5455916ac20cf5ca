"""`PeerEvents`: a feed of a drive's members that join and leave."""

from __future__ import annotations

from peersockets_core import PeerEvent, Watch

from .runtime.machine import NodeDrive
from .runtime.node_runtime import NodeRuntime
from .runtime.receiver import Receiver, Wakeable


class PeerEvents(Receiver):
    """The `PeerJoined` and `PeerLeft` events of one drive, made by `Drive.watch`: `receive` or `async for`.

    They begin with the members present at the call of `watch`.
    """

    _handle: Watch[Wakeable]

    def __init__(self, runtime: NodeRuntime, drive: NodeDrive) -> None:
        super().__init__(runtime.affinity)
        self._handle = runtime.machine.watch(drive, owner=self)
        self._drive = drive

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{len(self._handle)} events wait"
        return f"<PeerEvents of {self._drive.key}, {state}>"

    async def receive(self) -> PeerEvent:
        """Wait for the next event and return it. It checkpoints as `Topic.receive` does.

        Raises `trio.ClosedResourceError` if it is closed here, and `trio.BusyResourceError` for a second
        receiver.
        """
        await self._until_news()
        return self._handle.take()

    def receive_nowait(self) -> PeerEvent:
        """Return the next event without waiting. Raises `trio.WouldBlock` if there is none."""
        self._check_news()
        return self._handle.take()

    async def __anext__(self) -> PeerEvent:
        return await self.receive()
