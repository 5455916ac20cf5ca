"""`peersockets_trio.runtime.node_runtime`: deadlines, and what all connections share."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing

from adapter.support import (
    KEY,
    LARGER_KEY,
    SMALLER_KEY,
    RawPeer,
    all_tasks_blocked,
    connect_lockstep,
    connect_tcp,
    extension_name,
    fill,
    limited,
    listen,
    meet,
    open_chat_node,
    raw_member,
    raw_peer,
    raw_tcp_peer,
    tasks,
)
from peersockets_core import HandshakeCompleted, KeyPair, MessagesReceived
from peersockets_core.wires.hypercore9 import frames
from peersockets_trio import Limits, PeerEvents, PeerGone, PeerJoined, PeerLeft, open_node
from peersockets_trio.runtime.connection_task import LOOK_AGAIN
from peersockets_trio.runtime.transport import SocketTransport
from peersockets_trio.testing import join_side

LIMITS = Limits()


# Deadlines, in virtual time


async def test_a_handshake_has_a_time_limit(autojump_clock: trio.testing.MockClock) -> None:
    with limited():
        async with open_node() as node, raw_peer(node) as silent:
            start = trio.current_time()
            await silent.until_dropped()
            assert trio.current_time() - start == LIMITS.handshake_time
            await all_tasks_blocked(0)
            assert not tasks(node)


async def test_a_handshake_cannot_be_drawn_out(autojump_clock: trio.testing.MockClock) -> None:
    """A handshake that goes on by one byte a second does not last longer than allowed."""
    with limited():
        async with open_node() as node, raw_peer(node) as slow:
            hello = bytes(slow.connection.data_to_send())
            start = trio.current_time()

            async def say_it_slowly() -> None:
                for number in range(len(hello)):
                    await slow.stream.send_all(hello[number : number + 1])
                    await trio.sleep(1)

            with pytest.raises(trio.BrokenResourceError):
                await say_it_slowly()
            assert trio.current_time() - start <= LIMITS.handshake_time + 1


async def test_an_idle_connection_lives_on(autojump_clock: trio.testing.MockClock) -> None:
    async with meet() as (alice, bob):
        await trio.sleep(3000)
        for side in (alice, bob):
            with pytest.raises(trio.WouldBlock):
                side.events.receive_nowait()
            assert len(tasks(side.node)) == 1
        async with alice.drive.join("chat") as here, bob.drive.join("chat") as there:
            await here.send(alice.peer_id, b"still here?")
            assert (await there.receive()).message == b"still here?"


async def test_an_idle_line_carries_keepalives(autojump_clock: trio.testing.MockClock) -> None:
    """A byte every ten seconds, and nothing else."""
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive:
            peer = await raw_member(node)
            await join_side(node, drive)
            with trio.move_on_after(1):
                while True:
                    await peer.read()
            start = trio.current_time()
            fed = []
            with trio.move_on_after(15):
                while True:
                    data = await peer.stream.receive_some()
                    fed.append((trio.current_time() - start, len(data)))
            assert [size for _, size in fed] == [1]
            await peer.stream.aclose()


async def test_a_silent_peer_is_dropped(autojump_clock: trio.testing.MockClock) -> None:
    """The silent peer is given up after the time, and not before."""
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive, drive.watch() as events:
            silent = await raw_member(node)
            await events.receive()
            start = trio.current_time()
            await silent.until_dropped()  # reads, and says nothing
            left = await events.receive()
            assert trio.current_time() - start == LIMITS.silence
            assert isinstance(left, PeerLeft)
            assert left.reason == "nothing received for 20 seconds"


async def test_every_received_byte_extends_the_time(autojump_clock: trio.testing.MockClock) -> None:
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive, drive.watch() as events:
            peer = await raw_member(node)
            await events.receive()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(peer.until_dropped)
                for _ in range(10):
                    await trio.sleep(LIMITS.silence - 1)
                    await peer.send_frames(b"\0")
                start = trio.current_time()
                assert isinstance(await events.receive(), PeerLeft)
            assert trio.current_time() - start == LIMITS.silence


async def test_a_peer_that_we_do_not_read_is_not_silent(autojump_clock: trio.testing.MockClock) -> None:
    """A full handle holds the connection up, and both ends keep it; nothing is lost."""
    limits = Limits(receive_messages=2, send_buffer=1000)
    async with (
        meet(connect_lockstep, limits=limits) as (alice, bob),
        alice.drive.join("chat") as inbox,
        bob.drive.join("chat") as outbox,
    ):
        sent = await fill(outbox, bob.peer_id)
        await trio.sleep(LIMITS.send_time - 1)
        for side in (alice, bob):
            with pytest.raises(trio.WouldBlock):
                side.events.receive_nowait()
        received = 0
        with trio.move_on_after(1):
            async for _ in inbox:
                received += 1
        assert received == sent


async def test_a_peer_that_takes_nothing_for_too_long_is_given_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The peer is given up although it is alive and sends. Bytes that it has not taken count as unsent."""
    limits = Limits(receive_messages=2, send_buffer=1000)
    async with (
        meet(connect_lockstep, limits=limits) as (alice, bob),
        alice.drive.join("chat"),
        bob.drive.join("chat") as outbox,
    ):
        await fill(outbox, bob.peer_id)
        left = await bob.events.receive()
        assert isinstance(left, PeerLeft)
        assert left.reason == "the remote has taken no output for 120 seconds"
        assert left.unsent > 1000


