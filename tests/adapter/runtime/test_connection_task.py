"""`peersockets_trio.runtime.connection_task`: back pressure, broken streams and hostile peers."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing

from adapter.support import (
    KEY,
    LOOPBACK,
    OTHER_KEY,
    WIRE,
    RawPeer,
    all_tasks_blocked,
    attach,
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
    raw_tcp_peer,
    tasks,
)
from peersockets_core import DriveKey, HandshakeCompleted
from peersockets_core.wires.hypercore9 import frames, messages
from peersockets_trio import Limits, Node, PeerLeft, RemoteProtocolError, open_node
from peersockets_trio.runtime.transport import SEND_SIZE
from peersockets_trio.testing import ChaosStream, Connect, Cut, connect_nodes, join_side

SMALL = Limits(send_buffer=20_000, receive_messages=10)


# Back pressure


@pytest.mark.parametrize("connect", [connect_lockstep, connect_tcp, connect_hypercore11])
async def test_a_slow_reader(connect: Connect) -> None:
    """Its queue is bounded, the others go on, and in the end it has everything."""
    count = 3000
    sent = 0
    with limited():
        async with (
            open_node(limits=SMALL) as alice,
            open_node(limits=SMALL) as slow,
            open_node(limits=SMALL) as quick,
            alice.open_drive(KEY) as drive,
            slow.open_drive(KEY) as slow_drive,
            quick.open_drive(KEY) as quick_drive,
            drive.watch() as events,
            drive.join("chat") as outbox,
            slow_drive.join("chat") as slow_inbox,
            quick_drive.join("chat") as quick_inbox,
        ):
            await connect(alice, slow)
            slow_id = (await events.receive()).peer_id
            await connect(alice, quick)
            quick_id = (await events.receive()).peer_id

            async def send_all() -> None:
                nonlocal sent
                for number in range(count):
                    await outbox.send(slow_id, number.to_bytes(2, "big") * 2000)
                    sent += 1

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_all)
                await all_tasks_blocked()
                assert 0 < sent < count
                assert outbox_size(alice) <= SMALL.send_buffer + 4100
                waiting = slow_inbox.statistics()
                assert waiting.waiting_messages < 100
                for number in range(200):
                    await outbox.send(quick_id, bytes([number]))
                    assert (await quick_inbox.receive()).message == bytes([number])
                assert slow_inbox.statistics() == waiting
                for number in range(count):
                    message = (await slow_inbox.receive()).message
                    assert message == number.to_bytes(2, "big") * 2000


async def test_one_full_handle_of_several_holds_up_the_connection() -> None:
    """Until it is emptied or closed."""
    limits = Limits(receive_messages=5)
    for way_out in ("receive", "close"):
        async with meet(limits=limits) as (alice, bob), bob.drive.join("chat") as outbox:
            full, emptied = alice.drive.join("chat"), alice.drive.join("chat")
            for number in range(100):
                await outbox.send(bob.peer_id, bytes([number]))
                await all_tasks_blocked(0)
            got = len(await emptied.receive_batch())
            await all_tasks_blocked(0)
            assert emptied.statistics().waiting_messages == 0
            assert got < 100
            if way_out == "close":
                full.close()
            else:
                await full.receive_batch()
            while got < 100:
                got += len(await emptied.receive_batch())
                if way_out == "receive":
                    await full.receive_batch()


async def test_a_full_handle_holds_up_only_who_fills_it() -> None:
    limits = Limits(receive_messages=1)
    with limited():
        async with (
            open_node(limits=limits) as node,
            node.open_drive(KEY) as drive,
            drive.watch() as events,
            drive.join("full") as full,
            drive.join("free") as free,
        ):
            loud, quiet = await raw_member(node), await raw_member(node)
            ids = [(await events.receive()).peer_id for _ in range(2)]
            await loud.send_message("full", b"one")
            await quiet.send_message("free", b"heard")
            message = await free.receive()
            assert (message.peer_id, message.message) == (ids[1], b"heard")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(loud.send_message, "free", b"held up")
                await all_tasks_blocked(0)
                assert free.statistics().received_messages == 1
                assert (await full.receive()).message == b"one"
                assert (await free.receive()).message == b"held up"
            for peer in (loud, quiet):
                await peer.stream.aclose()


# Streams that break


class Plain(trio.abc.Stream):
    """A stream that cannot be closed in one direction only."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._stream.aclose()


