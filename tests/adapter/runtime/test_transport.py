"""`peersockets_trio.runtime.transport`: sockets that share a buffer, streams that do not, and connecting."""

from __future__ import annotations

import math
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from errno import ECONNREFUSED, ECONNRESET
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any, Final

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from adapter.support import (
    KEY,
    LOOPBACK,
    RawPeer,
    all_tasks_blocked,
    connect_tcp,
    limited,
    meet,
    raw_tcp_peer,
    silent_port,
    tasks,
    tcp_server,
)
from chaos.support import open_files
from peersockets_core import WIRES, WireName
from peersockets_core.wires.hypercore9 import frames
from peersockets_trio import Disconnected, Node, PeerLeft, Topic, open_node
from peersockets_trio.runtime.telemetry import explain
from peersockets_trio.runtime.transport import READ_SIZE, SocketTransport, StreamTransport, connect, transport
from peersockets_trio.testing import ChaosStream, join_side, wait_for_members
from ports import unused_port

TIMEOUT: Final = 10.0
SMALL: Final = 61
"""A buffer that hardly any frame fits in."""


def set_read_size(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Let the next buffer have another size: that of this test's run, if it has no socket yet."""
    monkeypatch.setattr("peersockets_trio.runtime.transport.READ_SIZE", size)


@asynccontextmanager
async def tcp_pair() -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream]]:
    """The two ends of a connection over loopback."""
    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    async with listener:
        ours = await trio.open_tcp_stream(*listener.socket.getsockname())
        theirs = await listener.accept()
    async with ours, theirs:
        yield ours, theirs


async def read(reader: SocketTransport) -> bytes:
    """Read once; what is returned is no longer in the buffer."""
    await reader.wait()
    data = reader.take()
    assert data is not None
    return bytes(data)


# The buffer that sockets share


def buffers(*nodes: Node) -> list[memoryview]:
    """The buffer that the sockets of nodes are read into."""
    transports = [task.transport for node in nodes for task in tasks(node)]
    return [one.buffer for one in transports if isinstance(one, SocketTransport)]


def messages(name: str, read_size: int) -> list[bytes]:
    """Messages of all sizes about the buffer's, unlike those of any other name."""
    random = Random(name)
    sizes = [0, 1, read_size - 1, read_size, read_size + 1, 2 * read_size, 3 * read_size + 5, 9, 0]
    return [random.randbytes(size) for size in sizes]


async def connect_crumbling(node: Node, address: tuple[str, int], wire: WireName, largest: int) -> None:
    """Connect, by TCP, to write in pieces of 1 to `largest` bytes, wherever that cuts a frame."""
    stream = ChaosStream(await trio.open_tcp_stream(*address), Random(largest), largest_chunk=largest)
    await node.attach(stream, wire=wire, initiator=True)