async def test_a_peer_that_reads_nothing_from_its_socket_is_given_up() -> None:
    """The kernels of both sides take much before anything waits; its keepalives go on."""
    limits = Limits(send_time=0.5, keepalive=0.2)
    async with (
        open_chat_node(limits=limits) as (node, _, events, chat),
        raw_tcp_peer(await listen(node)) as peer,
        trio.open_nursery() as nursery,
    ):
        await peer.join()
        peer_id = (await events.receive()).peer_id

        async def send() -> None:
            with suppress(PeerGone):
                while True:
                    await chat.send(peer_id, bytes(64 * 1024))

        async def speak() -> None:
            with suppress(trio.BrokenResourceError):
                while True:
                    await peer.send_frames(b"\0")
                    await trio.sleep(0.1)

        nursery.start_soon(send)
        nursery.start_soon(speak)
        left = await events.receive()
        assert isinstance(left, PeerLeft)
        assert left.reason == "the remote has taken no output for 0.5 seconds"
        assert left.unsent > limits.send_buffer


@asynccontextmanager
async def tcp_member() -> AsyncIterator[tuple[PeerEvents, RawPeer]]:
    """A peer played by hand over TCP, which has joined the drive of a node. The clock is stopped."""
    async with open_chat_node() as (node, _, events, _), raw_tcp_peer(await listen(node)) as peer:
        await peer.join()
        assert isinstance(await events.receive(), PeerJoined)
        await all_tasks_blocked(0)
        yield events, peer


def write_keepalive(peer: RawPeer) -> None:
    """On loopback the bytes have arrived by now, and no task has had a turn since."""
    peer.connection.outbox.append(frames.KEEPALIVE)
    assert isinstance(peer.stream, trio.SocketStream)
    os.write(peer.stream.socket.fileno(), peer.connection.data_to_send())


@pytest.mark.parametrize("attempt", range(5))
async def test_arrived_bytes_are_read_before_a_member_is_given_up(
    attempt: int, mock_clock: trio.testing.MockClock
) -> None:
    """This holds for any order of tasks: its keepalive lies unread in the socket when its time is over."""
    async with tcp_member() as (events, peer):
        for _ in range(5):
            mock_clock.jump(LIMITS.keepalive)
            await all_tasks_blocked(0)
            write_keepalive(peer)
            mock_clock.jump(LIMITS.silence - LIMITS.keepalive + 0.5)
            await all_tasks_blocked(0)
            with pytest.raises(trio.WouldBlock):
                events.receive_nowait()


async def test_our_absence_does_not_count_against_a_member(mock_clock: trio.testing.MockClock) -> None:
    """The member stays for that time, and no longer."""
    async with tcp_member() as (events, _):
        mock_clock.jump(1000)
        await all_tasks_blocked(0)
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()
        for _ in range(2):
            mock_clock.jump(LIMITS.keepalive)
            await all_tasks_blocked(0)
        left = events.receive_nowait()
        assert isinstance(left, PeerLeft)
        assert left.reason == "nothing received for 20 seconds"


async def test_a_member_is_not_judged_while_its_input_waits_for_a_turn(
    mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread = [True]
    monkeypatch.setattr(SocketTransport, "is_read", lambda _: not unread)
    async with tcp_member() as (events, _):
        for wait in (LIMITS.keepalive, LIMITS.silence - LIMITS.keepalive, LOOK_AGAIN):
            mock_clock.jump(wait)
            await all_tasks_blocked(0)
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()
        unread.clear()
        for _ in range(3):
            mock_clock.jump(LIMITS.keepalive)
            await all_tasks_blocked(0)
        assert isinstance(events.receive_nowait(), PeerLeft)


async def test_a_peer_that_is_read_again_has_its_full_time(autojump_clock: trio.testing.MockClock) -> None:
    limits = Limits(receive_messages=1)
    async with open_chat_node(limits=limits) as (node, _, events, inbox):
        peer = await raw_member(node)
        await events.receive()
        await peer.send_message("chat", b"one")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.until_dropped)
            await trio.sleep(100)
            with pytest.raises(trio.WouldBlock):
                events.receive_nowait()
            assert (await inbox.receive()).message == b"one"
            start = trio.current_time()
            assert isinstance(await events.receive(), PeerLeft)
        assert trio.current_time() - start == LIMITS.silence