def plain_streams() -> tuple[Plain, Plain]:
    ours, theirs = trio.testing.lockstep_stream_pair()
    return Plain(ours), Plain(theirs)


async def test_a_stream_that_is_not_half_closeable() -> None:
    with limited():
        async with open_node() as alice, alice.open_drive(KEY) as drive, drive.join("chat") as inbox:
            async with open_node() as bob, bob.open_drive(KEY) as bob_drive:
                await connect_nodes(alice, bob, streams=plain_streams)
                side = await join_side(bob, bob_drive)
                async with bob_drive.join("chat") as outbox:
                    for _ in range(100):
                        outbox.send_nowait(side.peer_id, bytes(10_000))
            total = 0
            while total < 100:
                total += len(await inbox.receive_batch())


async def test_what_is_unsent_grows_less_as_the_peer_reads() -> None:
    """Of one large message, too, which is written in pieces."""
    size = 4 * SEND_SIZE
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive, drive.join("chat") as topic:
            peer = await raw_member(node)
            peer_id = (await join_side(node, drive)).peer_id
            await topic.send(peer_id, bytes(size))
            seen = [node.peer(peer_id).unsent]
            while seen[-1]:
                await peer.stream.receive_some(SEND_SIZE)
                await all_tasks_blocked(0)
                seen.append(node.peer(peer_id).unsent)
            assert size < seen[0] < size + 100
            assert seen == sorted(seen, reverse=True)
            assert len(set(seen)) > 4
            await trio.aclose_forcefully(peer.stream)


async def test_a_connection_reset_while_sending() -> None:
    with limited():
        async with (
            open_node(limits=SMALL) as node,
            node.open_drive(KEY) as drive,
            drive.watch() as events,
            drive.join("chat") as topic,
        ):
            (listener,) = await node.listen_tcp(0, host=LOOPBACK)
            async with raw_tcp_peer(listener.address) as peer:
                await peer.join()
                joined = await events.receive()
                await fill(topic, joined.peer_id, 10_000)
                assert isinstance(peer.stream, trio.SocketStream)
                await ChaosStream(peer.stream).reset()
            left = await events.receive()
            assert isinstance(left, PeerLeft)
            assert left.peer_id == joined.peer_id
            assert left.reason
            assert left.unsent >= SMALL.send_buffer
            await all_tasks_blocked()
            assert not tasks(node)


@pytest.mark.parametrize("attempt", range(10))
async def test_what_was_said_before_a_reset_is_heard_though_writing_fails_first(attempt: int) -> None:
    """Whichever task comes first: what the kernel still holds is read before the connection is over."""
    with limited():
        async with (
            open_node() as node,
            node.open_drive(KEY) as drive,
            drive.watch() as events,
            drive.join("chat") as topic,
        ):
            (listener,) = await node.listen_tcp(0, host=LOOPBACK)
            async with raw_tcp_peer(listener.address) as peer:
                await peer.join()
                joined = await events.receive()
                await peer.send_message("chat", b"first")
                assert (await topic.receive()).message == b"first"
                await all_tasks_blocked()
                assert isinstance(peer.stream, trio.SocketStream)
                # On loopback all of this has arrived before any other task has a turn.
                sender = peer.connection.sender(None, extension_name("chat"))
                for number in range(100):
                    sender.send(b"%d" % number)
                os.write(peer.stream.socket.fileno(), peer.connection.data_to_send())
                peer.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.stream.socket.close()
                topic.send_nowait(joined.peer_id, b"lost")
            assert [(await topic.receive()).message for _ in range(100)] == [b"%d" % n for n in range(100)]
            left = await events.receive()
            assert isinstance(left, PeerLeft)
            assert left.reason
            assert left.unsent >= len(b"lost")


async def test_a_stream_that_breaks_in_one_direction_ends_in_bounded_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive, drive.watch() as events:
            peer = await raw_member(node)
            joined = await events.receive()
            (task,) = tasks(node)
            task.stop_writing(trio.BrokenResourceError("broken"))
            assert await events.receive() == PeerLeft(joined.peer_id, joined.public_key, WIRE, "broken")
            await trio.aclose_forcefully(peer.stream)


