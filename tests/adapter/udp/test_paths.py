"""`peersockets_trio.udp.paths`: sockets beside the main one, as hole punching needs them."""

from __future__ import annotations

import resource
import sys
from typing import Final

import trio

from adapter.support import LOOPBACK
from adapter.udp.support import pair, sockets
from peersockets_core.address import PathAddress
from peersockets_trio.udp import UdpSocket, open_udp_socket

PATH: Final = 7
IP_RECVTTL: Final = 12
"""A constant of Linux that the standard library does not have."""


async def test_a_stream_over_another_path() -> None:
    """A path has a socket of its own, which opens with the first datagram."""
    data = bytes(range(256)) * 4000
    async with sockets() as (alice, bob), trio.open_nursery() as nursery:
        seen = await hear_from_path(alice, bob)
        ours, theirs = alice.open_stream(1), bob.open_stream(1001)
        theirs.connect(1, seen)
        ours.connect(1001, (*bob.address, PATH))
        nursery.start_soon(ours.send_all, data)
        received = bytearray()
        while len(received) < len(data):
            received += await theirs.receive_some()
        assert received == data
        await theirs.send_all(b"back")
        assert await ours.receive_some() == b"back"
        alice.close_idle_paths(())
        assert list(alice.paths) == [PATH]  # a stream uses it
        await ours.aclose()
        await theirs.aclose()
        alice.close_idle_paths((PATH,))
        assert list(alice.paths) == [PATH]
        alice.close_idle_paths(())
        assert not alice.paths


async def test_an_early_packet_at_a_path_names_the_path() -> None:
    async with sockets() as (alice, bob):
        seen = await hear_from_path(alice, bob)
        ours, theirs = alice.open_stream(1), bob.connect(1001, 1, seen)
        await theirs.send_all(b"early")
        assert await ours.wait_early() == (*bob.address, PATH)
        ours.connect(1001, (*bob.address, PATH))
        assert await ours.receive_some() == b"early"
        await theirs.send_all(b"later")
        assert await ours.receive_some() == b"later"


async def test_a_stream_moves_to_another_path() -> None:
    async with sockets() as (alice, bob):
        ours, theirs = pair(alice, bob)
        await ours.send_all(b"first")
        assert await theirs.receive_some() == b"first"
        seen = await hear_from_path(alice, bob)
        ours.change_remote(1001, (*bob.address, PATH))
        theirs.change_remote(1, seen)
        await ours.send_all(b"second")
        assert await theirs.receive_some() == b"second"
        await theirs.send_all(b"third")
        assert await ours.receive_some() == b"third"
        assert ours.core.remote_address == (*bob.address, PATH)


async def test_a_datagram_at_a_path_names_the_path() -> None:
    async with sockets() as (alice, bob):
        seen = await hear_from_path(alice, bob)
        heard: list[PathAddress] = []
        came = trio.Event()

        def note(data: memoryview, source: PathAddress) -> None:
            heard.append(source)
            came.set()

        alice.on_datagram = note
        bob.send_datagram(b"note", (seen[0], seen[1]))
        await came.wait()
        assert heard == [(*bob.address, PATH)]


async def test_the_last_packet_of_a_stream_on_a_path_that_is_closed() -> None:
    async with sockets() as (alice, bob):
        seen = await hear_from_path(alice, bob)
        ours = alice.open_stream(1)
        bob.connect(1001, 1, seen)
        ours.connect(1001, (*bob.address, PATH))
        ours.core.destroy()  # its farewell is queued, and nothing has sent it yet
        alice.close_idle_paths(())
        alice.wake()
        assert not alice.paths


async def test_a_path_sends_with_the_ttl_that_is_asked_for() -> None:
    async with sockets() as (alice, _):
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
            await sock.bind((LOOPBACK, 0))
            sock.setsockopt(trio.socket.IPPROTO_IP, IP_RECVTTL, 1)
            for ttl in (5, 64, 5):
                alice.paths.send(PATH, b"probe", sock.getsockname(), ttl)
            ttls = [int.from_bytes((await sock.recvmsg(10, 100))[1][0][2], sys.byteorder) for _ in range(3)]
        assert ttls == [5, 64, 5]


async def test_without_room_for_another_socket() -> None:
    async with sockets() as (alice, bob):
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, limits[1]))
        try:
            alice.paths.send(PATH, b"probe", bob.address, 64)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert not alice.paths


async def test_a_closed_socket_opens_no_paths() -> None:
    async with sockets() as (_, bob), open_udp_socket(LOOPBACK) as alice:
        await hear_from_path(alice, bob)
        alice.shut()
        assert not alice.paths
        alice.paths.send(PATH, b"probe", bob.address, 64)
        assert not alice.paths


async def hear_from_path(alice: UdpSocket, bob: UdpSocket) -> PathAddress:
    """Let Alice send from another socket. Return its address."""
    heard: list[PathAddress] = []
    came = trio.Event()

    def note(data: memoryview, source: PathAddress) -> None:
        assert bytes(data) == b"\0"
        heard.append(source)
        came.set()

    bob.on_datagram = note
    alice.paths.send(PATH, b"\0", bob.address, 64)
    await came.wait()
    bob.on_datagram = None
    assert heard[0] != alice.address
    return heard[0]