@pytest.mark.parametrize("read_size", [SMALL, READ_SIZE])
@pytest.mark.parametrize("wire", WIRES)
async def test_what_many_peers_send_at_once(
    wire: WireName, read_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It arrives unmixed and unaltered, as does what they are sent meanwhile, though all share a buffer."""
    set_read_size(monkeypatch, read_size)
    with limited():
        async with (
            open_node() as node,
            open_node() as whole,
            open_node() as crumbs,
            open_node() as pieces,
            node.open_drive(KEY) as drive,
            drive.join("chat") as chat,
            trio.open_nursery() as nursery,
        ):
            (listener,) = await node.listen_tcp(0, host=LOOPBACK)
            await whole.connect_tcp(*listener.address, wire=wire)
            await connect_crumbling(crumbs, listener.address, wire, 1 + read_size // 200)
            await connect_crumbling(pieces, listener.address, wire, read_size + read_size // 3)
            for other in (whole, crumbs, pieces):
                nursery.start_soon(converse, other, read_size)
            names = {peer.public_key.hex(): peer for peer in (await wait_for_members(drive, 3)).values()}
            for name, peer in names.items():
                nursery.start_soon(send_all, chat, peer.peer_id, messages(f"to {name}", read_size))
            # Three of the node's and one of the other's: one buffer for both.
            shared = buffers(node, whole)
            assert len(shared) == 4
            assert all(one is other for one, other in pairwise(shared))
            assert len(shared[0]) == read_size
            received: dict[int, list[bytes]] = {peer.peer_id: [] for peer in names.values()}
            expected = {peer.peer_id: messages(f"of {name}", read_size) for name, peer in names.items()}
            while sum(map(len, received.values())) < sum(map(len, expected.values())):
                message = await chat.receive()
                received[message.peer_id].append(message.message)
            assert received == expected


async def converse(node: Node, read_size: int) -> None:
    """Send what we have for the only member of the drive, and check what it sends us."""
    (name,) = (key.hex() for wire, key in node.public_keys.items() if wire in wires_of(node))
    async with node.open_drive(KEY) as drive, drive.join("chat") as chat, trio.open_nursery() as nursery:
        (peer_id,) = await wait_for_members(drive, 1)
        nursery.start_soon(send_all, chat, peer_id, messages(f"of {name}", read_size))
        expected = messages(f"to {name}", read_size)
        assert [(await chat.receive()).message for _ in expected] == expected


def wires_of(node: Node) -> set[WireName]:
    return {task.info.wire for task in tasks(node) if task.info is not None}


async def send_all(topic: Topic, peer_id: int, messages: list[bytes]) -> None:
    for message in messages:
        await topic.send(peer_id, message)


def test_two_runs_share_nothing() -> None:
    """Each run reads in a separate thread, at the same time."""
    both_have_read = threading.Barrier(2, timeout=20)
    seen: dict[bytes, bytes] = {}

    async def have_read(data: bytes) -> None:
        async with tcp_pair() as (ours, theirs):
            reader = SocketTransport(theirs, 45)
            await ours.send_all(data)
            await reader.wait()
            taken = reader.take()
            both_have_read.wait()
            assert taken is not None
            seen[data] = bytes(taken)

    threads = [threading.Thread(target=trio.run, args=(have_read, name * 1000)) for name in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {name * 1000: name * 1000 for name in (b"a", b"b")}


# Reading from a socket


async def test_a_false_alarm() -> None:
    async with tcp_pair() as (ours, theirs):
        reader = SocketTransport(theirs, 45)
        assert reader.take() is None
        await ours.send_all(b"now")
        assert await read(reader) == b"now"
        assert reader.take() is None


async def test_a_connection_goes_on_after_a_false_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame that fills the buffer is one: the read that follows it finds nothing."""
    set_read_size(monkeypatch, SMALL)
    taken: list[int | None] = []
    take = SocketTransport.take

    def note(self: SocketTransport) -> memoryview | None:
        data = take(self)
        taken.append(None if data is None else len(data))
        return data

    monkeypatch.setattr(SocketTransport, "take", note)
    with limited():
        async with (
            open_node() as node,
            node.open_drive(KEY) as drive,
            drive.join("chat") as chat,
        ):
            (listener,) = await node.listen_tcp(0, host=LOOPBACK)
            async with raw_tcp_peer(listener.address) as peer:
                await peer.join()
                await peer.send_message("chat", b"one")
                assert (await chat.receive()).message == b"one"
                await all_tasks_blocked()
                taken.clear()
                head = frames.extension_head(0, SMALL)
                await peer.send_frames(frames.extension_head(0, SMALL - len(head)) + bytes(SMALL - len(head)))
                assert (await chat.receive()).message == bytes(SMALL - len(head))
                await all_tasks_blocked()
                assert taken == [SMALL, None]
                await peer.send_message("chat", b"two")
                assert (await chat.receive()).message == b"two"


@asynccontextmanager
async def full_reader(
    monkeypatch: pytest.MonkeyPatch, data: bytes
) -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream, SocketTransport]]:
    """A sender, a receiver, and its transport, whose buffer of 10 bytes a first read of `data` has filled."""
    set_read_size(monkeypatch, 10)
    with limited():
        async with tcp_pair() as (ours, theirs):
            reader = SocketTransport(theirs, 45)
            await ours.send_all(data)
            assert await read(reader) == data[:10]
            yield ours, theirs, reader


