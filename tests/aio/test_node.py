"""`peersockets_asyncio.node`: connecting, refusing, closing."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from aio.support import HOST, KEY, in_loop, meet, until
from peersockets_asyncio import ConnectionInfo, PeerLeft, open_node
from peersockets_core import (
    Limits,
    LocalProtocolError,
    Refused,
    RemoteProtocolError,
    UnexpectedKey,
    UnknownPeer,
)
from ports import unused_port


@pytest.mark.parametrize(
    ("arguments", "options", "error", "text"),
    [
        ((HOST, 0), {}, ValueError, "port must be from 1 to 65535, not 0"),
        ((HOST, "1"), {}, TypeError, "port must be int, not str"),
        ((7, 1), {}, TypeError, "host must be str, not int"),
        ((HOST, 1), {"wire": "hypercore8"}, ValueError, "wire must be one of"),
        ((HOST, 1), {"expect": "zz"}, ValueError, "expect"),
        ((HOST, 1), {"timeout": -1}, ValueError, "timeout must be 0 seconds or more, not -1"),
    ],
)
@in_loop
async def test_bad_arguments(
    arguments: tuple[Any, Any], options: dict[str, Any], error: type[Exception], text: str
) -> None:
    async with open_node() as node:
        with pytest.raises(error, match=text):
            await node.connect_tcp(*arguments, **{"wire": "hypercore9", **options})
    with pytest.raises(LocalProtocolError, match="this Node is closed"):
        await node.connect_tcp(HOST, 1, wire="hypercore9")
    with pytest.raises(LocalProtocolError, match="this Node is closed"):
        await node.listen_tcp(0, host=HOST)


@in_loop
async def test_nobody_listens() -> None:
    async with open_node() as node:
        with pytest.raises(ConnectionRefusedError):
            await node.connect_tcp(HOST, unused_port(), wire="hypercore9")


@in_loop
async def test_a_remote_that_says_nothing_or_something_else() -> None:
    async def mumble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)
        writer.close()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    for behave, limits, error, text in (
        (mumble, Limits(), RemoteProtocolError, "handshake"),
        (
            listen,
            Limits(handshake_time=0.05),
            RemoteProtocolError,
            "no handshake within 0",
        ),
        (hang_up, Limits(), (RemoteProtocolError, ConnectionError), "closed|ended|reset"),
    ):
        server = await asyncio.start_server(behave, HOST, 0)
        async with open_node(limits=limits) as node:
            with pytest.raises(error, match=text):
                await node.connect_tcp(*server.sockets[0].getsockname(), wire="hypercore11")
        server.close()


@in_loop
async def test_a_dial_that_is_cancelled_leaves_nothing() -> None:
    connected, gone = asyncio.Event(), asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        gone.set()

    server = await asyncio.start_server(listen, HOST, 0)
    async with open_node() as node:
        address = server.sockets[0].getsockname()
        dial = asyncio.create_task(node.connect_tcp(*address, wire="hypercore11"))
        await connected.wait()
        dial.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dial
        await gone.wait()
        await until(lambda: not (node.machine.connections))
    server.close()


@in_loop
async def test_the_application_refuses() -> None:
    async def refuse(info: ConnectionInfo) -> None:
        raise Refused(f"not {info.public_key.hex()[:4]}")

    async with open_node(authenticate=refuse) as alice, open_node() as bob:
        [listener] = await alice.listen_tcp(0, host=HOST)
        [other] = await bob.listen_tcp(0, host=HOST)
        drive = bob.open_drive(KEY)
        alice.open_drive(KEY)
        with pytest.raises(Refused, match=f"not {bob.public_keys['hypercore9'].hex()[:4]}"):
            await alice.connect_tcp(*other.address, wire="hypercore9")
        await bob.connect_tcp(*listener.address, wire="hypercore9")
        await until(lambda: not (bob.machine.connections))
        assert not drive.peers


@in_loop
async def test_a_decision_that_takes_too_long() -> None:
    async def wait(info: ConnectionInfo) -> None:
        await asyncio.Event().wait()

    async with (
        open_node(authenticate=wait, limits=Limits(handshake_time=0.2)) as alice,
        open_node() as bob,
    ):
        [listener] = await bob.listen_tcp(0, host=HOST)
        with pytest.raises(Refused, match=r"no decision within 0\.2 seconds"):
            await alice.connect_tcp(*listener.address, wire="hypercore11")


@in_loop
async def test_a_different_key_than_expected() -> None:
    async with open_node() as alice, open_node() as bob:
        [listener] = await bob.listen_tcp(0, host=HOST)
        with pytest.raises(UnexpectedKey):
            await alice.connect_tcp(*listener.address, wire="hypercore11", expect=bytes(32))
        key = bob.public_keys["hypercore11"]
        info = await alice.connect_tcp(*listener.address, wire="hypercore11", expect=key)
        assert info == ConnectionInfo(key, "hypercore11", listener.address)


@in_loop
async def test_a_listener_that_is_closed() -> None:
    async with open_node() as alice, open_node() as bob:
        [listener] = await bob.listen_tcp(0, host=HOST)
        await listener.aclose()
        with pytest.raises(OSError, match="Connect call failed"):
            await alice.connect_tcp(*listener.address, wire="hypercore11")


@in_loop
async def test_the_oldest_stranger_gives_way() -> None:
    async with open_node(limits=Limits(connections=2)) as alice, open_node() as bob, open_node() as carol:
        [listener] = await alice.listen_tcp(0, host=HOST)
        await bob.connect_tcp(*listener.address, wire="hypercore9")
        await until(lambda: alice.machine.oldest_stranger() is not None)
        for node in (carol, carol):
            await node.connect_tcp(*listener.address, wire="hypercore11")
        await until(lambda: not (bob.machine.connections))
        await until(lambda: alice.machine.connections <= 2)


@in_loop
async def test_leaving_the_block_sends_what_was_accepted() -> None:
    async with open_node() as bob:
        [listener] = await bob.listen_tcp(0, host=HOST)
        drive = bob.open_drive(KEY)
        chat, events = drive.join("chat"), drive.watch()
        async with open_node() as alice:
            await alice.connect_tcp(*listener.address, wire="hypercore11")
            ours = alice.open_drive(KEY)
            joined = await ours.watch().receive()
            await ours.join("chat").send(joined.peer_id, bytes(1_000_000))
        assert len((await chat.receive()).message) == 1_000_000
        assert isinstance(await events.receive(), type(joined))
        left = await events.receive()
        assert isinstance(left, PeerLeft)
        assert (left.reason, left.unsent) == ("", 0)


@in_loop
async def test_an_exception_closes_everything_at_once() -> None:
    with pytest.raises(KeyError):
        async with meet() as (alice, bob):
            raise KeyError
    assert alice.node.closed
    assert bob.node.closed


@in_loop
async def test_a_peer_that_is_known_by_its_id() -> None:
    async with meet() as (alice, bob):
        info = alice.node.peer(alice.peer_id)
        assert info.public_key == bob.node.public_keys["hypercore11"]
        assert info.address is not None
        assert info.drives == (alice.drive.key,)
        with pytest.raises(UnknownPeer):
            alice.node.peer(99)


@in_loop
async def test_a_peer_that_comes_back_on_a_second_connection_is_one_member() -> None:
    async with meet() as (alice, bob):
        [listener] = await bob.node.listen_tcp(0, host=HOST)
        await alice.node.connect_tcp(*listener.address, wire="hypercore11")
        await alice.chat.send(alice.peer_id, b"still here")
        assert (await bob.chat.receive()).message == b"still here"
        await until(lambda: not (alice.node.machine.connections > 1 or bob.node.machine.connections > 1))
        assert list(alice.drive.peers) == [alice.peer_id]
        await bob.chat.send(bob.peer_id, b"here, too")
        assert (await alice.chat.receive()).message == b"here, too"
