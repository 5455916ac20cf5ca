"""`PeerQueues`: sends a page's messages at once where there is room, and queues them where there is none.

A peer that does not read holds up neither others nor the page.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs
import trio

from peersockets_core import MessageTooLarge, PeerGone, UnknownPeer
from peersockets_core.limits import MESSAGE_COST

from .handles import HandleState, PageTopic
from .limits import GatewayLimits
from .page_queue import PageQueue
from .reports import Loss

_GONE: Final = (PeerGone, UnknownPeer)  # an id is unknown again when the node has forgotten its peer


@attrs.define(eq=False)
class _Queue:
    """The messages that wait for one peer, in order: each with its handle and the tab's id of the peer."""

    waiting: deque[tuple[PageTopic, int, bytes]] = attrs.field(factory=deque)
    cost: int = 0


class PeerQueues:
    """The queues of one tab. Most of the time there are none."""

    def __init__(self, nursery: trio.Nursery, page: PageQueue, limits: GatewayLimits) -> None:
        self._nursery = nursery
        self._page = page
        self._limits = limits
        self._queues: dict[int, _Queue] = {}
        self._cost = 0

    @property
    def waiting(self) -> int:
        """The bytes that wait, and what they cost."""
        return self._cost

    def send(self, handle: PageTopic, page_id: int, peer_id: int, payload: bytes) -> None:
        """Send a message to a peer, or queue it. The page learns the outcome from its reports."""
        queue = self._queues.get(peer_id)
        loss: Loss | None = None
        if queue is None:
            try:
                handle.topic.send_nowait(peer_id, payload)
            except trio.WouldBlock:
                queue = self._queues[peer_id] = _Queue()
                self._nursery.start_soon(self._empty, peer_id, queue)
            except _GONE:
                loss = "gone"
            except MessageTooLarge:
                loss = "too large"
        if queue is not None:
            if self._put(queue, handle, page_id, payload):
                return
            loss = "full"
        self._report(handle, page_id, payload, loss)

    def _put(self, queue: _Queue, handle: PageTopic, page_id: int, payload: bytes) -> bool:
        """Queue a message if there is room. An empty queue has room for any message."""
        cost = len(payload) + MESSAGE_COST
        limits = self._limits
        if queue.waiting and (
            queue.cost + cost > limits.peer_queue or self._cost + cost > limits.peer_queues
        ):
            return False
        queue.waiting.append((handle, page_id, payload))
        queue.cost += cost
        self._cost += cost
        handle.waiting += 1
        return True

    async def _empty(self, peer_id: int, queue: _Queue) -> None:
        """Send the waiting messages of a peer, as fast as it takes them, until none is left."""
        while queue.waiting:
            handle, page_id, payload = queue.waiting[0]
            loss = await _send(handle, peer_id, payload)
            queue.waiting.popleft()
            cost = len(payload) + MESSAGE_COST
            queue.cost -= cost
            self._cost -= cost
            self._report(handle, page_id, payload, loss)
            handle.left()
        del self._queues[peer_id]

    def _report(self, handle: PageTopic, page_id: int, payload: bytes, loss: Loss | None) -> None:
        if handle.state is HandleState.OPEN:
            self._page.put_outcome(handle.number, page_id, len(payload), loss)


async def _send(handle: PageTopic, peer_id: int, payload: bytes) -> Loss | None:
    """Send a message as soon as there is room; returns the reason if it is lost."""
    try:
        await handle.topic.send(peer_id, payload)
    except _GONE:
        return "gone"
    except MessageTooLarge:
        return "too large"
    return None
