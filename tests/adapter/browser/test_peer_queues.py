"""Messages of a page for peers without room wait, in order, and delay no other messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio

from adapter.browser.test_page_queue import drain
from adapter.support import KEY, RawPeer, all_tasks_blocked, limited, raw_member
from peersockets_trio import Drive, Node, open_node
from peersockets_trio.browser import GatewayLimits
from peersockets_trio.browser.handles import HandleState, PageTopic
from peersockets_trio.browser.page_queue import PageQueue
from peersockets_trio.browser.peer_queues import PeerQueues

SIZE = 1000
PAGE_ID = 7


@attrs.frozen
class Meeting:
    """A node, two peers that read nothing, and the queues of a tab."""

    node: Node
    drive: Drive
    peers: list[RawPeer]
    ids: list[int]
    page: PageQueue
    queues: PeerQueues
    handle: PageTopic

    def send(self, number: int, peer: int = 0, size: int = SIZE) -> None:
        self.queues.send(self.handle, PAGE_ID + peer, self.ids[peer], number.to_bytes(size))

    def fill(self, peer: int = 0) -> int:
        """Send until the first message waits; returns the number of messages that did not wait."""
        number = 0
        while not self.queues.waiting:
            self.send(number, peer)
            number += 1
        return number - 1


@asynccontextmanager
async def meeting(limits: GatewayLimits) -> AsyncIterator[Meeting]:
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive, trio.open_nursery() as nursery:
            peers = [await raw_member(node), await raw_member(node)]
            page = PageQueue(1000, lambda: None, lambda: None)
            handle = PageTopic(1, drive.join("chat"))
            queues = PeerQueues(nursery, page, limits)
            yield Meeting(node, drive, peers, list(drive.peers), page, queues, handle)
            for peer in peers:
                await peer.stream.aclose()
            nursery.cancel_scope.cancel()


async def read(peer: RawPeer) -> None:
    """Read until nothing comes any more."""
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def follow() -> None:
                await peer.until_dropped()

            nursery.start_soon(follow)
            await all_tasks_blocked(0)
            scope.cancel()


async def test_messages_with_room_leave_at_once() -> None:
    async with meeting(GatewayLimits()) as met:
        met.send(1)
        met.send(2, peer=1)
        assert drain(met.page) == [[1, "sent", PAGE_ID, SIZE], [1, "sent", PAGE_ID + 1, SIZE]]


async def test_messages_without_room_wait_and_leave_in_order() -> None:
    async with meeting(GatewayLimits()) as met:
        sent = met.fill()
        for number in range(100):
            met.send(number)
        assert drain(met.page) == [[1, "sent", PAGE_ID, sent * SIZE]]
        met.send(1, peer=1)
        assert drain(met.page) == [[1, "sent", PAGE_ID + 1, SIZE]]
        await read(met.peers[0])
        assert not met.queues.waiting
        assert drain(met.page) == [[1, "sent", PAGE_ID, (sent + 101) * SIZE]]


async def test_a_full_queue_takes_no_more() -> None:
    limits = GatewayLimits(peer_queue=10 * SIZE, peer_queues=15 * SIZE)
    async with meeting(limits) as met:
        sent = met.fill()
        for number in range(20):
            met.send(number)
        lost = [frame for frame in drain(met.page) if isinstance(frame, list) and frame[1] == "lost"]
        assert lost == [[1, "lost", PAGE_ID, "full", 12, 12 * SIZE]]
        assert met.queues.waiting <= 10 * SIZE
        met.send(1, peer=1)
        assert drain(met.page) == [[1, "sent", PAGE_ID + 1, SIZE]]
        await read(met.peers[0])
        assert drain(met.page) == [[1, "sent", PAGE_ID, (sent + 21) * SIZE]]


async def test_all_queues_together_are_bounded() -> None:
    limits = GatewayLimits(peer_queue=10 * SIZE, peer_queues=15 * SIZE)
    async with meeting(limits) as met:
        for peer in (0, 1):
            for number in range(2000):
                met.send(number, peer)
        assert met.queues.waiting <= 15 * SIZE


async def test_messages_that_wait_for_a_peer_that_leaves_are_lost() -> None:
    async with meeting(GatewayLimits()) as met:
        while not met.queues.waiting:  # the connection takes what fills its buffer once
            met.fill()
            await all_tasks_blocked(0)
        drain(met.page)
        met.send(1)
        met.node.disconnect(met.ids[0])
        async with met.drive.watch() as events:
            while len(met.drive.peers) > 1:
                await events.receive()
        await all_tasks_blocked(0)
        assert drain(met.page)[0] == [1, "lost", PAGE_ID, "gone", 2, 2 * SIZE]
        assert not met.queues.waiting


async def test_a_handle_that_closes_drains() -> None:
    async with meeting(GatewayLimits()) as met:
        met.fill()
        drain(met.page)
        met.handle.close()
        assert met.handle.state is HandleState.DRAINING
        await read(met.peers[0])
        assert met.handle.topic.closed
        assert drain(met.page) == []
