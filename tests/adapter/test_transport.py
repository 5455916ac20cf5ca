"""`peersockets_trio.transport`: reading past Trio into one buffer, and connecting."""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
import trio.testing

from adapter.support import KEY, LOOPBACK, limited, tcp_server, unused_port
from peersockets_core import WIRES, WireName
from peersockets_trio import open_node
from peersockets_trio.report import explain
from peersockets_trio.transport import (
    READ_SIZE,
    SocketTransport,
    StreamTransport,
    Transport,
    connect,
    transport,
)

RESET = struct.pack("ii", 1, 0)  # SO_LINGER on and zero


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[SocketTransport, trio.SocketStream, trio.SocketStream]]:
    """A transport, its stream, and the other end."""
    near, far = (trio.socket.from_stdlib_socket(end) for end in socket.socketpair())
    with limited():
        async with trio.SocketStream(near) as ours, trio.SocketStream(far) as theirs:
            yield SocketTransport(ours), ours, theirs


async def read(reading: Transport) -> bytes:
    data = None
    while data is None:
        await reading.wait()
        data = reading.take()
    return bytes(data)


# One transport


async def test_sockets_and_other_streams() -> None:
    async with pair() as (_, ours, _):
        assert isinstance(transport(ours), SocketTransport)
    one, other = trio.testing.memory_stream_pair()
    reading = transport(one)
    assert isinstance(reading, StreamTransport)
    assert not reading.immediate
    assert reading.write(b"x") == 0
    await other.send_all(b"hello")
    await other.aclose()
    assert [await read(reading), await read(reading)] == [b"hello", b""]


async def test_a_false_alarm_is_nothing() -> None:
    async with pair() as (reading, _, theirs):
        assert reading.take() is None
        await theirs.send_all(b"hello")
        assert await read(reading) == b"hello"
        await theirs.send_eof()
        assert await read(reading) == b""


async def test_after_a_full_read_the_next_does_not_wait_but_others_have_their_turn() -> None:
    async with pair() as (reading, _, theirs), trio.open_nursery() as nursery:
        data = Random(1).randbytes(2 * READ_SIZE + 100)
        nursery.start_soon(theirs.send_all, data)
        got = b""
        while len(got) < len(data):
            got += await read(reading)
        assert got == data
        # Filled to the last byte: it does not know yet that there is nothing more.
        reading._more = True
        turns: list[bool] = []
        nursery.start_soon(_note, turns)
        for _ in range(2):  # since Trio runs tasks that are due in any order
            await reading.wait()
        assert turns
        assert reading.take() is None
        with trio.move_on_after(0) as scope:
            await reading.wait()
        assert scope.cancelled_caught


async def _note(turns: list[bool]) -> None:
    turns.append(True)


async def test_what_a_socket_takes_at_once() -> None:
    async with pair() as (writing, ours, theirs):
        assert writing.write(b"hello") == 5
        assert await theirs.receive_some() == b"hello"
        large = bytes(64 * 1024 * 1024)
        assert 0 < writing.write(large) < len(large)
        assert writing.write(large) == 0
        await ours.aclose()
        assert writing.write(b"x") == 0


async def test_a_socket_that_was_closed_under_it() -> None:
    async with pair() as (reading, ours, _):
        await ours.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await reading.wait()
        with pytest.raises(trio.BrokenResourceError):
            reading.take()


async def test_a_socket_that_is_closed_while_it_waits() -> None:
    async with pair() as (reading, ours, _), trio.open_nursery() as nursery:
        nursery.start_soon(_expect_closed, reading)
        await trio.testing.wait_all_tasks_blocked()
        await ours.aclose()


async def _expect_closed(reading: SocketTransport) -> None:
    with pytest.raises(trio.ClosedResourceError):
        await reading.wait()


async def test_a_connection_that_is_reset() -> None:
    async def reset(stream: trio.SocketStream) -> None:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        await trio.aclose_forcefully(stream)

    with limited():
        async with tcp_server(reset) as (host, port), await connect(host, port) as stream:
            with pytest.raises(trio.BrokenResourceError, match="Connection reset"):
                await read(SocketTransport(stream))


# One buffer for all


async def test_all_sockets_of_a_run_share_a_buffer_and_those_of_other_threads_do_not() -> None:
    async def buffer() -> int:
        async with pair() as (reading, _, _):
            return id(reading._buffer.obj)

    mine = await buffer()
    assert await buffer() == mine
    others: list[int] = []
    thread = threading.Thread(target=lambda: others.append(trio.run(buffer)))
    thread.start()
    await trio.to_thread.run_sync(thread.join)
    assert others != [mine]


@pytest.mark.parametrize("wire", WIRES)
async def test_what_several_peers_send_at_once_arrives_unmixed(wire: WireName) -> None:
    messages = {
        number: [
            Random(f"{number} {index}").randbytes(size)
            for index, size in enumerate((10, READ_SIZE + 7, 0, 3, 70_000, 2 * READ_SIZE, 1))
        ]
        for number in range(4)
    }

    async def speak(number: int, address: tuple[str, int]) -> None:
        async with open_node() as node, node.open_drive(KEY) as drive, drive.join("chat") as chat:
            await node.connect_tcp(*address, wire=wire)
            async with drive.watch() as events:
                peer_id = (await events.receive()).peer_id
            for message in [bytes([number]), *messages[number]]:
                await chat.send(peer_id, message)
            await trio.sleep_forever()

    heard: dict[int, list[bytes]] = {}
    with limited():
        async with open_node() as ours, ours.open_drive(KEY) as drive, drive.join("chat") as chat:
            (listener,) = await ours.listen_tcp(0, host=LOOPBACK)
            async with trio.open_nursery() as nursery:
                for number in messages:
                    nursery.start_soon(speak, number, listener.address)
                while sum(map(len, heard.values())) < 8 * len(messages):
                    message = await chat.receive()
                    heard.setdefault(message.peer_id, []).append(message.message)
                nursery.cancel_scope.cancel()
    assert {said[0][0]: said[1:] for said in heard.values()} == messages


# Connecting


@pytest.mark.parametrize("host", [LOOPBACK, "localhost", "::1"])
async def test_connecting_to_addresses_and_names(host: str) -> None:
    if host == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    family = socket.AF_INET6 if host == "::1" else socket.AF_INET
    with limited(), trio.socket.socket(family) as listening:
        await listening.bind(("::1" if host == "::1" else LOOPBACK, 0))
        listening.listen()
        async with await connect(host, listening.getsockname()[1]) as stream:
            accepted, _ = await listening.accept()
            with accepted:
                assert ipaddress.ip_address(stream.socket.getpeername()[0]).is_loopback
                assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("host", [LOOPBACK, "::1"])
async def test_a_port_that_nobody_listens_on(host: str) -> None:
    if host == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    port = unused_port()
    with pytest.raises(OSError, match="all attempts to connect") as caught:
        await connect(host, port)
    place = f"[::1]:{port}" if host == "::1" else f"{host}:{port}"
    assert explain(caught.value) == f"all attempts to connect to {place} failed: Connection refused"


async def test_cancelled_while_connecting_it_leaves_nothing_open() -> None:
    # A socket left open would be a ResourceWarning, and so an error.
    with trio.CancelScope() as scope:
        scope.cancel()
        await connect(LOOPBACK, unused_port())
    assert scope.cancelled_caught
