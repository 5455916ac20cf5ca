"""`peersockets_trio.watch`: the feed of members."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
import trio.testing

from adapter.support import KEY, WIRE, all_tasks_blocked, connect_memory, limited, meet, raw_member
from peersockets_trio import Limits, PeerEvent, PeerJoined, PeerLeft, open_node


async def test_members_present_come_first() -> None:
    async with meet() as (alice, bob):
        joined = PeerJoined(alice.peer_id, bob.node.public_keys[WIRE], WIRE)
        for _ in range(2):
            async with alice.drive.watch() as events:
                assert events.receive_nowait() == joined
                with pytest.raises(trio.WouldBlock):
                    events.receive_nowait()


async def test_two_watches_are_independent() -> None:
    async with meet() as (alice, bob), alice.drive.watch() as second:
        alice.events.close()
        bob.drive.close()
        assert [type(await second.receive()) for _ in range(2)] == [PeerJoined, PeerLeft]


async def test_iteration_until_closed() -> None:
    seen = []
    async with meet() as (alice, bob), alice.drive.watch() as events, trio.open_nursery() as nursery:

        async def follow() -> None:
            async for event in events:
                seen.append(type(event))

        async def follow_to_the_end() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await follow()

        nursery.start_soon(follow_to_the_end)
        await all_tasks_blocked(0)
        bob.drive.close()
        await all_tasks_blocked(0)
        events.close()
    assert seen == [PeerJoined, PeerLeft]


async def test_a_lost_connection_reports_its_reason_and_the_loss() -> None:
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive, drive.watch() as events:
            peer = await raw_member(node)
            joined = await events.receive()
            drive.join("chat").send_nowait(joined.peer_id, bytes(1000))
            await all_tasks_blocked(0)
            await peer.send_frames(b"\xff" * 9)
            left = await events.receive()
            assert isinstance(left, PeerLeft)
            assert left.peer_id == joined.peer_id
            assert "varint" in left.reason
            assert left.unsent >= 1000


async def test_a_clean_leave_has_no_reason() -> None:
    with limited():
        async with open_node() as alice, alice.open_drive(KEY) as drive, drive.watch() as events:
            async with open_node() as bob, bob.open_drive(KEY):
                await connect_memory(bob, alice)
                joined = await events.receive()
            assert await events.receive() == PeerLeft(joined.peer_id, bob.public_keys[WIRE], WIRE)


async def test_members_that_came_and_went_unseen_are_left_out() -> None:
    """A watch that is not read stays small, however often members come."""
    with limited():
        async with (
            open_node(limits=Limits(watch_events=4)) as alice,
            alice.open_drive(KEY) as drive,
            drive.watch() as events,
            open_node() as bob,
        ):
            await connect_memory(bob, alice)
            for _ in range(20):
                async with bob.open_drive(KEY):
                    await all_tasks_blocked(0)
                await all_tasks_blocked(0)
            kinds: list[type[PeerEvent]] = []
            with suppress(trio.WouldBlock):
                while True:
                    kinds.append(type(events.receive_nowait()))
            assert len(kinds) <= 5
            assert kinds == [PeerJoined, PeerLeft] * (len(kinds) // 2)
