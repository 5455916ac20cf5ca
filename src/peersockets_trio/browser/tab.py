"""`Tab`: carries out the commands of one page on one drive, and queues the drive's events for the page."""

from __future__ import annotations

from typing import Final

import trio

from peersockets_core import PeerJoined, RemoteProtocolError, UnknownPeer

from ..drive import Drive
from ..node import Node
from .frames import CloseHandle, JoinTopic, PageCommand, PageMessage
from .handles import HandleState, PageHandle, PageTopic, PageWatch
from .limits import HANDLES, GatewayLimits
from .page_queue import PageQueue
from .peer_queues import PeerQueues

_CHECKPOINT_INTERVAL: Final = 1024
"""The most messages of a page that are sent in a row. Other tasks wait for a few milliseconds meanwhile."""


_REPORT_PAUSE: Final = 0.02
"""Seconds in which outcomes of messages gather before the page gets them."""


class Tab:
    """One socket of a page."""

    def __init__(self, node: Node, drive: Drive, limits: GatewayLimits, nursery: trio.Nursery) -> None:
        self._node = node
        self._drive = drive
        self._nursery = nursery
        self._news = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()
        self._outcomes = trio.lowlevel.ParkingLot()
        self._queue = PageQueue(limits.page_queue, self._wake, self._outcomes.unpark_all)
        self._peer_queues = PeerQueues(nursery, self._queue, limits)
        self._handles: dict[int, PageHandle] = {}
        self._newest = 0  # the largest handle so far
        self._page_ids: dict[int, int] = {}  # the tab's ids by the node's
        self._peer_ids: list[int] = [0]  # the node's ids by the tab's, which count from 1
        keys = {wire: key.hex() for wire, key in node.public_keys.items()}
        self._queue.put_text("ready", {"publicKeys": keys})
        nursery.start_soon(self._report)

    # To the page

    async def next_frame(self) -> str | bytes:
        """Wait for the next frame for the page and return it."""
        while (frame := self._queue.take()) is None:
            await self._news.park()
        if not self._queue.full:
            self._room.unpark_all()
        return frame

    def _wake(self) -> None:
        self._news.unpark_all()

    async def _report(self) -> None:
        while True:
            await self._outcomes.park()
            await trio.sleep(_REPORT_PAUSE)
            self._queue.report()

    # From the page

    def execute(self, command: PageCommand) -> None:
        """Carry out a command. Raises `RemoteProtocolError`."""
        number = command.handle
        if isinstance(command, CloseHandle):
            self._close(number)
            return
        if number <= self._newest:
            raise RemoteProtocolError("a handle is not greater than all earlier ones")
        if len(self._handles) >= HANDLES:
            raise RemoteProtocolError(f"more than {HANDLES} handles are open")
        self._newest = number
        if isinstance(command, JoinTopic):
            joined = PageTopic(number, self._drive.join(command.topic))
            self._handles[number] = joined
            self._nursery.start_soon(self._follow_topic, joined)
        else:
            watch = PageWatch(number, self._drive.watch())
            self._handles[number] = watch
            self._nursery.start_soon(self._follow_members, watch)

    async def send(self, messages: list[PageMessage]) -> None:
        """Send messages of the page. Raises `RemoteProtocolError`."""
        for turn, (number, page_id, payload) in enumerate(messages, 1):
            handle = self._handles.get(number)
            if handle is None:
                self._check_old(number)
            elif isinstance(handle, PageWatch):
                raise RemoteProtocolError("a message is for a watch")
            elif not 0 < page_id < len(self._peer_ids):
                raise RemoteProtocolError("a message is for an id that was never given")
            else:
                self._peer_queues.send(handle, page_id, self._peer_ids[page_id], payload)
            if not turn % _CHECKPOINT_INTERVAL:
                await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close all handles."""
        for handle in self._handles.values():
            if isinstance(handle, PageTopic):
                handle.topic.close()
            else:
                handle.close()
        self._handles.clear()

    def _close(self, number: int) -> None:
        handle = self._handles.pop(number, None)
        if handle is None:
            self._check_old(number)
            return
        handle.close()
        self._queue.forget(number)

    def _check_old(self, number: int) -> None:
        if number > self._newest:
            raise RemoteProtocolError("a handle was never opened")

    # From the drive

    async def _follow_topic(self, handle: PageTopic) -> None:
        try:
            while True:
                for message in await handle.topic.receive_batch():
                    if handle.state is not HandleState.OPEN:
                        continue
                    page_id = self._page_ids.get(message.peer_id)
                    if page_id is None:
                        page_id = self._introduce(message.peer_id, message.public_key)
                    self._queue.put_message(handle.number, page_id, message.message)
        except trio.ClosedResourceError:
            pass

    async def _follow_members(self, handle: PageWatch) -> None:
        try:
            async for event in handle.events:
                page_id = self._page_ids.get(event.peer_id)
                if page_id is None:
                    page_id = self._introduce(event.peer_id, event.public_key)
                if isinstance(event, PeerJoined):
                    self._queue.put_text(handle.number, "join", page_id)
                else:
                    self._queue.put_text(handle.number, "leave", page_id, event.reason, event.unsent)
                while self._queue.full:
                    await self._room.park()
        except trio.ClosedResourceError:
            pass

    def _introduce(self, peer_id: int, public_key: bytes) -> int:
        """Give a peer the tab's next id, and introduce it to the page."""
        page_id = self._page_ids[peer_id] = len(self._peer_ids)
        self._peer_ids.append(peer_id)
        try:
            wire = self._node.peer(peer_id).wire
        except UnknownPeer:  # the node has already forgotten it
            wire = None
        self._queue.put_text("peer", page_id, public_key.hex(), wire)
        return page_id
