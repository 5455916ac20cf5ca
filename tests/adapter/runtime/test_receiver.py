"""Receivers: one task at a time, closing, fairness and cancellation, for topics and watches alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, TypeAlias

import pytest
import trio
import trio.testing

from adapter.support import KEY, all_tasks_blocked, limited, meet
from peersockets_trio import PeerEvents, Topic
from peersockets_trio.testing import NodeSide, cancelled_at

Receiver: TypeAlias = Topic | PeerEvents


@asynccontextmanager
async def receivers() -> AsyncIterator[tuple[NodeSide, dict[str, Receiver], Callable[[], Awaitable[None]]]]:
    """Alice's side, an empty receiver of each kind, and a function that puts an item into both."""
    async with meet() as (alice, bob), bob.drive.join("chat") as sender:

        async def put() -> None:
            await sender.send(bob.peer_id, b"news")
            await all_tasks_blocked(0)
            bob.drive.close()
            await all_tasks_blocked(0)

        yield alice, {"topic": alice.drive.join("chat"), "watch": alice.events}, put


KINDS = pytest.mark.parametrize("kind", ["topic", "watch"])


@KINDS
async def test_an_empty_receiver_would_block(kind: str) -> None:
    async with receivers() as (_, made, put):
        with pytest.raises(trio.WouldBlock):
            made[kind].receive_nowait()
        await put()
        made[kind].receive_nowait()
        with pytest.raises(trio.WouldBlock):
            made[kind].receive_nowait()


@KINDS
@pytest.mark.parametrize("method", ["receive", "__anext__", "receive_nowait", "receive_batch"])
async def test_a_closed_receiver(kind: str, method: str) -> None:
    async with receivers() as (_, made, put):
        receiver = made[kind]
        await put()
        receiver.close()
        receiver.close()
        assert receiver.closed
        receive: Callable[[], Any] | None = getattr(receiver, method, None)
        if receive is None:
            assert (kind, method) == ("watch", "receive_batch")
            return
        with pytest.raises(trio.ClosedResourceError, match=f"this {type(receiver).__name__} is closed"):
            await _outcome(receive)


async def _outcome(receive: Callable[[], Any]) -> None:
    outcome = receive()
    await outcome


@KINDS
async def test_closing_wakes_the_receiver(kind: str) -> None:
    async with receivers() as (_, made, _put), trio.open_nursery() as nursery:

        async def receive() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await made[kind].receive()

        nursery.start_soon(receive)
        await all_tasks_blocked(0)
        await made[kind].aclose()


@KINDS
async def test_leaving_the_block_closes(kind: str) -> None:
    async with receivers() as (_, made, _put):
        async with made[kind] as receiver:
            assert not receiver.closed
        assert receiver.closed


@KINDS
async def test_one_receiver_at_a_time(kind: str) -> None:
    async with receivers() as (_, made, put):
        received = []
        async with trio.open_nursery() as nursery:

            async def receive() -> None:
                received.append(await made[kind].receive())

            nursery.start_soon(receive)
            await all_tasks_blocked(0)
            with pytest.raises(trio.BusyResourceError, match="another task is receiving"):
                await made[kind].receive()
            await put()
        assert len(received) == 1


@KINDS
async def test_a_cancelled_receiver_has_taken_nothing_and_makes_way(kind: str) -> None:
    async with receivers() as (_, made, put):
        receiver = made[kind]
        with trio.CancelScope() as scope, trio.testing.assert_checkpoints():
            scope.cancel()
            await receiver.receive()
        assert scope.cancelled_caught
        assert await cancelled_at(1, receiver.receive)
        await put()
        with limited():
            await receiver.receive()


@KINDS
async def test_aclose_checkpoints(kind: str) -> None:
    async with receivers() as (_, made, _put):
        with trio.testing.assert_checkpoints():
            await made[kind].aclose()


async def test_drive_aclose_checkpoints() -> None:
    async with meet() as (alice, _):
        with trio.testing.assert_checkpoints():
            await alice.node.open_drive(KEY).aclose()


@pytest.mark.parametrize("method", ["receive", "receive_batch", "__anext__"])
async def test_receiving_is_cancelled_within_65_messages(method: str) -> None:
    """Cancellation takes effect although another message always waits, and that message stays."""
    async with (
        meet() as (alice, bob),
        alice.drive.join("chat") as inbox,
        bob.drive.join("chat") as outbox,
    ):
        taken = 0
        with trio.CancelScope() as scope:
            scope.cancel()
            with trio.CancelScope(shield=True):
                await outbox.send(bob.peer_id, b"first")
                await all_tasks_blocked(0)
            while taken < 100:
                await getattr(inbox, method)()
                taken += 1
                with trio.CancelScope(shield=True):
                    await outbox.send(bob.peer_id, b"next")
                    await all_tasks_blocked(0)
        assert scope.cancelled_caught
        assert 0 < taken <= 64
        assert inbox.statistics().waiting_messages == 1
        assert inbox.statistics().received_messages == taken + 1


async def test_a_receive_loop_lets_others_run() -> None:
    """The receiver lets other tasks run although its queue is never empty."""
    async with (
        meet() as (alice, bob),
        alice.drive.join("chat") as inbox,
        bob.drive.join("chat") as outbox,
    ):
        for _ in range(2000):
            outbox.send_nowait(bob.peer_id, b"x")
        await all_tasks_blocked(0)
        assert inbox.statistics().waiting_messages == 2000
        turns: list[int] = []
        async with trio.open_nursery() as nursery:

            async def other() -> None:
                while True:
                    turns.append(inbox.statistics().waiting_messages)
                    await trio.lowlevel.checkpoint()

            nursery.start_soon(other)
            for _ in range(2000):
                await inbox.receive()
            nursery.cancel_scope.cancel()
        assert len(turns) >= 2000 // 65 - 2
        gaps = [before - after for before, after in pairwise(turns)]
        assert max(gaps) <= 3 * 65  # Trio runs the tasks of a round in either order