async def test_a_full_buffer_is_followed_by_a_read_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async with full_reader(monkeypatch, bytes(range(20))) as (ours, _, reader):
        assert await read(reader) == bytes(range(10, 20))
        await reader.wait()  # for nothing, as nobody can know
        assert reader.take() is None
        arrived: list[bytes] = []

        async def read_more() -> None:
            arrived.append(await read(reader))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_more)
            await all_tasks_blocked(0)
            assert not arrived
            await ours.send_all(b"more")
        assert arrived == [b"more"]


async def test_other_tasks_have_their_turn_between_full_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with full_reader(monkeypatch, bytes(1000)) as (_, _, reader), trio.open_nursery() as nursery:
        nursery.start_soon(count)
        for _ in range(99):
            assert len(await read(reader)) == 10
        assert turns >= 98
        nursery.cancel_scope.cancel()


async def test_cancellation_between_full_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is heard, and takes nothing away."""
    async with full_reader(monkeypatch, bytes(range(30))) as (_, _, reader):
        with trio.CancelScope() as scope:
            scope.cancel()
            await reader.wait()
        assert scope.cancelled_caught
        assert await read(reader) == bytes(range(10, 20))


@pytest.mark.parametrize("size", [7, 10], ids=["after some", "after a full buffer"])
async def test_the_end(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    set_read_size(monkeypatch, 10)
    with limited():
        async with tcp_pair() as (ours, theirs):
            reader = SocketTransport(theirs, 45)
            await ours.send_all(bytes(size))
            await ours.send_eof()
            assert await read(reader) == bytes(size)
            for _ in range(2):
                assert await read(reader) == b""


async def test_a_reset() -> None:
    async with tcp_pair() as (ours, theirs):
        reader = SocketTransport(theirs, 45)
        await ChaosStream(ours).reset()
        await reader.wait()
        with pytest.raises(trio.BrokenResourceError, match=os.strerror(ECONNRESET)):
            reader.take()


@pytest.mark.parametrize("wire", WIRES)
async def test_a_peer_that_resets(wire: WireName) -> None:
    """It leaves with that for a reason, and nothing of the connection stays."""
    with limited():
        async with (
            open_node() as node,
            open_node() as other,
            node.open_drive(KEY) as drive,
            other.open_drive(KEY),
        ):
            (listener,) = await node.listen_tcp(0, host=LOOPBACK)
            stream = ChaosStream(await trio.open_tcp_stream(*listener.address))
            await other.attach(stream, wire=wire, initiator=True)
            side = await join_side(node, drive)
            await all_tasks_blocked()
            await stream.reset()
            left = await side.events.receive()
            assert isinstance(left, PeerLeft)
            assert os.strerror(ECONNRESET) in left.reason
            await all_tasks_blocked()
            assert not tasks(node)


async def test_a_reset_within_the_handshake() -> None:
    async def reset(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await ChaosStream(stream).reset()

    with limited():
        async with tcp_server(reset) as address, open_node() as node:
            with pytest.raises(trio.BrokenResourceError, match=os.strerror(ECONNRESET)):
                await node.connect_tcp(*address, wire="hypercore11")
            await all_tasks_blocked()
            assert not tasks(node)


# A socket that somebody else closes


async def test_closed_before_waiting() -> None:
    async with tcp_pair() as (_, theirs):
        reader = SocketTransport(theirs, 45)
        await theirs.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await reader.wait()


async def test_closed_while_waiting() -> None:
    async with tcp_pair() as (_, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(expect_closed, SocketTransport(theirs, 45).wait)
        await all_tasks_blocked(0)
        await theirs.aclose()


async def expect_closed(wait: Callable[[], Awaitable[None]]) -> None:
    with pytest.raises(trio.ClosedResourceError):
        await wait()


async def test_closed_between_waiting_and_taking() -> None:
    async with tcp_pair() as (ours, theirs):
        reader = SocketTransport(theirs, 45)
        await ours.send_all(b"too late")
        await reader.wait()
        await theirs.aclose()
        with pytest.raises(trio.ClosedResourceError):
            reader.take()


async def test_closed_between_full_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    async with full_reader(monkeypatch, bytes(30)) as (_, theirs, reader):
        await theirs.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await read(reader)


async def test_a_connection_whose_socket_is_closed() -> None:
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive, tcp_pair() as (ours, theirs):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(node.attach, theirs, wire="hypercore9", initiator=False))
                await RawPeer(ours).join()
            side = await join_side(node, drive)
            await theirs.aclose()
            left = await side.events.receive()
            assert isinstance(left, PeerLeft)
            assert left.reason
            await all_tasks_blocked()
            assert not tasks(node)


# Writing to a socket


async def test_writing_what_goes() -> None:
    """Writing takes all bytes as long as there is room, then some, and then none."""
    data = os.urandom(10_007)
    with limited():
        async with tcp_pair() as (ours, theirs):
            writer = transport(ours, 45)
            assert writer.immediate
            sizes = [writer.write(data)]
            assert sizes[0] == len(data)
            while sizes[-1]:
                sizes.append(writer.write(data))
                assert len(sizes) < 10_000, "there is always room"
            await ours.send_eof()
            received = b"".join([bytes(piece) async for piece in theirs])
            assert received == b"".join(data[:size] for size in sizes)


async def test_writing_to_what_is_broken_or_closed() -> None:
    """Writing takes nothing, and reading reports the reason."""
    async with tcp_pair() as (ours, theirs):
        writer = SocketTransport(ours, 45)
        await ChaosStream(theirs).reset()
        await trio.lowlevel.wait_readable(ours.socket)
        assert [writer.write(b"lost") for _ in range(2)] == [0, 0]
        await ours.aclose()
        assert writer.write(b"lost") == 0


async def test_a_message_larger_than_what_the_socket_takes_at_once() -> None:
    message = os.urandom(3_000_000)
    async with (
        meet(connect_tcp) as (alice, bob),
        alice.drive.join("chat") as here,
        bob.drive.join("chat") as there,
    ):
        await here.send(alice.peer_id, message)
        await here.send(alice.peer_id, b"next")
        assert [(await there.receive()).message for _ in range(2)] == [message, b"next"]


async def test_what_is_acknowledged_is_known_of_a_socket() -> None:
    """The kernel of the other end acknowledges what there is room for, whether it is read or not."""
    with limited():
        async with tcp_pair() as (ours, theirs):
            writer, reader = SocketTransport(ours, 45), SocketTransport(theirs, 45)
            while writer.write(bytes(100_000)):
                pass
            assert writer.unacknowledged() > 0
            assert reader.unacknowledged() == 0
            assert not reader.is_read()
            assert writer.is_read()
            while writer.unacknowledged():
                with trio.move_on_after(0.05):
                    await theirs.receive_some()
            await ours.aclose()
            assert writer.unacknowledged() == 0


@pytest.mark.parametrize(
    ("seconds", "milliseconds"), [(45, 45_000), (0.0001, 1), (float("inf"), (1 << 31) - 1)]
)
async def test_the_kernel_keeps_to_the_same_time(seconds: float, milliseconds: int) -> None:
    async with tcp_pair() as (ours, _):
        SocketTransport(ours, seconds)
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == milliseconds


# Other streams


async def test_any_other_stream() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    reader = transport(theirs, 45)
    assert isinstance(reader, StreamTransport)
    assert not reader.immediate
    assert reader.write(b"by the stream's own ways") == 0
    await ours.send_all(b"data")
    await reader.wait()
    data = reader.take()
    # It may be kept, whatever kind of buffer the stream returns.
    assert type(data) is bytes
    assert data == b"data"
    await ours.send_eof()
    await reader.wait()
    assert reader.take() == b""


# Connecting


@pytest.mark.parametrize(
    ("host", "listening"),
    [
        pytest.param(LOOPBACK, LOOPBACK, id="IPv4"),
        pytest.param("::1", "::1", id="IPv6"),
        pytest.param("localhost", LOOPBACK, id="name"),
    ],
)
async def test_connecting(host: str, listening: str) -> None:
    with limited():
        (listener,) = await trio.open_tcp_listeners(0, host=listening)
        async with listener:
            address = listener.socket.getsockname()
            async with await connect(host, address[1], TIMEOUT) as ours, await listener.accept() as theirs:
                assert ours.socket.getpeername() == address
                await ours.send_all(b"here")
                assert await theirs.receive_some() == b"here"


@pytest.mark.parametrize("host", [LOOPBACK, "::1", "localhost"])
async def test_a_refused_connection(host: str) -> None:
    """The error has the same words, however it was tried."""
    port = unused_port()
    with pytest.raises(OSError, match="all attempts") as failure:
        await connect(host, port, TIMEOUT)
    with pytest.raises(OSError, match="all attempts") as trios:
        await trio.open_tcp_stream(host, port)
    assert str(failure.value) == str(trios.value)
    assert host in str(failure.value)
    assert str(port) in str(failure.value)
    assert explain(failure.value) == f"{failure.value}: {os.strerror(ECONNREFUSED)}"


@pytest.mark.parametrize("host", [LOOPBACK, "::1", "localhost"])
async def test_cancelled_before_connecting(host: str) -> None:
    before = open_files()
    with trio.CancelScope() as scope:
        scope.cancel()
        await connect(host, unused_port(), TIMEOUT)
    assert scope.cancelled_caught
    assert open_files() == before


@pytest.mark.parametrize("host", [LOOPBACK, "localhost"])
async def test_a_host_that_does_not_answer(host: str, autojump_clock: MockClock) -> None:
    with silent_port() as port:
        before = open_files()
        with pytest.raises(TimeoutError, match=rf"^{host}:{port} did not answer within 3 seconds$"):
            await connect(host, port, 3)
        assert trio.current_time() == pytest.approx(3)
        assert open_files() == before


async def test_a_node_gives_a_host_ten_seconds(autojump_clock: MockClock) -> None:
    """Unless it is given more, or less; each dial of a kept connection likewise."""
    cases: list[tuple[int, dict[str, Any]]] = [(10, {}), (25, {"timeout": 25})]
    with silent_port() as port:
        async with open_node() as node:
            for given, options in cases:
                began = trio.current_time()
                with pytest.raises(TimeoutError, match=f"within {given} seconds"):
                    await node.connect_tcp(LOOPBACK, port, wire="hypercore11", **options)
                assert trio.current_time() - began == pytest.approx(given)
                began = trio.current_time()
                async with node.keep_connected((LOOPBACK, port), wire="hypercore11", **options) as kept:
                    event = await kept.receive()
                assert isinstance(event, Disconnected)
                assert isinstance(event.error, TimeoutError)
                assert trio.current_time() - began == pytest.approx(given)


@pytest.mark.parametrize("host", [LOOPBACK, "localhost"])
async def test_cancelled_while_connecting(host: str) -> None:
    """To a server that accepts nobody, and has no room left for those that wait."""
    connected: list[trio.SocketStream] = []

    async def try_to_connect(port: int) -> None:
        connected.append(await connect(host, port, math.inf))

    with limited(), socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen(0)
        before = open_files()
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(try_to_connect, listener.getsockname()[1])
            await all_tasks_blocked()
            assert len(connected) < 10
            assert open_files() >= before + 10
            nursery.cancel_scope.cancel()
        for stream in connected:
            await stream.aclose()
        assert open_files() == before
