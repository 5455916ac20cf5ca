"""Messages between our node and extensions of a real hyperdrive 13."""

import os
import random
from collections.abc import AsyncIterator
from typing import Final

import pytest
import trio
import trio.testing

from interop.hyperdrive13 import Meeting, meet, open_meeting, open_real_peer, our_key
from interop.real_peer import Role, digest, held_up, nothing_waits, numbered
from peersockets_trio import DEFAULT_LIMITS, MessageTooLarge

pytestmark = pytest.mark.interop

KIB: Final = 1024
MIB: Final = 1024 * KIB
FRAME: Final = 2**24 - 1 - 17  # three bytes of length leave this much for a message of the mux
BATCH: Final = 64 * KIB  # ours
SIZES: Final = [0, 1, *range(230, 260), *range(BATCH - 50, BATCH + 2), MIB, 8 * MIB, 8 * MIB + 1]

NAMES: Final = {
    "empty": "",
    "slashes": "/a//b/",
    "non-ASCII": "Größe Ελληνικά 日本語",
    "astral": "\N{GRINNING FACE}\U0010ffff",
    "controls": "\0\n\u2028",
    "64 KiB": "x" * (64 * KIB),
}


def name_size(topic: str) -> int:
    return len(f"peersockets/v0/{topic}".encode())


def largest(topic: str) -> int:
    """Return the largest message that fits in a frame of its own and names its topic."""
    return FRAME - 3 - name_size(topic)  # a byte each for the channel, the type, and the size of the name


@pytest.fixture
async def met(role: Role) -> AsyncIterator[Meeting]:
    async with open_meeting(role) as met:
        yield met


async def test_every_size_arrives_both_ways(met: Meeting) -> None:
    theirs = await met.join("sizes")
    async with met.drive.join("sizes") as ours:
        for size in SIZES:
            message = os.urandom(size)
            await ours.send(met.member, message)
            assert await theirs.receive() == (our_key(met.node), message), size
            await theirs.send(our_key(met.node), message)
            assert await ours.receive() == (met.member, message, met.peer.public_key), size


async def test_the_largest_messages_arrive_and_one_byte_more_is_refused(met: Meeting) -> None:
    theirs, limit = await met.join("sizes"), largest("sizes")
    async with met.drive.join("sizes") as ours:
        with pytest.raises(MessageTooLarge, match=f"{limit + 1} bytes.*limit of {limit} "):
            await ours.send(met.member, bytes(limit + 1))
        # From the second message on, a real peer leaves out the name, and may use its room.
        for size in (limit, limit + name_size("sizes")):
            message = os.urandom(size)
            await theirs.send(our_key(met.node), message)
            assert (await ours.receive()).message == message
        for _ in range(2):
            message = os.urandom(limit)
            await ours.send(met.member, message)
            assert (await theirs.receive())[1] == message
            with pytest.raises(MessageTooLarge):
                ours.send_nowait(met.member, bytes(limit + 1))
    await met.both_ways()
    assert not met.peer.happened("connection-closed")


async def test_large_and_small_messages_keep_their_order(met: Meeting) -> None:
    sizes = [0, 5, largest("mixed"), 5, BATCH, BATCH - 100, 0, MIB, 5, BATCH - 30, BATCH - 10, 1]
    theirs = await met.join("mixed")
    messages = [os.urandom(size) for size in sizes]
    async with met.drive.join("mixed") as ours:
        for message in messages:
            await ours.send(met.member, message)
        for message in messages:
            assert (await theirs.receive())[1] == message


@pytest.mark.parametrize("cork", [False, True], ids=["plain", "corked"])
@pytest.mark.parametrize(("count", "size"), [(10_000, 20), (1000, 12 * KIB)], ids=["many", "over 8 MiB"])
async def test_a_burst_arrives_complete_and_in_order_both_ways(
    met: Meeting, cork: bool, count: int, size: int
) -> None:
    theirs, their_fence = await met.join("burst", quiet=True), await met.join("fence")
    async with met.drive.join("burst") as ours, met.drive.join("fence") as fence:
        received: list[bytes] = []

        async def receive() -> None:
            sent = await met.peer.call(
                "sendMany",
                handle=theirs.handle,
                publicKey=our_key(met.node).hex(),
                count=count,
                size=size,
                cork=cork,
            )
            assert sent == digest(numbered(count, size))
            while len(received) < count:
                received.extend(message.message for message in await ours.receive_batch())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            for message in numbered(count, size):
                await ours.send(met.member, message)
            await fence.send(met.member, b"")
            await their_fence.receive()
    assert digest(received) == digest(numbered(count, size)) == await theirs.received()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
async def test_a_topic_may_have_any_name(met: Meeting, name: str) -> None:
    for _ in range(2):  # the second time without the name
        await met.both_ways(name)