async def test_a_member_waits_for_its_other_connection(autojump_clock: trio.testing.MockClock) -> None:
    """The member leaves if the other connection does not open the drive in time."""
    with limited():
        async with (
            open_node(key_pair=LARGER_KEY) as node,
            node.open_drive(KEY) as drive,
            drive.watch() as events,
            raw_peer(node, key_pair=SMALLER_KEY) as first,
            raw_peer(node, key_pair=SMALLER_KEY) as second,
        ):
            await first.join()
            assert isinstance(await events.receive(), PeerJoined)
            await second.flush()
            await second.until(HandshakeCompleted)
            await all_tasks_blocked(0)
            start = trio.current_time()
            await first.stream.aclose()
            left = await events.receive()
            assert isinstance(left, PeerLeft)
            assert trio.current_time() - start == LIMITS.fold_time


async def test_sending_waits_for_the_other_connection(autojump_clock: trio.testing.MockClock) -> None:
    async with (
        open_chat_node(key_pair=LARGER_KEY) as (node, _, events, topic),
        raw_peer(node, key_pair=SMALLER_KEY) as first,
        raw_peer(node, key_pair=SMALLER_KEY) as second,
    ):
        await first.join()
        peer_id = (await events.receive()).peer_id
        await second.flush()
        await second.until(HandshakeCompleted)
        await first.stream.aclose()
        await all_tasks_blocked(0)
        with pytest.raises(trio.WouldBlock):
            topic.send_nowait(peer_id, b"now")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(topic.send, peer_id, b"later")
            await all_tasks_blocked(0)
            assert topic.statistics().sent_messages == 0
            second.connection.open_drive(KEY)
            await second.flush()
            nursery.start_soon(second.read)
        assert topic.statistics().sent_messages == 1
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()


@pytest.mark.parametrize(
    ("key", "node_key"),
    [
        (SMALLER_KEY, LARGER_KEY),
        (LARGER_KEY, SMALLER_KEY),
    ],
    ids=["smaller key", "larger key"],
)
async def test_a_peer_that_comes_back_before_it_was_missed(
    key: KeyPair, node_key: KeyPair, autojump_clock: trio.testing.MockClock
) -> None:
    """Its old connection is dead without a sign. It is reached on the new one long before we notice that."""
    async with (
        open_chat_node(key_pair=node_key) as (node, _, events, topic),
        raw_peer(node, key_pair=key) as dead,
        raw_peer(node, key_pair=key) as alive,
    ):
        await dead.join()
        peer_id = (await events.receive()).peer_id
        alive.connection.extensions.register(extension_name("chat"))
        await alive.join()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(topic.send, peer_id, b"welcome back")
            with trio.move_on_after(LIMITS.fold_time + LIMITS.linger + 1):
                received = await alive.until(MessagesReceived)
                assert received.payloads == [b"welcome back"]
                nursery.cancel_scope.cancel()
                return
        pytest.fail("nothing comes on the new connection")


async def test_a_frame_cannot_be_drawn_out(autojump_clock: trio.testing.MockClock) -> None:
    limits = Limits(frame_time=300)
    with limited():
        async with (
            open_node(limits=limits) as node,
            node.open_drive(KEY) as drive,
            drive.watch() as events,
        ):
            slow = await raw_member(node)
            await events.receive()
            start = trio.current_time()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(slow.until_dropped)
                await slow.send_frames(frames.encode(0, 1, bytes(1000))[:100])

                async def go_on() -> None:
                    while True:
                        await trio.sleep(10)
                        await slow.send_frames(bytes(1))

                with pytest.raises(trio.BrokenResourceError):
                    await go_on()
            left = await events.receive()
            assert isinstance(left, PeerLeft)
            assert left.reason == "a message has been incomplete for 300 seconds"
            assert trio.current_time() - start <= 300 + 10


async def test_connections_learn_of_the_drives_of_their_node() -> None:
    """The drives may be opened before or after the connections come."""
    with limited():
        async with open_node() as alice, open_node() as bob:
            await connect_tcp(alice, bob)
            async with alice.open_drive(KEY) as late, bob.open_drive(KEY) as later:
                await join_side(alice, late)
                await join_side(bob, later)
