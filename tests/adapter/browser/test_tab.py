"""A page that uses the protocol: joins, watches, messages both ways, and forbidden frames."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from adapter.browser.support import Ended, Page, Served, hears, open_page, open_raw, open_served, until_left
from peersockets_trio import Topic
from peersockets_trio.browser import GatewayLimits
from peersockets_trio.browser.limits import HANDLES


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_served(tmp_path) as served:
        yield served


@pytest.fixture
async def page(served: Served) -> AsyncIterator[Page]:
    async with open_page(served.site) as page:
        yield page


@pytest.fixture
async def topic(served: Served) -> AsyncIterator[Topic]:
    """The topic "chat" at the other node."""
    async with served.theirs.drive.join("chat") as topic:
        yield topic


async def test_the_greeting_has_our_keys(served: Served) -> None:
    async with open_page(served.site) as page:
        keys = {wire: key.hex() for wire, key in served.ours.node.public_keys.items()}
        assert page.greeting == ["ready", {"publicKeys": keys}]


async def test_a_watch_begins_with_the_members(served: Served, page: Page) -> None:
    await page.say("watch", 1)
    key = served.theirs.node.public_keys["hypercore9"].hex()
    assert await page.hear() == ["peer", 1, key, "hypercore9"]
    assert await page.hear() == [1, "join", 1]
    served.theirs.drive.close()
    assert await page.hear() == [1, "leave", 1, "", 0]
    served.theirs.node.open_drive(served.theirs.drive.key)
    assert await page.hear() == [1, "join", 1]


async def test_messages_both_ways(served: Served, page: Page, topic: Topic) -> None:
    await page.say("join", 1, "chat")
    await page.say("watch", 2)
    await page.until(2, "join")
    for message in (b"", b"a", bytes(100_000)):
        await page.send(1, 1, message)
        assert (await topic.receive()).message == message
        await topic.send(served.theirs.peer_id, message)
        assert await page.message() == (1, 1, message)


async def test_a_message_introduces_its_sender(served: Served, page: Page) -> None:
    await page.say("join", 7, "chat")
    while not await hears(served, "chat"):
        pass
    key = served.theirs.node.public_keys["hypercore9"].hex()
    assert await page.hear() == ["peer", 1, key, "hypercore9"]
    assert await page.hear() == (7, 1, b"")
    await page.say("watch", 8)
    assert await page.hear() == [8, "join", 1]


async def test_many_messages_in_one_frame_arrive_in_order(served: Served, page: Page, topic: Topic) -> None:
    await page.say("join", 1, "chat")
    await page.say("watch", 2)
    await page.until(2, "join")
    messages = [number.to_bytes(4) for number in range(5000)]
    await page.send_batch(*((1, 1, message) for message in messages))
    assert [(await topic.receive()).message for _ in messages] == messages
    for message in messages:
        await topic.send(served.theirs.peer_id, message)
    assert [(await page.message())[2] for _ in messages] == messages


async def test_two_joins_are_two_handles(served: Served, page: Page, topic: Topic) -> None:
    await page.say("join", 1, "chat")
    await page.say("join", 2, "chat")
    await page.say("watch", 3)
    await page.until(3, "join")
    await topic.send(served.theirs.peer_id, b"a")
    assert sorted([await page.message(), await page.message()]) == [(1, 1, b"a"), (2, 1, b"a")]
    await page.say("close", 1)
    await page.send(2, 1, b"b")
    assert (await topic.receive()).message == b"b"
    await topic.send(served.theirs.peer_id, b"c")
    assert await page.message() == (2, 1, b"c")
    await page.say("close", 2)
    await until_left(served, "chat")


async def test_the_page_learns_the_outcome_of_its_messages(served: Served, page: Page, topic: Topic) -> None:
    await page.say("join", 1, "chat")
    await page.say("watch", 2)
    await page.until(2, "join")
    await page.send(1, 1, b"abc")
    assert await page.hear() == [1, "sent", 1, 3]
    await page.send(1, 1, b"defg")
    assert await page.hear() == [1, "sent", 1, 7]
    # A hypercore9 frame has no room for its head as well.
    await page.send(1, 1, bytes(8 * 1024 * 1024))
    assert await page.hear() == [1, "lost", 1, "too large", 1, 8 * 1024 * 1024]
    assert await page.hear() == [1, "sent", 1, 8 * 1024 * 1024 + 7]
    served.theirs.drive.close()
    await page.until(2, "leave", 1)
    await page.send(1, 1, b"hi")
    assert await page.hear() == [1, "lost", 1, "gone", 1, 2]


async def test_closed_handles_are_silent(served: Served, page: Page, topic: Topic) -> None:
    await page.say("join", 1, "chat")
    await page.say("watch", 2)
    await page.until(2, "join")
    await page.say("close", 1)
    await page.say("close", 1)
    await page.send(1, 1, b"after")
    await page.say("close", 2)
    served.theirs.drive.close()
    await page.say("watch", 3)
    served.theirs.node.open_drive(served.theirs.drive.key)
    assert await page.until(3, "join") == [3, "join", 1]


LARGEST: Final = 0xFFFFFFFF
NEVER: Final = "a message is for an id that was never given"


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (["["], "a text frame is not JSON"),
        (['["nothing"]'], "a text frame is none of join, watch and close"),
        (['["watch",1]', '["watch",1]'], "a handle is not greater than all earlier ones"),
        (['["watch",2]', '["join",1,"a"]'], "a handle is not greater than all earlier ones"),
        (['["watch",1]', '["close",1]', '["watch",1]'], "a handle is not greater than all earlier ones"),
        (['["close",1]'], "a handle was never opened"),
        ([bytes.fromhex("00000001 00000001")], "a handle was never opened"),
        (['["watch",1]', bytes.fromhex("00000001 00000001")], "a message is for a watch"),
        (
            ['["join",1,""]', bytes.fromhex("00000001 00000000")],
            "a message is for an id that was never given",
        ),
        (
            ['["join",1,""]', bytes.fromhex("00000001 00000001")],
            "a message is for an id that was never given",
        ),
        (
            ['["join",1,""]', bytes.fromhex("00000001 ffffffff")],
            "a message is for an id that was never given",
        ),
        ([b""], "a binary frame is shorter than its head"),
        ([bytes(4)], "a batch has no record"),
        ([f'["watch",{number}]' for number in range(1, HANDLES + 2)], "more than 1024 handles are open"),
        ([" " * 600_000], "a text frame is larger than 524288 bytes"),
    ],
)
async def test_a_page_that_breaks_a_rule_is_disconnected(
    served: Served, frames: list[str | bytes], reason: str
) -> None:
    async with open_page(served.site) as other:
        async with open_page(served.site) as page:
            for frame in frames:
                await page.socket.send(frame)
            await page.until_closed()
            assert (page.socket.close_code, page.socket.close_reason) == (4400, reason)
        await other.say("watch", 1)
        assert await other.until(1, "join")


@pytest.mark.parametrize("size", [8 * 1024 * 1024 + 9])
async def test_a_frame_that_is_too_large_ends_the_socket(served: Served, size: int) -> None:
    async with open_page(served.site) as page:
        await page.socket.send(bytes(size))
        await page.until_closed()
        assert page.socket.close_code == 1009


async def test_the_highest_handle(page: Page) -> None:
    await page.say("watch", LARGEST)
    assert await page.until(LARGEST, "join")


async def test_handles_that_are_closed_make_room(page: Page) -> None:
    for number in range(1, 2 * HANDLES):
        await page.socket.send(json.dumps(["join", number, "a"]))
        await page.socket.send(json.dumps(["close", number]))
    await page.say("watch", 2 * HANDLES)
    assert await page.until(2 * HANDLES, "join")


async def test_a_tab_that_does_not_read_costs_only_its_own_messages(tmp_path: Path) -> None:
    """The page gets the messages that the kernel and its queue held. The numbers of missing messages come in
    the right places."""
    limits = GatewayLimits(page_queue=200_000)
    rounds, burst, size = 400, 50, 1000
    async with (
        open_served(tmp_path, limits=limits) as served,
        open_raw(served.site) as deaf,
        open_page(served.site) as page,
        served.theirs.drive.join("chat") as topic,
    ):
        await page.say("join", 1, "chat")
        await page.say("watch", 2)
        await page.until(2, "join")
        for start in range(0, rounds * burst, burst):
            for number in range(start, start + burst):
                await topic.send(served.theirs.peer_id, number.to_bytes(size))
            received = [int.from_bytes((await page.message())[2]) for _ in range(burst)]
            assert received == list(range(start, start + burst))
        expected = missed = 0
        while expected < rounds * burst:
            frame = await deaf.hear()
            if isinstance(frame, tuple):
                assert int.from_bytes(frame[2]) == expected
                expected += 1
            elif frame[1] == "missed":
                assert frame[0] == 1
                assert frame[3] == frame[2] * size
                expected += frame[2]
                missed += frame[2]
        assert missed


async def test_a_tab_that_reads_nothing_for_long_is_disconnected(tmp_path: Path) -> None:
    limits = GatewayLimits(stalled=0.5)
    async with open_served(tmp_path, limits=limits) as served, served.theirs.drive.join("chat") as topic:
        opened = False
        while not opened:  # on a slow machine, writing the first frames may take too long already
            with suppress(Ended):
                async with open_raw(served.site):
                    opened = True
                    for _ in range(20):
                        await topic.send(served.theirs.peer_id, bytes(1024 * 1024))
                    await until_left(served, "chat")
