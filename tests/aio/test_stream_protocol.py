"""`peersockets_asyncio.stream_protocol`: slices of work, back pressure, deadlines, and the end."""

from __future__ import annotations

import asyncio
import socket
import struct

import attrs
import pytest

from aio.support import HOST, KEY, SMALL, Side, fill, in_loop, meet
from peersockets_asyncio import PeerLeft, open_node
from peersockets_core import Limits


@in_loop
async def test_a_read_of_many_small_messages_is_processed_in_slices() -> None:
    limits = Limits(receive_messages=200_000, send_buffer=16 * 1024 * 1024)
    async with meet(limits=limits) as (alice, bob):
        await alice.chat.send(alice.peer_id, b"the last of what was on its way")
        await bob.chat.receive()
        for number in range(20_000):
            assert alice.chat.send_nowait(alice.peer_id, b"%d" % number)
        [ours] = alice.node.machine.peer(alice.peer_id).links
        [theirs] = bob.node.machine.peer(bob.peer_id).links
        data = ours.connection.data_to_send(asyncio.get_running_loop().time())
        theirs.connection.owner.data_received(bytes(data))
        assert bob.chat.statistics().received_messages < 10_000
        assert theirs.connection.has_input
        for number in range(20_000):
            assert (await bob.chat.receive()).message == b"%d" % number


@in_loop
async def test_a_full_topic_stops_the_reading_and_nothing_is_lost() -> None:
    async with meet(limits=SMALL) as (alice, bob):
        sending = asyncio.create_task(send_all(alice))
        received = [(await bob.chat.receive()).message for _ in range(500)]
        assert [int(message[:8]) for message in received] == list(range(500))
        await sending


async def send_all(alice: Side) -> None:
    for number in range(500):
        await alice.chat.send(alice.peer_id, (b"%08d" % number).ljust(8192))


@in_loop
async def test_a_silent_remote_is_given_up() -> None:
    limits = attrs.evolve(Limits(), silence=0.3, keepalive=0.1)
    async with open_node(limits=limits) as alice, open_node() as bob:
        [listener] = await bob.listen_tcp(0, host=HOST)
        drive = alice.open_drive(KEY)
        bob.open_drive(KEY)
        await alice.connect_tcp(*listener.address, wire="hypercore9")
        events = drive.watch()
        await events.receive()
        left = await events.receive()
        assert isinstance(left, PeerLeft)
        assert left.reason == "nothing received for 0.3 seconds"


@in_loop
async def test_a_remote_that_does_not_read_to_our_end_is_cut_off() -> None:
    """This takes no longer than `Limits.linger`, and the leave reports the unsent messages."""
    limits = attrs.evolve(SMALL, linger=0.2)
    async with meet(limits=limits) as (alice, bob):
        await fill(alice)
        events = alice.drive.watch()
        await events.receive()
        leaving = asyncio.ensure_future(events.receive())
        await alice.node.aclose()
        left = await leaving
        assert isinstance(left, PeerLeft)
        assert left.unsent > 0
        assert not alice.node.machine.connections
        assert bob.peer_id


@pytest.mark.parametrize("wire", ["hypercore9", "hypercore11"])
@in_loop
async def test_a_cut_line(wire: str) -> None:
    async with meet(wire=wire) as (alice, bob):  # type: ignore[arg-type]
        bob.node.abort()
        left = await alice.events.receive()
        assert isinstance(left, PeerLeft)
        assert not alice.drive.peers


@in_loop
async def test_a_stream_that_the_remote_has_just_reset_ends_without_an_error() -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server((HOST, 0)) as server:
        server.setblocking(False)
        async with open_node() as node:
            dial = asyncio.create_task(node.connect_tcp(*server.getsockname(), wire="hypercore11"))
            remote, _ = await loop.sock_accept(server)
            await loop.sock_recv(remote, 1)
            remote.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            remote.close()
            await node.aclose()
            with pytest.raises(ConnectionResetError):
                await dial
