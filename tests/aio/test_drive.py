"""`peersockets_asyncio.drive`: topics and watches."""

from __future__ import annotations

import asyncio

import pytest

from aio.support import HOST, KEY, SMALL, fill, in_loop, meet, until
from peersockets_asyncio import Message, PeerJoined, PeerLeft, open_node
from peersockets_core import (
    WIRES,
    DriveKey,
    LocalProtocolError,
    MessageTooLarge,
    PeerGone,
    UnknownPeer,
    WireName,
)


@pytest.mark.parametrize("wire", WIRES)
@in_loop
async def test_messages_arrive_in_order(wire: WireName) -> None:
    async with meet(wire=wire) as (alice, bob):
        for number in range(1000):
            await alice.chat.send(alice.peer_id, b"%d" % number)
        key = alice.node.public_keys[wire]
        for number in range(1000):
            assert await bob.chat.receive() == Message(bob.peer_id, b"%d" % number, key)
        assert bob.drive.peers[bob.peer_id].public_key == key
        assert bob.drive.peers[bob.peer_id].wire == wire


@in_loop
async def test_a_watch_begins_with_the_present_members_and_reports_leaves() -> None:
    async with meet() as (alice, bob):
        async with alice.drive.watch() as events:
            assert isinstance(await events.receive(), PeerJoined)
            bob.drive.close()
            left = await events.receive()
            assert isinstance(left, PeerLeft)
            assert (left.peer_id, left.unsent) == (alice.peer_id, 0)
        assert not alice.drive.peers
        with pytest.raises(PeerGone):
            await alice.chat.send(alice.peer_id, b"late")


@in_loop
async def test_an_iteration_ends_when_its_handle_is_closed() -> None:
    async with meet() as (alice, bob):

        async def listen() -> list[bytes]:
            return [message.message async for message in bob.chat]

        listening = asyncio.create_task(listen())
        await alice.chat.send(alice.peer_id, b"one")
        await until(lambda: (counted := bob.chat.statistics()).received_messages > counted.waiting_messages)
        bob.drive.close()
        assert await listening == [b"one"]
        with pytest.raises(LocalProtocolError, match="this Topic is closed"):
            await bob.chat.receive()
        with pytest.raises(LocalProtocolError, match="this Drive is closed"):
            bob.drive.join("other")
        bob.chat.close()
        bob.drive.close()


@in_loop
async def test_a_second_receiver_is_refused() -> None:
    async with meet() as (alice, _):
        waiting = asyncio.create_task(alice.chat.receive())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task is receiving from this Topic"):
            await alice.chat.receive()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await alice.chat.receive()


@in_loop
async def test_bad_arguments_are_refused() -> None:
    async with meet() as (alice, _):
        with pytest.raises(TypeError, match="message must be bytes, not str"):
            await alice.chat.send(alice.peer_id, "text")  # type: ignore[arg-type]
        with pytest.raises(UnknownPeer):
            await alice.chat.send(77, b"")
        with pytest.raises(MessageTooLarge):
            await alice.chat.send(alice.peer_id, bytes(20_000_000))
        with pytest.raises(MessageTooLarge):
            await alice.chat.broadcast(bytes(20_000_000))
        with pytest.raises(ValueError, match="overflow"):
            alice.drive.join("chat", overflow="never")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="topic_scope"):
            alice.node.open_drive(KEY, topic_scope="world")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="drive key"):
            alice.node.open_drive("no key")


@in_loop
async def test_senders_wait_for_a_peer_that_does_not_read_and_continue_in_order() -> None:
    async with meet(limits=SMALL) as (alice, bob):
        await fill(alice)
        waiting = [asyncio.create_task(alice.chat.send(alice.peer_id, b"%d" % number)) for number in range(5)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting[2:])
        assert not alice.chat.send_nowait(alice.peer_id, b"newcomer"), "it would overtake"
        received: list[bytes] = []
        while received[-1:] != [b"4"]:
            message = (await bob.chat.receive()).message
            if len(message) == 1:
                received.append(message)
        assert received == [b"0", b"2", b"3", b"4"]
        await asyncio.gather(*waiting, return_exceptions=True)
        assert alice.chat.send_nowait(alice.peer_id, b"there is room again")


@in_loop
async def test_waiting_senders_when_the_topic_is_closed_or_the_peer_leaves() -> None:
    async with meet(limits=SMALL) as (alice, bob):
        other = alice.drive.join("chat")
        await fill(alice)
        closing = asyncio.create_task(alice.chat.send(alice.peer_id, b"closing"))
        leaving = asyncio.create_task(other.broadcast(b"leaving"))
        await asyncio.sleep(0)
        alice.chat.close()
        with pytest.raises(LocalProtocolError, match="this Topic is closed"):
            await closing
        assert not leaving.done()
        bob.node.abort()
        assert await leaving == 0
        left = await alice.events.receive()
        assert isinstance(left, PeerLeft)
        assert left.unsent > 0


@in_loop
async def test_a_broadcast_reaches_the_members_that_read() -> None:
    async with meet(limits=SMALL) as (alice, bob), open_node() as carol:
        [listener] = await alice.node.listen_tcp(0, host=HOST)
        await carol.connect_tcp(*listener.address, wire="hypercore11")
        chat = carol.open_drive(DriveKey(KEY)).join("chat")
        joined = await alice.events.receive()
        await fill(alice)
        broadcast = asyncio.create_task(alice.chat.broadcast(b"to all"))
        message = await chat.receive()
        assert message.message == b"to all"
        assert joined.peer_id != alice.peer_id
        assert not broadcast.done()
        while (await bob.chat.receive()).message != b"to all":
            pass
        assert await broadcast == 2
