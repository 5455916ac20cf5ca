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
async def test_bad_arguments_are_refused(
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
async def test_dialling_a_port_without_a_listener() -> None:
    async with open_node() as node:
        with pytest.raises(ConnectionRefusedError):
            await node.connect_tcp(HOST, unused_port(), wire="hypercore9")


@in_loop
async def test_a_remote_that_sends_nothing_or_something_else() -> None:
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
async def test_a_cancelled_dial_leaves_nothing() -> None:
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
async def test_the_application_refuses_a_remote() -> None:
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
async def test_a_closed_listener() -> None:
    async with open_node() as alice, open_node() as bob:
        [listener] = await bob.listen_tcp(0, host=HOST)
        await listener.aclose()
        with pytest.raises(OSError, match="Connect call failed"):
            await alice.connect_tcp(*listener.address, wire="hypercore11")


@in_loop
async def test_leaving_the_block_sends_accepted_messages() -> None:
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
async def test_a_node_that_is_closed_closes_its_drives_and_wakes_their_receivers() -> None:
    async with open_node() as node:
        drive = node.open_drive(KEY)
        chat, events = drive.join("chat"), drive.watch()
        receiving = [asyncio.ensure_future(handle.receive()) for handle in (chat, events)]
        iterating = asyncio.ensure_future(anext(drive.join("chat"), None))
        await asyncio.sleep(0)
        await node.aclose()
        for task in receiving:
            with pytest.raises(LocalProtocolError, match="is closed"):
                await task
        assert await iterating is None
        assert (node.closed, drive.closed, chat.closed, events.closed) == (True,) * 4


@in_loop
async def test_reprs_show_the_state_and_no_key() -> None:
    async with meet() as (alice, bob):
        await bob.chat.send(bob.peer_id, b"hello")
        await until(lambda: alice.chat.statistics().waiting_messages == 1)
        shown = alice.node, alice.drive, alice.chat, alice.events
        assert list(map(repr, shown)) == [
            "<Node 1 connections, 1 drives>",
            f"<Drive {alice.drive.key}, 1 members, 2 handles>",
            f"<Topic 'chat' of {alice.drive.key}, 1 messages wait>",
            f"<PeerEvents of {alice.drive.key}, 0 events wait>",
        ]
        await alice.node.aclose()
        assert list(map(repr, shown)) == [
            "<Node, closed>",
            f"<Drive {alice.drive.key}, closed>",
            f"<Topic 'chat' of {alice.drive.key}, closed>",
            f"<PeerEvents of {alice.drive.key}, closed>",
        ]
