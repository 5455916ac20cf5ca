"""`peersockets_trio.node`: leaving a node sends what it has accepted."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from adapter.support import (
    KEY,
    LOOPBACK,
    all_tasks_blocked,
    connect_hypercore11,
    connect_lockstep,
    connect_tcp,
    limited,
    meet,
    raw_member,
    raw_peer,
    tasks,
)
from peersockets_trio import (
    Limits,
    PeerEvents,
    PeerGone,
    PeerJoined,
    PeerLeft,
    Topic,
    open_node,
)
from peersockets_trio.testing import Connect, join_side

LINGER = 7.0


@pytest.mark.parametrize("connect", [connect_tcp, connect_lockstep, connect_hypercore11])
async def test_leaving_sends_accepted_messages(connect: Connect) -> None:
    """All accepted messages arrive although the reader is slow."""
    messages = [bytes([number]) * 100_000 for number in range(100)]
    received: list[bytes] = []

    async def read_slowly(inbox: Topic) -> None:
        while len(received) < len(messages):
            received.append((await inbox.receive()).message)
            await all_tasks_blocked(0)

    with limited():
        async with (
            open_node(limits=Limits(receive_bytes=200_000)) as alice,
            alice.open_drive(KEY) as drive,
            drive.join("chat") as inbox,
            drive.watch() as events,
            trio.open_nursery() as nursery,
        ):
            async with open_node(limits=Limits(send_buffer=2**30)) as bob, bob.open_drive(KEY) as bob_drive:
                await connect(bob, alice)
                peer_id = (await join_side(bob, bob_drive)).peer_id
                async with bob_drive.join("chat") as outbox:
                    for message in messages:
                        outbox.send_nowait(peer_id, message)
                nursery.start_soon(read_slowly, inbox)
            assert [type(await events.receive()) for _ in range(2)] == [PeerJoined, PeerLeft]
        assert received == messages


async def test_leaving_closes_idle_connections_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with meet(connect_lockstep) as _:
        start = trio.current_time()
    assert trio.current_time() == start


async def test_leaving_waits_no_longer_than_the_limit(autojump_clock: trio.testing.MockClock) -> None:
    with limited():
        async with open_node(limits=Limits(linger=LINGER)) as node, node.open_drive(KEY) as drive:
            await raw_member(node)
            drive.join("chat").send_nowait((await join_side(node, drive)).peer_id, b"unread")
            start = trio.current_time()
        assert trio.current_time() - start == LINGER


@pytest.mark.parametrize("connect", [connect_lockstep, connect_hypercore11, connect_tcp])
async def test_finishing_returns_once_all_messages_were_taken(connect: Connect) -> None:
    async with (
        meet(connect) as (alice, bob),
        alice.drive.join("chat") as sending,
        bob.drive.join("chat") as receiving,
    ):
        await sending.send(alice.peer_id, bytes(500_000))
        await alice.node.finish()
        left = await alice.events.receive()
        assert isinstance(left, PeerLeft)
        assert (left.peer_id, left.reason, left.unsent) == (alice.peer_id, "", 0)
        assert len((await receiving.receive()).message) == 500_000
        with pytest.raises(PeerGone):
            await sending.send(alice.peer_id, b"late")
        with pytest.raises(trio.ClosedResourceError):
            await alice.node.listen_tcp(0, host=LOOPBACK)
        await alice.node.finish()  # a second call is fine


async def test_finishing_names_the_peers_that_did_not_take_everything(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with limited():
        async with open_node(limits=Limits(linger=LINGER)) as node, node.open_drive(KEY) as drive:
            await raw_member(node)
            side = await join_side(node, drive)
            drive.join("chat").send_nowait(side.peer_id, bytes(1000))
            assert node.peer(side.peer_id).unsent > 1000  # and what the wire adds
            start = trio.current_time()
            await node.finish()
            assert trio.current_time() - start == LINGER
            left = side.events.receive_nowait()
            assert isinstance(left, PeerLeft)
            assert left.reason == "did not finish in time"
            assert left.unsent > 1000
            assert node.peer(side.peer_id).unsent == 0


class Odd(BaseException):
    """An exception that is no `Exception`, and that no code handles."""


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("own"),
        Odd("own"),
        trio.ClosedResourceError("own"),
        ExceptionGroup("own", [ValueError()]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_leaving_by_an_exception_is_at_once(
    error: BaseException, autojump_clock: trio.testing.MockClock
) -> None:
    """The exception propagates unchanged, and the node waits for no peer."""
    with limited():
        start = trio.current_time()
        with pytest.raises(type(error)) as caught:
            await _leave_by(error)
        assert caught.value is error
        assert trio.current_time() == start


async def _leave_by(error: BaseException) -> None:
    async with open_node() as node, node.open_drive(KEY) as drive:
        await raw_member(node)
        drive.join("chat").send_nowait((await join_side(node, drive)).peer_id, b"unread")
        raise error


async def test_leaving_by_an_exception_within_a_cancellation() -> None:
    error = RuntimeError("own")
    with limited(), trio.CancelScope() as scope:
        scope.cancel()
        with pytest.raises(RuntimeError) as caught:
            await _raise_in_a_node(error)
        assert caught.value is error


async def _raise_in_a_node(error: BaseException) -> None:
    async with open_node():
        raise error


async def test_cancelling_a_node_is_at_once(autojump_clock: trio.testing.MockClock) -> None:
    with limited():
        with trio.move_on_after(1) as scope:
            async with open_node() as node, node.open_drive(KEY) as drive:
                deaf = await raw_member(node)
                drive.join("chat").send_nowait((await join_side(node, drive)).peer_id, b"unread")
                start = trio.current_time()
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert trio.current_time() - start <= 1
        assert drive.closed
        await deaf.until_dropped()


async def test_cancelling_a_node_that_is_leaving(autojump_clock: trio.testing.MockClock) -> None:
    with limited():
        with trio.move_on_after(1) as scope:
            async with open_node(limits=Limits(linger=LINGER)) as node, node.open_drive(KEY) as drive:
                await raw_member(node)
                drive.join("chat").send_nowait((await join_side(node, drive)).peer_id, b"unread")
        assert scope.cancelled_caught
        assert trio.current_time() < LINGER


async def test_an_unfinished_handshake_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    with limited():
        start = trio.current_time()
        async with open_node() as node, raw_peer(node):
            await all_tasks_blocked()
            assert len(tasks(node)) == 1
            await trio.sleep(1)
        assert trio.current_time() - start == 1


async def test_nothing_outlives_the_node() -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    with limited():
        async with (
            open_node() as alice,
            open_node() as bob,
            alice.open_drive(KEY) as drive,
            bob.open_drive(KEY),
        ):
            await connect_tcp(alice, bob)
            await join_side(alice, drive)
            assert trio.lowlevel.current_statistics().tasks_living > before
        assert trio.lowlevel.current_statistics().tasks_living == before
        assert not tasks(alice)
        assert not tasks(bob)


async def test_a_receiver_learns_that_its_node_is_closed() -> None:
    notified = []

    async def receive(receiver: Topic | PeerEvents) -> None:
        with pytest.raises(trio.ClosedResourceError, match=type(receiver).__name__):
            await receiver.receive()
        notified.append(receiver)

    with limited():
        async with trio.open_nursery() as nursery, open_node() as node, node.open_drive(KEY) as drive:
            receivers: list[Topic | PeerEvents] = [drive.join("chat"), drive.watch()]
            for receiver in receivers:
                nursery.start_soon(receive, receiver)
            await all_tasks_blocked(0)
        assert sorted(map(id, notified)) == sorted(map(id, receivers))
