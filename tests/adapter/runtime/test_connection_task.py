"""`peersockets_trio.runtime.connection_task`: full handles, the ends of streams, and hostile peers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing

from adapter.support import (
    KEY,
    OTHER_KEY,
    WIRE,
    RawPeer,
    all_tasks_blocked,
    attach,
    connect_lockstep,
    connect_memory,
    fill,
    limited,
    listen,
    meet,
    open_chat_node,
    outbox_size,
    raw_member,
    raw_tcp_peer,
    tasks,
)
from peersockets_core import DriveKey, HandshakeCompleted
from peersockets_core.wires.hypercore9 import frames, messages
from peersockets_trio import Limits, Node, PeerLeft, RemoteProtocolError, open_node
from peersockets_trio.testing import ChaosStream, Cut, join_side

SMALL = Limits(send_buffer=20_000, receive_messages=10)


# Back pressure


async def test_one_full_handle_of_several_holds_up_the_connection() -> None:
    """The connection continues when the handle is emptied or closed."""
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


async def test_a_full_handle_holds_up_only_the_peer_that_fills_it() -> None:
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


# The end of a stream


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
    """Leaving does not wait until the messages in the handle are taken."""
    async with meet(connect_lockstep, limits=Limits(receive_messages=1, linger=60)) as (alice, bob):
        alice.drive.join("chat")
        outbox = bob.drive.join("chat")
        await fill(outbox, bob.peer_id, 100_000)


# Hostile peers


@asynccontextmanager
async def besieged(limits: Limits | None = None) -> AsyncIterator[tuple[Node, tuple[str, int]]]:
    """A node and its address. At the end, its honest member must have noticed nothing."""
    with limited():
        async with (
            open_node(limits=limits or Limits()) as node,
            open_node() as honest,
            node.open_drive(KEY) as drive,
            honest.open_drive(KEY) as honest_drive,
        ):
            address = await listen(node)
            await honest.connect_tcp(*address, wire=WIRE)
            member, friend = await join_side(node, drive), await join_side(honest, honest_drive)
            yield node, address
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
    """The garbage ends only that connection, with a reason."""
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
async def test_garbage_that_real_peers_ignore(harmless: bytes) -> None:
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
    """The peer offers thousands of drives, and reads no refusal."""
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
    """A stream that ends at any byte of the handshake or of joining leaves nothing behind."""
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
    """A peer with another key receives nothing, and the node reports no member."""
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
    async with open_chat_node() as (node, _, events, inbox), raw_tcp_peer(await listen(node)) as peer:
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
