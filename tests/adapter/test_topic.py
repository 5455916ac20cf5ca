"""`peersockets_trio.topic`: sending and receiving."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import pytest
import trio
import trio.testing

from adapter.support import (
    KEY,
    RawPeer,
    all_tasks_blocked,
    connect_hypercore11,
    connect_lockstep,
    connect_memory,
    connect_tcp,
    extension_name,
    fill,
    limited,
    meet,
    outbox_size,
    raw_member,
)
from peersockets_core import MessagesReceived
from peersockets_core.limits import MESSAGE_COST
from peersockets_trio import (
    Limits,
    Message,
    MessageTooLarge,
    PeerGone,
    PeerJoined,
    PeerLeft,
    Topic,
    TopicStatistics,
    UnknownPeer,
    open_node,
)
from peersockets_trio.testing import Connect, NodeSide, cancelled_at, cancelled_at_every_step, join_side
from peersockets_trio.testing.internals import topic_handle
from peersockets_trio.topic import BATCH

LARGEST = 8 * 1024 * 1024 - 1
"""A frame's body has the extension's id, one byte, before the message."""

NARROW = Limits(send_buffer=1000, receive_messages=1)


@asynccontextmanager
async def chat(
    connect: Connect = connect_memory, **options: Any
) -> AsyncIterator[tuple[NodeSide, Topic, Topic]]:
    """Bob's side, his end of a topic and Alice's."""
    async with (
        meet(connect, **options) as (alice, bob),
        bob.drive.join("chat") as outbox,
        alice.drive.join("chat") as inbox,
    ):
        yield bob, outbox, inbox


async def _send_nowait(topic: Topic, peer_id: Any, message: Any) -> None:
    topic.send_nowait(peer_id, message)


SENDS = pytest.mark.parametrize("send", [Topic.send, _send_nowait])
Send = Callable[[Topic, Any, Any], Awaitable[None]]


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
async def test_what_is_not_a_message(send: Send, message: Any) -> None:
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
async def test_who_is_not_a_peer(send: Send, peer_id: Any, error: type[Exception], text: str) -> None:
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


async def test_a_batch_is_everything_that_waits() -> None:
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


async def test_a_batch_is_bounded_and_nothing_of_the_rest_is_lost() -> None:
    async with chat() as (bob, outbox, inbox):
        for number in range(600):
            outbox.send_nowait(bob.peer_id, number.to_bytes(2, "big"))
        await all_tasks_blocked(0)
        with limited():
            batches = [await inbox.receive_batch() for _ in range(3)]
        assert [len(batch) for batch in batches] == [BATCH, BATCH, 600 - 2 * BATCH]
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
    """They would end in full ones, in which all objects of the program are looked at while peers wait."""
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


async def test_messages_of_topics_that_nobody_joined_are_discarded() -> None:
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
    """The next handle misses nothing, nor do its successors."""
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


async def test_a_handler_that_raises_harms_nobody_else() -> None:
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


# Waiting for room


async def test_past_the_high_water_mark_sending_waits() -> None:
    with limited():
        async with open_node(limits=Limits(send_buffer=1000)) as node, node.open_drive(KEY) as drive:
            deaf = await raw_member(node)
            side = await join_side(node, drive)
            async with drive.join("chat") as topic:
                sent = await fill(topic, side.peer_id, 100)
                assert 1000 <= outbox_size(node) < 1200
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(topic.send, side.peer_id, bytes(100))
                    await all_tasks_blocked(0)
                    assert len(nursery.child_tasks) == 1
                    nursery.cancel_scope.cancel()
                assert topic.statistics().sent_messages == sent
                with pytest.raises(trio.WouldBlock):
                    topic.send_nowait(side.peer_id, b"")
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(topic.send, side.peer_id, b"last")
                    await all_tasks_blocked(0)
                    while topic.statistics().sent_messages == sent:
                        await deaf.read()
                        await all_tasks_blocked(0)
            await deaf.stream.aclose()


async def test_a_cancelled_sender_leaves_the_way_free(autojump_clock: trio.testing.MockClock) -> None:
    """Its place in the queue holds up no later sender."""
    async with chat(connect_lockstep, limits=NARROW) as (bob, outbox, inbox):
        with trio.move_on_after(1):
            while True:
                await outbox.send(bob.peer_id, bytes(100))
        sent = outbox.statistics().sent_messages
        for _ in range(sent):
            await inbox.receive()
        await all_tasks_blocked(0)
        outbox.send_nowait(bob.peer_id, b"last")
        assert (await inbox.receive()).message == b"last"


async def test_waiting_senders_are_served_in_order(autojump_clock: trio.testing.MockClock) -> None:
    async with chat(connect_lockstep, limits=NARROW) as (bob, outbox, inbox):
        filled = await fill(outbox, bob.peer_id)
        async with trio.open_nursery() as nursery:
            for number in range(250):
                nursery.start_soon(outbox.send, bob.peer_id, bytes([number]) * 500)
                await all_tasks_blocked(0)
            received = [(await inbox.receive()).message[0] for _ in range(filled + 250)]
        assert received == [0] * filled + list(range(250))


@pytest.mark.parametrize("operation", ["send", "broadcast"])
async def test_one_task_keeps_its_order_under_back_pressure(operation: str) -> None:
    async with chat(connect_tcp, limits=NARROW) as (bob, outbox, inbox), trio.open_nursery() as nursery:
        count = 300

        async def send() -> None:
            for number in range(count):
                if operation == "send":
                    await outbox.send(bob.peer_id, number.to_bytes(2, "big") * 500)
                else:
                    await outbox.broadcast(number.to_bytes(2, "big") * 500)

        nursery.start_soon(send)
        received = [int.from_bytes((await inbox.receive()).message[:2], "big") for _ in range(count)]
        assert received == list(range(count))


async def test_sending_checkpoints_often_enough() -> None:
    """A loop of sends that need not wait is cancelled within 65 of them, and each sent one arrives."""
    async with chat() as (bob, outbox, inbox):
        sent = 0
        with trio.CancelScope() as scope:
            scope.cancel()
            while sent < 1000:
                await outbox.send(bob.peer_id, b"x")
                sent += 1
        assert scope.cancelled_caught
        assert sent <= 64
        assert outbox.statistics().sent_messages == sent
        await all_tasks_blocked(0)
        assert inbox.statistics().waiting_messages == sent


@pytest.mark.parametrize(("end", "error"), [("peer", PeerGone), ("topic", trio.ClosedResourceError)])
async def test_a_waiting_sender_gets_the_error(
    end: str, error: type[Exception], autojump_clock: trio.testing.MockClock
) -> None:
    """That the peer has gone, or that the topic has been closed."""
    with limited():
        async with open_node(limits=NARROW) as node, node.open_drive(KEY) as drive:
            deaf = await raw_member(node)
            side = await join_side(node, drive)
            topic = drive.join("chat")
            await fill(topic, side.peer_id)

            async def send() -> None:
                with pytest.raises(error):
                    await topic.send(side.peer_id, b"waiting")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                await all_tasks_blocked(0)
                if end == "peer":
                    await deaf.stream.aclose()
                else:
                    topic.close()  # whether or not the peer ever reads
                closed_at = trio.current_time()
            assert trio.current_time() == closed_at
            await deaf.stream.aclose()


# Cancelled at every step


async def test_sending_cancelled_at_every_step(autojump_clock: trio.testing.MockClock) -> None:
    """A send that was cancelled has sent nothing, one that was not has sent it once."""
    async with chat(connect_lockstep, limits=NARROW) as (bob, outbox, inbox):
        expected = []
        numbers = iter(range(10_000))
        async with trio.open_nursery() as nursery:
            received: list[int] = []

            async def receive() -> None:
                async for message in inbox:
                    received.append(int.from_bytes(message.message[:2], "big"))
                    await trio.sleep(0.1)

            nursery.start_soon(receive)
            cancelled = 0
            for step in [1, 2, 3] * 100:
                number = next(numbers)
                message = number.to_bytes(2, "big") * 300
                if await cancelled_at(step, lambda message=message: outbox.send(bob.peer_id, message)):  # type: ignore[misc]
                    cancelled += 1
                else:
                    expected.append(number)
            assert 50 < cancelled < 299
            await trio.sleep(100)
            nursery.cancel_scope.cancel()
        assert received == expected


async def test_broadcasting_cancelled_at_every_step(autojump_clock: trio.testing.MockClock) -> None:
    """Each member gets a message at most once, in order, and nobody gets stuck."""
    with limited():
        async with (
            open_node(limits=NARROW) as alice,
            alice.open_drive(KEY) as drive,
            drive.join("chat") as outbox,
            open_node(limits=NARROW) as bob,
            open_node(limits=NARROW) as carol,
        ):
            inboxes = []
            for node in (bob, carol):
                inboxes.append(node.open_drive(KEY).join("chat"))
                await connect_lockstep(node, alice)
            await all_tasks_blocked(0)
            assert len(drive.peers) == 2
            received: list[list[int]] = [[], []]
            whole = []
            async with trio.open_nursery() as nursery:

                async def receive(index: int) -> None:
                    async for message in inboxes[index]:
                        received[index].append(int.from_bytes(message.message[:2], "big"))
                        await trio.sleep(0.1 * (index + 1))

                for index in range(2):
                    nursery.start_soon(receive, index)
                for number, step in enumerate([1, 2, 3, 4] * 40):
                    message = number.to_bytes(2, "big") * 300
                    if not await cancelled_at(step, lambda message=message: outbox.broadcast(message)):  # type: ignore[misc]
                        whole.append(number)
                await trio.sleep(200)
                nursery.cancel_scope.cancel()
            assert 0 < len(whole) < 160
            for numbers in received:
                assert numbers == sorted(set(numbers))
                assert set(numbers) >= set(whole)


@pytest.mark.parametrize("method", ["receive", "receive_batch"])
async def test_receiving_cancelled_at_every_step(method: str) -> None:
    """No message is lost, none comes twice, however often the receiver is cancelled."""
    count = 500
    received: list[Message] = []
    async with chat(connect_tcp) as (bob, outbox, inbox), trio.open_nursery() as nursery:

        async def receive() -> None:
            result = await getattr(inbox, method)()
            received.extend(result if isinstance(result, list) else [result])

        async def send() -> None:
            for number in range(count):
                await outbox.send(bob.peer_id, number.to_bytes(2, "big"))
                if number % 7 == 0:
                    await trio.lowlevel.checkpoint()

        nursery.start_soon(send)
        while len(received) < count:
            await cancelled_at_every_step(receive)
        assert [int.from_bytes(message.message, "big") for message in received] == list(range(count))


# Broadcasting


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


async def test_broadcast_does_not_let_a_deaf_member_hold_up_the_others() -> None:
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
    """A topic of a drive with two members whose buffers are full, and who read when a test says so."""
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
    """In whatever order they joined: one that never reads holds up no other."""
    async with late_members() as (outbox, members), trio.open_nursery() as nursery:
        nursery.start_soon(outbox.broadcast, b"news")
        await _read_until(members[reader], b"news")
        nursery.cancel_scope.cancel()


async def test_a_late_member_that_is_free_again_is_not_forgotten() -> None:
    """Its room may come before its turn to wait for it."""
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


async def test_broadcasting_at_once_names_those_without_room() -> None:
    async with late_members() as (outbox, members):
        assert outbox.broadcast_nowait(b"news") == (0, [1, 2])
        await _read_until(members[0], bytes(500))


async def test_broadcasting_at_once_spares_those_behind() -> None:
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
