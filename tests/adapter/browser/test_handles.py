from __future__ import annotations

from adapter.support import meet
from peersockets_trio.browser.handles import HandleState, PageTopic, PageWatch


def closed(handle: PageTopic) -> bool:
    return handle.topic.closed and handle.state is HandleState.CLOSED


async def test_a_topic_closes_when_nothing_waits() -> None:
    async with meet() as (ours, _):
        handle = PageTopic(1, ours.drive.join("chat"))
        handle.close()
        assert closed(handle)


async def test_a_topic_drains_first() -> None:
    async with meet() as (ours, _):
        handle = PageTopic(1, ours.drive.join("chat"), waiting=2)
        handle.close()
        handle.left()
        assert handle.state is HandleState.DRAINING
        assert not closed(handle)
        handle.left()
        assert closed(handle)


async def test_an_open_topic_stays_open_when_nothing_waits() -> None:
    async with meet() as (ours, _):
        handle = PageTopic(1, ours.drive.join("chat"), waiting=1)
        handle.left()
        assert handle.state is HandleState.OPEN
        assert not closed(handle)


async def test_a_watch_closes_at_once() -> None:
    async with meet() as (ours, _):
        handle = PageWatch(1, ours.drive.watch())
        handle.close()
        assert handle.events.closed
