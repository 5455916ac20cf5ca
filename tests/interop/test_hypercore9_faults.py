"""Faults of peersockets 1.0.0, networker 1.2.1 and hypercore-protocol 8 that we do not share."""

import json
import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from subprocess import PIPE
from typing import Final, TypeAlias

import pytest
import trio
import trio.testing

from interop.node_peer import JsonObject
from interop.real_peer import (
    HOST,
    WIRE,
    RealPeer,
    Role,
    digest,
    listen,
    meet,
    next_join,
    numbered,
    open_real_peer,
    our_key,
    webapp,
)
from peersockets_trio import (
    DEFAULT_LIMITS,
    Drive,
    MessageTooLarge,
    Node,
    PeerGone,
    PeerLeft,
    RemoteProtocolError,
    Topic,
)

pytestmark = pytest.mark.interop

Send: TypeAlias = Callable[[Topic, int, bytes], Awaitable[None]]

KIB: Final = 1024
MIB: Final = 1024 * KIB
FLOOD: Final = 3000  # connections
FLOOD_COST: Final = 32 * KIB  # bytes each, while hypercore-protocol 8 takes 144 KiB
GARBAGE: Final = [
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\xff" * KIB,  # a length without an end
    b"\x3a" + bytes(57),
    b"\x3a" + bytes(range(256)) * 256,
    b"",
]


