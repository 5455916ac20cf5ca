"""`peersockets_trio.topic`: broadcasting."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio
import trio.testing

from adapter.support import (
    KEY,
    RawPeer,
    all_tasks_blocked,
    connect_memory,
    connect_tcp,
    extension_name,
    fill,
    limited,
    raw_member,
)
from adapter.topic_support import LARGEST, chat
from peersockets_core import MessagesReceived
from peersockets_trio import (
    Limits,
    MessageTooLarge,
    PeerJoined,
    Topic,
    UnknownPeer,
    open_node,
)
from peersockets_trio.testing import NodeSide, join_side


async def test_broadcast_reaches_all_members() -> None:
    with limited():
        async with open_node() as alice, alice.open_drive(KEY) as drive, drive.join("chat") as outbox:
            assert await outbox.broadcast(b"nobody") == 0
            async with open_node() as bob, open_node() as carol, open_node() as stranger:
                inboxes = [node.open_drive(KEY).join("chat") for node in (bob, carol)]
                for node in (bob, carol, stranger):
                    await connect_memory(node, alice)
                await all_tasks_blocked(0)
                assert await outbox.broadcast(b"all") == 2
                for inbox in inboxes:
                    assert (await inbox.receive()).message == b"all"


async def test_broadcast_is_not_held_up_by_a_member_that_does_not_read() -> None:
    with limited():
        async with (
            open_node(limits=Limits(send_buffer=1000)) as alice,
            alice.open_drive(KEY) as drive,
            drive.join("chat") as outbox,
            drive.watch() as events,
        ):
            deaf = await raw_member(alice)
            deaf_id = (await events.receive()).peer_id
            async with open_node() as bob, bob.open_drive(KEY) as bob_drive, bob_drive.join("chat") as inbox:
                await connect_memory(bob, alice)
                assert isinstance(await events.receive(), PeerJoined)
                await fill(outbox, deaf_id)
                reached: list[int] = []

                async def broadcast() -> None:
                    reached.append(await outbox.broadcast(b"news"))

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(broadcast)
                    assert (await inbox.receive()).message == b"news"
                    await all_tasks_blocked(0)
                    assert not reached
                    await deaf.stream.aclose()
                assert reached == [1]


@asynccontextmanager
async def late_members() -> AsyncIterator[tuple[Topic, list[RawPeer]]]:
    """A topic of a drive with two members whose buffers are full, and that read when a test says so."""
    with limited():
        async with (
            open_node(limits=Limits(send_buffer=1000, linger=0.1)) as alice,
            alice.open_drive(KEY) as drive,
            drive.join("chat") as outbox,
        ):
            members = [await raw_member(alice) for _ in range(2)]
            await all_tasks_blocked(0)
            for peer_id in drive.peers:
                await fill(outbox, peer_id)
            yield outbox, members
            for member in members:
                await trio.aclose_forcefully(member.stream)


async def _read_until(member: RawPeer, message: bytes) -> None:
    name = extension_name("chat")
    if name not in member.connection.extensions:
        member.connection.extensions.register(name)
    while True:
        if message in (await member.until(MessagesReceived)).payloads:
            return


@pytest.mark.parametrize("reader", [0, 1])
async def test_broadcast_serves_each_late_member_as_it_gets_room(reader: int) -> None:
    """A member that never reads delays no other, in whatever order they joined."""
    async with late_members() as (outbox, members), trio.open_nursery() as nursery:
        nursery.start_soon(outbox.broadcast, b"news")
        await _read_until(members[reader], b"news")
        nursery.cancel_scope.cancel()


async def test_a_late_member_with_room_again_is_not_forgotten() -> None:
    """A member may get room before its sender begins to wait."""
    reached: list[int] = []
    async with late_members() as (outbox, members), trio.open_nursery() as nursery:

        async def broadcast() -> None:
            reached.append(await outbox.broadcast(b"news"))

        nursery.start_soon(broadcast)
        for member in reversed(members):
            await _read_until(member, b"news")
        await all_tasks_blocked(0)
        assert reached == [2]


async def test_closing_ends_a_broadcast_that_waits_for_many() -> None:
    async with late_members() as (outbox, _), trio.open_nursery() as nursery:

        async def broadcast() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await outbox.broadcast(b"news")

        nursery.start_soon(broadcast)
        await all_tasks_blocked(0)
        outbox.close()


async def test_broadcasting_without_waiting_names_members_without_room() -> None:
    async with late_members() as (outbox, members):
        assert outbox.broadcast_nowait(b"news") == (0, [1, 2])
        await _read_until(members[0], bytes(500))


async def test_broadcasting_without_waiting_spares_members_that_lag_behind() -> None:
    async with chat() as (bob, outbox, inbox):
        assert outbox.broadcast_nowait(b"one") == (1, [])
        assert outbox.broadcast_nowait(bytearray(b"two"), behind={bob.peer_id}) == (0, [bob.peer_id])
        assert outbox.broadcast_nowait(b"three", behind=[bob.peer_id + 1]) == (1, [])
        assert [message.message for message in await inbox.receive_batch()] == [b"one", b"three"]
        with pytest.raises(TypeError, match="message must be bytes"):
            outbox.broadcast_nowait("text")  # type: ignore[arg-type]
        with pytest.raises(MessageTooLarge):
            outbox.broadcast_nowait(bytes(LARGEST + 1))
        outbox.close()
        with pytest.raises(trio.ClosedResourceError):
            outbox.broadcast_nowait(b"late")


async def test_sizes_are_checked_without_sending() -> None:
    async with chat() as (bob, outbox, _):
        outbox.check_size(bob.peer_id, LARGEST - 1)
        with pytest.raises(MessageTooLarge):
            outbox.check_size(bob.peer_id, LARGEST + 1)
        with pytest.raises(UnknownPeer):
            outbox.check_size(7, 1)
        assert outbox.statistics().sent_messages == 0
        outbox.close()
        with pytest.raises(trio.ClosedResourceError):
            outbox.check_size(bob.peer_id, 1)


async def test_many_fast_senders_are_held_up_and_none_is_dropped() -> None:
    limits = Limits(receive_messages=10)
    senders, count = 8, 500
    async with AsyncExitStack() as stack:
        stack.enter_context(limited())
        reader = await stack.enter_async_context(open_node(limits=limits))
        drive = reader.open_drive(KEY)
        chat = drive.join("chat")
        nursery = await stack.enter_async_context(trio.open_nursery())
        for _ in range(senders):
            node = await stack.enter_async_context(open_node())
            side = node.open_drive(KEY)
            await connect_tcp(node, reader)
            nursery.start_soon(_flood, await join_side(node, side), count)
        await all_tasks_blocked()
        heard = Counter[int]()
        while heard.total() < senders * count:
            heard.update(message.peer_id for message in await chat.receive_batch())
        assert set(heard.values()) == {count}


async def _flood(side: NodeSide, count: int) -> None:
    topic = side.drive.join("chat")
    for number in range(count):
        await topic.send(side.peer_id, b"%d" % number)