async def test_interleaved_topics_are_not_mixed_up_though_names_are_left_out(met: Meeting) -> None:
    # Runs of one topic, whose name is sent once, between others, and names that come and go.
    chance = random.Random(11)
    names = [*NAMES.values(), *(f"topic {i}" for i in range(200))]
    theirs = {name: await met.join(name) for name in names}
    ours = {name: met.drive.join(name) for name in names}
    expected: dict[str, list[bytes]] = {name: [] for name in names}
    turns = [name for name in chance.choices(names, k=400) for _ in range(chance.choice([1, 1, 2, 5]))]
    for i, name in enumerate(turns):
        text = b"%d" % i
        expected[name].append(text)
        ours[name].send_nowait(met.member, text)
        await theirs[name].send(our_key(met.node), text)
    for name, messages in expected.items():
        for message in messages:
            assert (await theirs[name].receive())[1] == message
            assert (await ours[name].receive()).message == message
        assert nothing_waits(ours[name])
        assert await theirs[name].received() == digest(messages)


async def test_topics_of_other_names_take_the_place_of_those_that_are_closed(met: Meeting) -> None:
    for i in range(5):
        await met.both_ways("first")
        await met.both_ways(f"renamed {i}")


async def test_messages_of_topics_that_are_not_joined_are_discarded(met: Meeting) -> None:
    theirs, their_fence = await met.join("theirs"), await met.join("fence")
    ours, fence = met.drive.join("ours"), met.drive.join("fence")
    for _ in range(2):  # the second time without the name
        await theirs.send(our_key(met.node), b"too early")
        await ours.send(met.member, b"too early")
    await their_fence.send(our_key(met.node), b"")
    await fence.receive()
    await fence.send(met.member, b"")
    await their_fence.receive()

    theirs_late, ours_late = await met.join("ours"), met.drive.join("theirs")
    await theirs.send(our_key(met.node), b"in time")
    assert (await ours_late.receive()).message == b"in time"
    await ours.send(met.member, b"in time")
    assert (await theirs_late.receive())[1] == b"in time"
    await theirs_late.close()
    await ours.send(met.member, b"too late")
    await fence.send(met.member, b"")
    await their_fence.receive()
    assert await theirs_late.received() == digest([b"in time"])


async def test_every_handle_of_a_topic_receives_in_either_scope(met: Meeting) -> None:
    theirs = await met.join("chat")
    async with met.node.open_drive(met.drive.key, topic_scope="network") as network:
        handles = [met.drive.join("chat"), met.drive.join("chat"), network.join("chat")]
        await theirs.send(our_key(met.node), b"to all")
        assert [(await ours.receive()).message for ours in handles] == [b"to all"] * 3
        for i, ours in enumerate(handles):
            await ours.send(met.member, b"from %d" % i)
            assert (await theirs.receive())[1] == b"from %d" % i
        handles[0].close()
        await theirs.send(our_key(met.node), b"to the rest")
        assert [(await ours.receive()).message for ours in handles[1:]] == [b"to the rest"] * 2


async def test_a_broadcast_reaches_all_members(met: Meeting) -> None:
    async with open_real_peer() as other, met.drive.join("chat") as ours:
        member = await meet(met.node, met.drive, other, "initiator")
        second = Meeting(met.node, met.drive, other, member)
        topics = [await met.join("chat"), await second.join("chat")]
        assert await ours.broadcast(b"to all") == 2
        for theirs in topics:
            assert await theirs.receive() == (our_key(met.node), b"to all")


async def test_a_real_peer_that_does_not_read_holds_up_our_sending_and_nothing_is_lost(met: Meeting) -> None:
    count, size = 400, 64 * KIB
    theirs, their_fence = await met.join("load", quiet=True), await met.join("fence")
    async with met.drive.join("load") as ours, met.drive.join("fence") as fence:
        await met.peer.call("pauseSockets")
        sent = 0

        async def send() -> None:
            nonlocal sent
            for message in numbered(count, size):
                await ours.send(met.member, message)
                sent += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked()  # for the peer that does not read, and not in flight
            assert DEFAULT_LIMITS.send_buffer <= sent * size < count * size
            with pytest.raises(trio.WouldBlock):
                ours.send_nowait(met.member, b"before its turn")
            await met.peer.call("resumeSockets")
        await fence.send(met.member, b"")
        await their_fence.receive()
    assert await theirs.received() == digest(numbered(count, size))


async def test_messages_that_we_do_not_receive_hold_up_the_real_peer_and_none_is_lost(met: Meeting) -> None:
    count, size = 40, MIB
    theirs = await met.join("load")
    async with met.drive.join("load") as ours:
        await theirs.send_many(our_key(met.node), count=count, size=size)
        await held_up(met.node)
        waiting = ours.statistics().waiting_bytes
        assert DEFAULT_LIMITS.receive_bytes - 2 * size < waiting < DEFAULT_LIMITS.receive_bytes + 2 * size
        received = [(await ours.receive()).message for _ in range(count)]
    assert digest(received) == digest(numbered(count, size))
    await met.both_ways()