def resident(pid: int | str = "self") -> int:
    """Return the bytes of memory that a process occupies."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


async def until_full(topic: Topic, member: int, size: int) -> int:
    """Send the messages of `numbered` until nothing moves any more. Return how many were accepted."""
    accepted = 0

    async def send() -> None:
        nonlocal accepted
        for message in numbered(4096, size):
            await topic.send(member, message)
            accepted += 1
        raise AssertionError("a peer that does not read took everything")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked(0.2)
        nursery.cancel_scope.cancel()
    return accepted


async def test_a_peer_that_does_not_read_makes_send_wait_and_takes_no_memory(
    node: Node, drive: Drive, peer: RealPeer, member: int, role: Role
) -> None:
    size, offered = 64 * KIB, 300 * MIB
    theirs = await peer.join("load", webapp=webapp(drive), quiet=True)
    their_fence = await peer.join("fence", webapp=webapp(drive))
    async with open_real_peer() as other, drive.join("load") as load, drive.join("fence") as fence:
        other_id = await meet(node, drive, other, role)
        other_topic = await other.join("fence", webapp=webapp(drive))
        before = resident()
        await peer.call("pauseSockets")
        accepted = await until_full(load, member, size)
        for _ in range(offered // size):
            with pytest.raises(trio.WouldBlock):
                load.send_nowait(member, bytes(size))
        assert resident() - before < 32 * MIB

        await fence.send(other_id, b"the others go on")
        assert (await other_topic.receive())[1] == b"the others go on"
        await other_topic.send(our_key(node), b"both ways")
        assert (await fence.receive()).message == b"both ways"

        await peer.call("resumeSockets")
        await fence.send(member, b"")
        await their_fence.receive()
        assert await theirs.received() == digest(numbered(accepted, size))


async def _send_nowait(topic: Topic, member: int, message: bytes) -> None:
    topic.send_nowait(member, message)


async def _broadcast(topic: Topic, member: int, message: bytes) -> None:
    await topic.broadcast(message)


@pytest.mark.parametrize(
    "send", [Topic.send, _send_nowait, _broadcast], ids=["send", "send_nowait", "broadcast"]
)
async def test_an_oversize_message_is_the_senders_error_and_the_connection_lives(
    drive: Drive, peer: RealPeer, member: int, send: Send
) -> None:
    theirs = await peer.join("chat", webapp=webapp(drive))
    async with drive.join("chat") as ours:
        with pytest.raises(MessageTooLarge):
            await send(ours, member, bytes(8 * MIB))
        assert ours.statistics().sent_messages == 0
        await ours.send(member, b"small")
        assert (await theirs.receive())[1] == b"small"
    assert not peer.happened("connection-closed")


async def test_a_topic_left_and_joined_again_hears_peers_that_connect_afterwards(
    node: Node, drive: Drive, network: Drive, peer: RealPeer, member: int, role: Role
) -> None:
    name = {drive: webapp(drive), network: ""}
    for ours in name:
        ours.join("chat").close()
    joined = {ours: ours.join("chat") for ours in name}
    async with open_real_peer() as late:
        late_id = await meet(node, drive, late, role)
        for real, peer_id in ((peer, member), (late, late_id)):
            for ours, topic in joined.items():
                theirs = await real.join("chat", webapp=name[ours])
                await theirs.send(our_key(node), b"in")
                assert await topic.receive() == (peer_id, b"in", real.public_key)
                await topic.send(peer_id, b"out")
                assert await theirs.receive() == (our_key(node), b"out")


async def test_a_handle_that_closes_itself_at_a_message_takes_none_from_the_next(
    node: Node, drive: Drive, peer: RealPeer, member: int
) -> None:
    theirs = await peer.join("chat", webapp=webapp(drive))
    handles = [drive.join("chat") for _ in range(3)]

    async def close_at_first_message(handle: Topic) -> None:
        await handle.receive()
        handle.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(close_at_first_message, handles[0])
        nursery.start_soon(close_at_first_message, handles[1])
        await trio.testing.wait_all_tasks_blocked()
        for text in (b"first", b"second"):
            await theirs.send(our_key(node), text)
            assert (await handles[2].receive()).message == text


async def test_an_exception_in_a_handler_stops_nobody_else(
    node: Node, drive: Drive, peer: RealPeer, member: int
) -> None:
    theirs = await peer.join("chat", webapp=webapp(drive))

    async def fail_at_first_message() -> None:
        async with drive.join("chat") as topic, trio.open_nursery() as nursery:
            nursery.start_soon(theirs.send, our_key(node), b"first")
            await topic.receive()
            raise ArithmeticError("the application's")

    async with drive.join("chat") as bystander:
        with pytest.raises(ExceptionGroup) as raised:
            await fail_at_first_message()
        assert raised.group_contains(ArithmeticError)
        await theirs.send(our_key(node), b"second")
        assert [(await bystander.receive()).message for _ in range(2)] == [b"first", b"second"]
        await bystander.send(member, b"the connection lives")
        assert (await theirs.receive())[1] == b"the connection lives"


async def test_a_message_to_a_departed_peer_is_an_error(drive: Drive, peer: RealPeer, member: int) -> None:
    async with drive.join("chat") as ours, drive.watch() as events:
        await next_join(events, peer.public_key)
        await peer.process.kill()
        assert isinstance(await events.receive(), PeerLeft)
        with pytest.raises(PeerGone):
            await ours.send(member, b"")
        with pytest.raises(PeerGone):
            ours.send_nowait(member, b"")
        assert await ours.broadcast(b"") == 0


async def test_a_waiting_send_to_a_peer_that_departs_is_an_error(
    drive: Drive, peer: RealPeer, member: int
) -> None:
    async with drive.join("load") as load, drive.watch() as events:
        await next_join(events, peer.public_key)
        await peer.call("pauseSockets")
        await until_full(load, member, MIB)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.process.kill)
            with pytest.raises(PeerGone):
                await load.send(member, b"too late")
        left = await events.receive()
        assert isinstance(left, PeerLeft)
        assert left.unsent > 0


async def test_garbage_from_elsewhere_does_not_reach_a_real_peers_connection(
    node: Node, drive: Drive, peer: RealPeer, member: int
) -> None:
    theirs = await peer.join("chat", webapp=webapp(drive))
    port = await listen(node)
    for garbage in GARBAGE:
        await babble(garbage, await trio.open_tcp_stream(HOST, port))
        async with trio.open_nursery() as nursery:
            serve = partial(trio.serve_tcp, partial(babble, garbage), 0, host=HOST)
            [listener] = await nursery.start(serve)
            with pytest.raises(RemoteProtocolError):
                await node.connect_tcp(HOST, listener.socket.getsockname()[1], wire=WIRE)
            nursery.cancel_scope.cancel()
    async with drive.join("chat") as ours:
        await ours.send(member, b"still here")
        assert (await theirs.receive())[1] == b"still here"
    assert list(drive.peers) == [member]


async def babble(garbage: bytes, stream: trio.SocketStream) -> None:
    """Send bytes that are no handshake, and wait for the end."""
    with suppress(trio.BrokenResourceError):
        async with stream:
            await stream.send_all(garbage)
            await stream.send_eof()
            async for _ in stream:  # our side's handshake
                pass


async def lines(stream: trio.abc.ReceiveStream) -> AsyncIterator[JsonObject]:
    """Yield the objects that `peersockets pipe` prints."""
    buffer = bytearray()
    async for chunk in stream:
        buffer += chunk
        *complete, rest = buffer.split(b"\n")
        for line in complete:
            yield json.loads(line)
        buffer = bytearray(rest)


@pytest.mark.slow
async def test_thousands_of_connections_without_a_handshake_cost_little_and_end_in_time(
    peer: RealPeer,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2 * FLOOD:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2 * FLOOD, hard))
    key = (await peer.call("createDrive"))["key"]
    command = [sys.executable, "-m", "peersockets_trio.cli", "pipe", key, "--listen", f"{HOST}:0"]
    async with AsyncExitStack() as stack:
        process = await trio.lowlevel.open_process(command, stdin=PIPE, stdout=PIPE)
        stack.callback(process.kill)
        assert process.stdin is not None
        assert process.stdout is not None
        await stack.enter_async_context(process.stdin)
        await stack.enter_async_context(process.stdout)
        events = lines(process.stdout)
        ready = await anext(events)
        port = int(ready["listening"][0].rpartition(":")[2])
        before = resident(process.pid)

        silent = [await trio.open_tcp_stream(HOST, port) for _ in range(FLOOD)]
        for stream in silent:
            await stack.enter_async_context(stream)
        given_way = silent[: FLOOD - DEFAULT_LIMITS.handshakes]
        for stream in given_way:
            assert await at_end(stream)
        growth = resident(process.pid) - before
        assert growth < DEFAULT_LIMITS.handshakes * FLOOD_COST, f"{growth // KIB} KiB"

        await peer.call("connect", port=port)
        await peer.wait_event("peer-add", publicKey=ready["publicKeys"][WIRE])
        assert (await anext(events))["publicKey"] == peer.public_key.hex()
        for stream in silent:
            assert await at_end(stream)
        assert not peer.happened("connection-closed")
        await process.stdin.aclose()
        assert [line["event"] async for line in events][-1] == "closed"
        assert await process.wait() == 0


async def at_end(stream: trio.SocketStream) -> bool:
    """Wait until the other side has ended a connection on which it sent nothing."""
    try:
        return not await stream.receive_some()
    except trio.BrokenResourceError:
        return True