@pytest.mark.parametrize(
    ("cut", "reason"),
    [(5000, "the connection ended within a message"), (None, "")],
    ids=["within", "between"],
)
async def test_the_end_of_the_stream(cut: int | None, reason: str) -> None:
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive, drive.watch() as events:
            peer = await raw_member(node)
            joined = await events.receive()
            body = frames.extension_head(0, 10_000) + bytes(10_000)
            await peer.send_frames(body[:cut])
            await peer.stream.aclose()
            assert await events.receive() == PeerLeft(joined.peer_id, joined.public_key, WIRE, reason)


async def test_leaving_while_a_handle_is_full() -> None:
    """It does not wait for the messages that nobody takes."""
    async with meet(connect_lockstep, limits=Limits(receive_messages=1, linger=60)) as (alice, bob):
        alice.drive.join("chat")
        outbox = bob.drive.join("chat")
        await fill(outbox, bob.peer_id, 100_000)


# Hostile peers


@asynccontextmanager
async def besieged(limits: Limits | None = None) -> AsyncIterator[tuple[Node, tuple[str, int]]]:
    """A node and its address. In the end, its honest member must have noticed nothing."""
    with limited():
        async with (
            open_node(limits=limits or Limits()) as node,
            open_node() as honest,
            node.open_drive(KEY) as drive,
            honest.open_drive(KEY) as honest_drive,
        ):
            (listener,) = await node.listen_tcp(0, host=LOOPBACK)
            await honest.connect_tcp(*listener.address, wire=WIRE)
            member, friend = await join_side(node, drive), await join_side(honest, honest_drive)
            yield node, listener.address
            await all_tasks_blocked()
            assert len(tasks(node)) == 1
            assert member.peer_id in drive.peers
            async with drive.join("peace") as here, honest_drive.join("peace") as there:
                await here.send(member.peer_id, b"still there?")
                assert (await there.receive()).message == b"still there?"
                await there.send(friend.peer_id, b"still here")
                assert (await here.receive()).message == b"still here"


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00",
        b"\xff" * 20,
        b"\x3a" + bytes(58),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 10,
        b"\x16\x03\x01" + bytes(200),
        bytes(range(256)) * 4096,
    ],
)
async def test_garbage_for_a_handshake(garbage: bytes) -> None:
    async with besieged() as (_, address), await trio.open_tcp_stream(*address) as stream:
        try:
            await stream.send_all(garbage)
            await stream.send_eof()
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass


async def test_garbage_within_a_handshake() -> None:
    async with besieged() as (_, address), raw_tcp_peer(address) as peer:
        await peer.flush()
        assert await peer.stream.receive_some()
        await peer.stream.send_all(b"\x5a" + os.urandom(0x5A))
        await peer.until_dropped()


def _open(key: bytes, capability: bytes | None) -> bytes:
    return frames.encode(1, 0, messages.encode(messages.Open(key, capability)))


PLAINTEXT = {
    "varint without end": (b"\xff" * 9, "varint"),
    "frame too large": (b"\x80\x80\x80\x08", "over the limit"),
    "extension message too large": (b"\x90\x80\x80\x04\x0f\x00", "over the limit"),
    "bad protobuf": (frames.encode(1, 0, b"\xff\xff"), "protobuf"),
    "open without key": (frames.encode(1, 0, b""), "without discovery_key"),
    "open without capability": (_open(KEY.discovery_key, None), "invalid remote capability"),
    "open with a wrong capability": (_open(KEY.discovery_key, bytes(32)), "invalid remote capability"),
    "open on channel zero": (
        frames.encode(0, 0, messages.encode(messages.Open(KEY.discovery_key))),
        "channel 0",
    ),
    "a name that is not text": (frames.encode(0, 1, b"\x0a\x02\xff\xff"), "not UTF-8"),
    "too many names": (frames.encode(0, 1, b"\x0a\x00" * 20_000), "more than 16384 items"),
    "extension message without id": (b"\x01\x0f", "within its id"),
}


