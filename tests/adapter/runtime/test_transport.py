"""`peersockets_trio.runtime.transport`: sockets that share a buffer, streams that do not, and connecting."""

from __future__ import annotations

import os
import socket
from errno import ECONNRESET

import pytest
import trio
import trio.testing

from adapter.runtime.transport_support import SMALL, full_reader, read, set_read_size, tcp_pair
from adapter.support import (
    KEY,
    LOOPBACK,
    all_tasks_blocked,
    connect_tcp,
    limited,
    meet,
    raw_tcp_peer,
    tasks,
    tcp_server,
)
from peersockets_core import WIRES, WireName
from peersockets_core.wires.hypercore9 import frames
from peersockets_trio import PeerLeft, open_node
from peersockets_trio.runtime.transport import SocketTransport, StreamTransport, transport
from peersockets_trio.testing import ChaosStream, join_side

# Reading from a socket


async def test_a_false_alarm() -> None:
    async with tcp_pair() as (ours, theirs):
        reader = SocketTransport(theirs, 45)
        assert reader.take() is None
        await ours.send_all(b"now")
        assert await read(reader) == b"now"
        assert reader.take() is None


async def test_a_connection_goes_on_after_a_false_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame that fills the buffer causes one: the next read finds nothing."""
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
    """It takes effect, and no bytes are lost."""
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
async def test_a_peer_that_resets_its_connection(wire: WireName) -> None:
    """It leaves with that reason, and nothing of the connection stays."""
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


# Writing to a socket


async def test_writing_takes_as_much_as_fits() -> None:
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


async def test_writing_to_a_broken_or_closed_socket() -> None:
    """Writing takes nothing, and reading reports the reason."""
    async with tcp_pair() as (ours, theirs):
        writer = SocketTransport(ours, 45)
        await ChaosStream(theirs).reset()
        await trio.lowlevel.wait_readable(ours.socket)
        assert [writer.write(b"lost") for _ in range(2)] == [0, 0]
        await ours.aclose()
        assert writer.write(b"lost") == 0


async def test_a_message_larger_than_a_socket_takes_at_once() -> None:
    message = os.urandom(3_000_000)
    async with (
        meet(connect_tcp) as (alice, bob),
        alice.drive.join("chat") as here,
        bob.drive.join("chat") as there,
    ):
        await here.send(alice.peer_id, message)
        await here.send(alice.peer_id, b"next")
        assert [(await there.receive()).message for _ in range(2)] == [message, b"next"]


async def test_the_acknowledged_bytes_of_a_socket_are_known() -> None:
    """The kernel of the other end acknowledges all bytes that fit, whether they are read or not."""
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
