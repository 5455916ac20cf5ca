"""`peersockets_trio.topic`: sends that wait for room, and cancellation at every step."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from adapter.support import (
    KEY,
    all_tasks_blocked,
    connect_lockstep,
    connect_tcp,
    fill,
    limited,
    outbox_size,
    raw_member,
)
from adapter.topic_support import NARROW, chat
from peersockets_trio import (
    Limits,
    Message,
    PeerGone,
    open_node,
)
from peersockets_trio.testing import cancelled_at, cancelled_at_every_step, join_side

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


async def test_a_cancelled_sender_blocks_no_other(autojump_clock: trio.testing.MockClock) -> None:
    """The place of a cancelled sender in the queue delays no later sender."""
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
    """A waiting sender learns that the peer has left, or that the topic was closed."""
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
    """A cancelled send has sent nothing, and any other has sent its message once."""
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
    """Each member gets a message at most once, in order, and no member gets stuck."""
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
    """No message is lost or received twice, however often the receiver is cancelled."""
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