@pytest.mark.parametrize(("plaintext", "reason"), PLAINTEXT.values(), ids=PLAINTEXT)
@pytest.mark.parametrize("stage", ["stranger", "member"])
async def test_garbage_after_the_handshake(
    plaintext: bytes, reason: str, stage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends that connection, with a reason, and nothing else."""
    with caplog.at_level("INFO", logger="peersockets"):
        async with besieged() as (_, address), raw_tcp_peer(address) as peer:
            if stage == "member":
                await peer.join()
            else:
                await peer.flush()
                await peer.until(HandshakeCompleted)
            await peer.send_frames(plaintext)
            await peer.until_dropped()
            key = peer.key_pair.x25519_public_key.hex()
        said = [record.getMessage() for record in caplog.records if key in record.getMessage()]
        assert any("disconnected" in line and reason in line for line in said), said


@pytest.mark.parametrize(
    "harmless",
    [
        b"\0" * 10_000,
        frames.encode(1, 11, b"?"),
        frames.encode(1, 14, b"?"),
        frames.encode(7, 10, messages.encode(messages.Close(bytes(32)))),
        frames.encode(9, 15, b"\0hello"),
        frames.extension_head(99, 3) + b"???",
        frames.encode(1, 7, messages.encode(messages.Request(1))),
        _open(OTHER_KEY.discovery_key, bytes(32)),
    ],
)
async def test_what_real_peers_ignore(harmless: bytes) -> None:
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive, drive.join("chat") as inbox:
            peer = await raw_member(node)
            await peer.send_frames(harmless)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(peer.send_message, "chat", b"fine")
                nursery.start_soon(peer.read)
                assert (await inbox.receive()).message == b"fine"
                nursery.cancel_scope.cancel()
            await peer.stream.aclose()


async def test_asking_without_reading(caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of drives offered, and not one refusal read."""
    with caplog.at_level("INFO", logger="peersockets"):
        async with besieged(Limits(replies=20_000)) as (node, address), raw_tcp_peer(address) as peer:
            await peer.flush()
            await peer.until(HandshakeCompleted)
            offers = b"".join(_open(os.urandom(32), bytes(32)) for _ in range(2000))
            try:
                for _ in range(500):
                    await peer.send_frames(offers)
                    assert outbox_size(node) < 500_000
            except trio.BrokenResourceError:
                pass
            else:
                pytest.fail("the peer was not dropped")
    assert "asks without reading" in caplog.text


async def test_a_stream_that_ends_at_any_byte() -> None:
    """Of the handshake, and of joining: nothing is left of it."""
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive:
            whole = False
            size = 0
            while not whole:
                ours, theirs = trio.testing.memory_stream_pair()
                peer = RawPeer(ChaosStream(ours, cut_sending=Cut(size, "eof")))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(attach_somehow, node, theirs)
                    try:
                        await peer.join()
                        whole = True
                    except (AssertionError, trio.BrokenResourceError, trio.ClosedResourceError):
                        pass
                    await peer.stream.aclose()
                size += 1
            await all_tasks_blocked(0)
            assert size > 150
            assert not tasks(node)
            assert not drive.peers


async def attach_somehow(node: Node, stream: trio.abc.Stream) -> None:
    with suppress(RemoteProtocolError, trio.BrokenResourceError):
        await attach(node, stream, False)


async def test_a_wrong_drive_key_is_never_a_member() -> None:
    """A peer that has another key hears nothing and is not seen."""
    with limited():
        async with (
            open_node() as node,
            node.open_drive(KEY) as drive,
            drive.watch() as events,
            open_node() as stranger,
            stranger.open_drive(DriveKey(b"?" * 32)) as other,
        ):
            await connect_memory(stranger, node)
            await all_tasks_blocked(0)
            assert not drive.peers
            assert not other.peers
            with pytest.raises(trio.WouldBlock):
                events.receive_nowait()


async def test_messages_of_strangers_are_not_heard_in_drive_scope() -> None:
    with limited():
        async with (
            open_node() as node,
            node.open_drive(KEY) as drive,
            drive.watch() as events,
            drive.join("chat") as inbox,
        ):
            (listener,) = await node.listen_tcp(0, host=LOOPBACK)
            async with raw_tcp_peer(listener.address) as peer:
                await peer.flush()
                await peer.until(HandshakeCompleted)
                await peer.send_message("chat", b"from a stranger")
                await all_tasks_blocked()
                with pytest.raises(trio.WouldBlock):
                    inbox.receive_nowait()
                peer.connection.open_drive(KEY)
                await peer.send_message("chat", b"from a member")
                message = await inbox.receive()
                assert message.message == b"from a member"
                assert message.peer_id == (await events.receive()).peer_id
