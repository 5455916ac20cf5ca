"""`peersockets_trio.topic`: messages, receiving and counting."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
import trio.testing

from adapter.support import (
    KEY,
    all_tasks_blocked,
    connect_hypercore11,
    connect_lockstep,
    connect_memory,
    connect_tcp,
    limited,
    meet,
    outbox_size,
)
from adapter.topic_support import LARGEST, SENDS, Send, chat
from peersockets_core.limits import MESSAGE_COST
from peersockets_trio import (
    Limits,
    Message,
    MessageTooLarge,
    PeerGone,
    PeerLeft,
    TopicStatistics,
    UnknownPeer,
    open_node,
)
from peersockets_trio.testing import Connect, join_side
from peersockets_trio.testing.internals import topic_handle
from peersockets_trio.topic import BATCH_MESSAGES

# Messages


@SENDS
@pytest.mark.parametrize("connect", [connect_memory, connect_tcp, connect_hypercore11])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 129, 65_535, 65_536, 65_537, 1024 * 1024])
async def test_messages_of_many_sizes(send: Send, connect: Connect, size: int) -> None:
    message = bytes(range(256)) * (size // 256) + bytes(size % 256)
    async with chat(connect) as (bob, outbox, inbox):
        await send(outbox, bob.peer_id, message)
        wire = bob.drive.peers[bob.peer_id].wire
        assert await inbox.receive() == Message(1, message, bob.node.public_keys[wire])


@SENDS
@pytest.mark.parametrize(
    "message",
    [bytearray(b"abc"), memoryview(b"abc"), memoryview(b"a-b-c")[::2], memoryview(bytearray(b"abc"))],
)
async def test_buffers_are_messages(send: Send, message: bytearray | memoryview) -> None:
    async with chat() as (bob, outbox, inbox):
        await send(outbox, bob.peer_id, message)
        assert await outbox.broadcast(message) == 1
        for _ in range(2):
            received = (await inbox.receive()).message
            assert received == b"abc"
            assert type(received) is bytes


async def test_a_buffer_may_be_changed_after_sending() -> None:
    async with chat(connect_lockstep) as (bob, outbox, inbox):
        message = bytearray(b"before")
        await outbox.send(bob.peer_id, message)
        message[:] = b"after!"
        assert (await inbox.receive()).message == b"before"


@SENDS
@pytest.mark.parametrize("message", ["text", None, 5, [1], {"a": 1}, (b"x",)])
async def test_a_message_must_be_bytes(send: Send, message: Any) -> None:
    async with chat() as (bob, outbox, inbox):
        text = f"message must be bytes, not {type(message).__name__}"
        with pytest.raises(TypeError, match=text):
            await send(outbox, bob.peer_id, message)
        with pytest.raises(TypeError, match=text):
            await outbox.broadcast(message)
        assert outbox.statistics().sent_messages == 0
        await send(outbox, bob.peer_id, b"real")
        assert (await inbox.receive()).message == b"real"


@SENDS
@pytest.mark.parametrize(
    ("peer_id", "error", "text"),
    [
        (0, UnknownPeer, "peer_id 0 is not a peer"),
        (2, UnknownPeer, "peer_id 2 is not a peer"),
        (-1, UnknownPeer, "peer_id -1 is not a peer"),
        (2**64, UnknownPeer, "is not a peer"),
        ("1", TypeError, "peer_id must be int, not str"),
        (None, TypeError, "peer_id must be int, not NoneType"),
        (b"\x01", TypeError, "peer_id must be int, not bytes"),
    ],
)
async def test_an_id_that_is_no_peer(send: Send, peer_id: Any, error: type[Exception], text: str) -> None:
    async with chat() as (bob, outbox, inbox):
        with pytest.raises(error, match=text):
            await send(outbox, peer_id, b"lost")
        await send(outbox, bob.peer_id, b"found")
        assert (await inbox.receive()).message == b"found"


@SENDS
async def test_a_member_that_has_gone(send: Send) -> None:
    async with meet() as (alice, bob), alice.drive.join("chat") as outbox:
        await send(outbox, alice.peer_id, b"in time")
        bob.drive.close()
        assert isinstance(await alice.events.receive(), PeerLeft)
        with pytest.raises(PeerGone, match="peer 1 is gone"):
            await send(outbox, alice.peer_id, b"too late")
        assert await outbox.broadcast(b"to nobody") == 0
        assert outbox.statistics().sent_messages == 1


@SENDS
async def test_messages_too_large_for_the_wire(send: Send) -> None:
    async with chat() as (bob, outbox, inbox):
        for _ in range(2):
            with pytest.raises(MessageTooLarge) as caught:
                await send(outbox, bob.peer_id, bytes(LARGEST + 1))
            assert (caught.value.size, caught.value.largest) == (LARGEST + 1, LARGEST)
            with pytest.raises(MessageTooLarge):
                await outbox.broadcast(bytes(LARGEST + 1))
        assert outbox_size(bob.node) == 0
        await send(outbox, bob.peer_id, bytes(LARGEST))
        assert len((await inbox.receive()).message) == LARGEST
        assert outbox.statistics().sent_messages == 1


@SENDS
async def test_a_closed_topic_sends_nothing(send: Send) -> None:
    async with chat() as (bob, outbox, _):
        outbox.close()
        with pytest.raises(trio.ClosedResourceError, match="Topic is closed"):
            await send(outbox, bob.peer_id, b"")
        with pytest.raises(trio.ClosedResourceError, match="Topic is closed"):
            await outbox.broadcast(b"")


# Receiving


async def test_a_batch_has_all_waiting_messages() -> None:
    async with chat() as (bob, outbox, inbox):
        for number in range(10):
            await outbox.send(bob.peer_id, bytes([number]))
        await all_tasks_blocked(0)
        assert (await inbox.receive()).message == b"\0"
        assert [message.message[0] for message in await inbox.receive_batch()] == list(range(1, 10))
        with pytest.raises(trio.WouldBlock):
            inbox.receive_nowait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.send, bob.peer_id, b"late")
            assert [message.message for message in await inbox.receive_batch()] == [b"late"]


async def test_a_batch_is_bounded_and_the_rest_is_not_lost() -> None:
    async with chat() as (bob, outbox, inbox):
        for number in range(600):
            outbox.send_nowait(bob.peer_id, number.to_bytes(2, "big"))
        await all_tasks_blocked(0)
        with limited():
            batches = [await inbox.receive_batch() for _ in range(3)]
        assert [len(batch) for batch in batches] == [BATCH_MESSAGES, BATCH_MESSAGES, 600 - 2 * BATCH_MESSAGES]
        numbers = [int.from_bytes(message.message, "big") for batch in batches for message in batch]
        assert numbers == list(range(600))


@contextmanager
def collections() -> Iterator[list[int]]:
    """The generations of all garbage collections."""
    seen: list[int] = []

    def see(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(info["generation"])

    gc.collect()
    gc.callbacks.append(see)
    try:
        yield seen
    finally:
        gc.callbacks.remove(see)


@pytest.mark.parametrize("keeping", [False, True], ids=["each batch at once", "until the next one is there"])
async def test_messages_in_batches_cause_no_garbage_collections(keeping: bool) -> None:
    """They would end in full collections, which examine all objects of the program while peers wait."""
    async with chat() as (_, _, inbox):
        handle, count = topic_handle(inbox), 0
        run = [b"x"] * 2048
        with collections() as seen:
            for _ in range(100):
                handle.put(1, bytes(32), run)
                while len(handle):
                    batch = await inbox.receive_batch()
                    count += len(batch)
                    if not keeping:
                        batch.clear()
        assert count == 100 * len(run)
        assert len(seen) <= 5


async def test_batches_checkpoint_before_many_thousand_messages_have_passed() -> None:
    async with chat() as (_, _, inbox):
        topic_handle(inbox).put(1, bytes(32), [b"x"] * 100_000)
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count)
            while len(topic_handle(inbox)):
                await inbox.receive_batch()
            nursery.cancel_scope.cancel()
        assert turns >= 40


async def test_iteration() -> None:
    async with chat(connect_tcp) as (bob, outbox, inbox), trio.open_nursery() as nursery:

        async def send() -> None:
            for number in range(1000):
                await outbox.send(bob.peer_id, number.to_bytes(2, "big"))

        nursery.start_soon(send)
        numbers = []
        async for message in inbox:
            numbers.append(int.from_bytes(message.message, "big"))
            if len(numbers) == 1000:
                break
        assert numbers == list(range(1000))


@pytest.mark.parametrize("connect", [connect_tcp, connect_hypercore11])
async def test_a_burst_arrives_whole_and_in_order(connect: Connect) -> None:
    async with chat(connect) as (bob, outbox, inbox), trio.open_nursery() as nursery:
        count = 20_000

        async def send() -> None:
            for number in range(count):
                await outbox.send(bob.peer_id, number.to_bytes(4, "big") * 20)

        nursery.start_soon(send)
        received: list[Message] = []
        while len(received) < count:
            received += await inbox.receive_batch()
        assert [message.message[:4] for message in received] == [n.to_bytes(4, "big") for n in range(count)]


async def test_handles_of_one_topic_are_independent() -> None:
    async with meet() as (alice, bob), bob.drive.join("chat") as outbox:
        first, second = (alice.drive.join("chat") for _ in range(2))
        await outbox.send(bob.peer_id, b"one")
        assert (await first.receive()).message == (await second.receive()).message == b"one"
        first.close()
        await outbox.send(bob.peer_id, b"two")
        assert (await second.receive()).message == b"two"


async def test_messages_of_topics_that_are_not_joined_are_discarded() -> None:
    async with meet() as (alice, bob), bob.drive.join("one") as one, bob.drive.join("two") as two:
        async with alice.drive.join("two") as inbox:
            await one.send(bob.peer_id, b"unheard")
            await two.send(bob.peer_id, b"heard")
            assert (await inbox.receive()).message == b"heard"
        await two.send(bob.peer_id, b"unheard")
        await all_tasks_blocked(0)
        async with alice.drive.join("two") as inbox:
            await two.send(bob.peer_id, b"heard again")
            assert (await inbox.receive()).message == b"heard again"


async def test_a_handle_that_closes_itself_while_handling_a_message() -> None:
    """The next handle and its successors miss no message."""
    async with meet() as (alice, bob), bob.drive.join("chat") as outbox:
        heard: dict[int, list[bytes]] = {0: [], 1: [], 2: []}

        async def listen(name: int) -> None:
            async for message in handles[name]:
                heard[name].append(message.message)
                if name == 0 or message.message == b"last":
                    handles[name].close()

        async def listen_to_the_end(name: int) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await listen(name)

        handles = [alice.drive.join("chat") for _ in heard]
        async with trio.open_nursery() as nursery:
            for name in heard:
                nursery.start_soon(listen_to_the_end, name)
            for message in (b"one", b"two", b"last"):
                await outbox.send(bob.peer_id, message)
        assert heard == {0: [b"one"], 1: [b"one", b"two", b"last"], 2: [b"one", b"two", b"last"]}


async def test_a_handler_that_raises_harms_no_other() -> None:
    async with meet() as (alice, bob), bob.drive.join("chat") as outbox, alice.drive.join("chat") as steady:

        async def crash() -> None:
            async with alice.drive.join("chat") as fragile:
                await fragile.receive()
                raise ZeroDivisionError

        async def let_it_crash() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(crash)
                await all_tasks_blocked(0)
                await outbox.send(bob.peer_id, b"one")

        with pytest.raises(ExceptionGroup) as caught:
            await let_it_crash()
        assert caught.group_contains(ZeroDivisionError)
        await outbox.send(bob.peer_id, b"two")
        assert [(await steady.receive()).message for _ in range(2)] == [b"one", b"two"]


async def test_network_scope_hears_strangers() -> None:
    """A peer without the drive gets its id when first heard, and is no member."""
    with limited():
        async with (
            open_node() as alice,
            open_node() as bob,
            alice.open_drive(KEY, topic_scope="network") as alice_drive,
            bob.open_drive(bytes(32), topic_scope="network") as bob_drive,
            alice_drive.join("chat") as here,
            bob_drive.join("chat") as there,
        ):
            await connect_memory(alice, bob)
            with pytest.raises(UnknownPeer):
                there.send_nowait(1, b"who?")
            async with alice.open_drive(bytes(32)) as shared:
                peer_id = (await join_side(alice, shared)).peer_id
                await here.send(peer_id, b"hello")
            message = await there.receive()
            await there.send(message.peer_id, b"hello to you")
            assert (await here.receive()).message == b"hello to you"
            assert not alice_drive.peers


# Counting


async def test_statistics() -> None:
    async with chat() as (bob, outbox, inbox):
        nothing = TopicStatistics(0, 0, 0, 0, 0, 0, 0)
        assert inbox.statistics() == outbox.statistics() == nothing
        for message in (b"a", b"bcd", b""):
            await outbox.send(bob.peer_id, message)
        await outbox.broadcast(b"ef")
        await all_tasks_blocked(0)
        assert outbox.statistics() == TopicStatistics(0, 0, 0, 0, 0, 4, 6)
        assert inbox.statistics() == TopicStatistics(4, 6, 4, 6, 0, 0, 0)
        await inbox.receive()
        assert inbox.statistics() == TopicStatistics(4, 6, 3, 5, 0, 0, 0)
        await inbox.receive_batch()
        assert inbox.statistics() == TopicStatistics(4, 6, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("overflow", "kept"),
    [("drop_oldest", [7, 8, 9]), ("drop_newest", [0, 1, 2])],
)
@pytest.mark.parametrize(
    "limits", [Limits(receive_messages=3), Limits(receive_bytes=3 * (100 + MESSAGE_COST))]
)
async def test_dropping_instead_of_waiting(overflow: Any, kept: list[int], limits: Limits) -> None:
    async with (
        meet(limits=limits) as (alice, bob),
        bob.drive.join("chat") as outbox,
        alice.drive.join("chat", overflow=overflow) as inbox,
    ):
        for number in range(10):
            await outbox.send(bob.peer_id, bytes([number]) * 100)
            await all_tasks_blocked(0)
        statistics = inbox.statistics()
        assert (statistics.received_messages, statistics.dropped_messages) == (10, 7)
        assert (statistics.waiting_messages, statistics.waiting_bytes) == (3, 300)
        assert [message.message[0] for message in await inbox.receive_batch()] == kept
