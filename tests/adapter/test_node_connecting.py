"""`peersockets_trio.node`: connecting, listening, and their cancellation."""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing

from adapter.support import (
    KEY,
    LOOPBACK,
    WIRE,
    all_tasks_blocked,
    attach,
    connect_tcp,
    limited,
    raw_member,
    tasks,
    tcp_server,
)
from peersockets_trio import (
    ConnectionInfo,
    Limits,
    Node,
    RemoteProtocolError,
    open_node,
)
from peersockets_trio.testing import cancelled_at_every_step, join_side
from ports import unused_port

LINGER = 7.0


# Connecting


async def test_connecting_returns_the_facts() -> None:
    async with open_node() as alice, open_node() as bob:
        (listener,) = await bob.listen_tcp(0, host=LOOPBACK)
        assert listener.address[0] == LOOPBACK
        info = await alice.connect_tcp(*listener.address, wire=WIRE)
        assert info == ConnectionInfo(bob.public_keys[WIRE], WIRE, listener.address)


async def test_attaching_returns_the_facts() -> None:
    streams = trio.testing.memory_stream_pair()
    infos = {}

    async def attach_one(name: str, node: Node, stream: trio.abc.Stream, initiator: bool) -> None:
        infos[name] = await node.attach(stream, wire=WIRE, initiator=initiator)

    async with open_node() as alice, open_node() as bob:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(attach_one, "alice", alice, streams[0], True)
            nursery.start_soon(attach_one, "bob", bob, streams[1], False)
        assert infos == {
            "alice": ConnectionInfo(bob.public_keys[WIRE], WIRE, None),
            "bob": ConnectionInfo(alice.public_keys[WIRE], WIRE, None),
        }


async def test_a_refused_connection_leaves_the_node_as_it_was() -> None:
    async with open_node() as alice, open_node() as bob:
        with pytest.raises(OSError, match=LOOPBACK):
            await alice.connect_tcp(LOOPBACK, unused_port(), wire=WIRE)
        assert not tasks(alice)
        await connect_tcp(alice, bob)
        assert len(tasks(alice)) == 1


async def test_connecting_to_itself() -> None:
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive, drive.watch() as events:
            (listener,) = await node.listen_tcp(0, host=LOOPBACK)
            with pytest.raises(RemoteProtocolError, match="ourselves"):
                await node.connect_tcp(*listener.address, wire=WIRE)
            await all_tasks_blocked()
            assert not tasks(node)
            assert not drive.peers
            with pytest.raises(trio.WouldBlock):
                events.receive_nowait()


async def _say_garbage(stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 20)
    await stream.receive_some()


async def _say_nothing(stream: trio.SocketStream) -> None:
    while await stream.receive_some():
        pass


async def _hang_up(stream: trio.SocketStream) -> None:
    await stream.aclose()


async def _read_and_hang_up(stream: trio.SocketStream) -> None:
    await stream.receive_some()


BREAKS_OFF = (RemoteProtocolError, trio.BrokenResourceError, OSError)


@pytest.mark.parametrize(
    ("server", "error", "text"),
    [
        (_say_garbage, RemoteProtocolError, "handshake"),
        (_say_nothing, RemoteProtocolError, "no handshake within 0.1 seconds"),
        (_hang_up, BREAKS_OFF, None),
        (_read_and_hang_up, RemoteProtocolError, "before the handshake was finished"),
    ],
)
async def test_the_other_end_is_no_peer(
    server: Callable[[trio.SocketStream], Awaitable[None]], error: Any, text: str | None
) -> None:
    with limited():
        async with open_node(limits=Limits(handshake_time=0.1)) as node, open_node() as bob:
            async with tcp_server(server) as address:
                with pytest.raises(error, match=text):
                    await node.connect_tcp(*address, wire=WIRE)
                await all_tasks_blocked()
                assert not tasks(node)
            await connect_tcp(node, bob)


async def test_two_initiators_are_refused() -> None:
    async def initiate(node: Node, stream: trio.abc.Stream) -> None:
        with pytest.raises((RemoteProtocolError, trio.BrokenResourceError)):
            await attach(node, stream, True)

    streams = trio.testing.memory_stream_pair()
    with limited():
        async with open_node() as alice, open_node() as bob, trio.open_nursery() as nursery:
            nursery.start_soon(initiate, alice, streams[0])
            nursery.start_soon(initiate, bob, streams[1])


async def test_a_stream_that_is_already_broken_is_closed_too() -> None:
    """The stream belongs to the node from the call on."""
    with socket.create_server((LOOPBACK, 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()  # resets
    client.setblocking(False)
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(client))
    try:
        with limited():
            async with open_node() as node:
                with pytest.raises(BREAKS_OFF):
                    await node.attach(stream, wire=WIRE, initiator=True)
                await all_tasks_blocked()
                assert stream.socket.fileno() == -1
    finally:
        await trio.aclose_forcefully(stream)


async def test_connections_beyond_the_limit_are_closed() -> None:
    with limited():
        async with (
            open_node(limits=Limits(connections=1)) as node,
            open_node() as first,
            open_node() as second,
            node.open_drive(KEY) as drive,
            first.open_drive(KEY),
        ):
            (listener,) = await node.listen_tcp(0, host=LOOPBACK)
            await first.connect_tcp(*listener.address, wire=WIRE)
            await join_side(node, drive)
            with pytest.raises(BREAKS_OFF):
                await second.connect_tcp(*listener.address, wire=WIRE)
            assert len(tasks(node)) == len(tasks(first)) == 1


async def test_a_closed_listener_keeps_its_connections() -> None:
    with limited():
        async with open_node() as alice, open_node() as bob, open_node() as carol:
            (listener,) = await bob.listen_tcp(0, host=LOOPBACK)
            async with alice.open_drive(KEY) as alice_drive, bob.open_drive(KEY) as bob_drive:
                await alice.connect_tcp(*listener.address, wire=WIRE)
                alice_side = await join_side(alice, alice_drive)
                await listener.aclose()
                await listener.aclose()
                with pytest.raises(OSError, match=LOOPBACK):
                    await carol.connect_tcp(*listener.address, wire=WIRE)
                async with alice_drive.join("chat") as sender, bob_drive.join("chat") as receiver:
                    await sender.send(alice_side.peer_id, b"still here")
                    assert (await receiver.receive()).message == b"still here"
            assert await bob.listen_tcp(listener.address[1], host=LOOPBACK)


class TwoAddresses(trio.abc.HostnameResolver):
    """A host with two addresses."""

    async def getaddrinfo(self, host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, int(port)))
            for address in ("127.0.0.1", "127.0.0.2")
        ]

    async def getnameinfo(self, *arguments: Any) -> Any:
        raise NotImplementedError


@pytest.fixture
async def two_addresses() -> None:
    trio.socket.set_custom_hostname_resolver(TwoAddresses())


async def test_listening_on_every_address_of_a_host(two_addresses: None) -> None:
    async with open_node() as alice, open_node() as bob:
        listeners = await alice.listen_tcp(0, host="two.example")
        assert [listener.address[0] for listener in listeners] == ["127.0.0.1", "127.0.0.2"]
        for listener in listeners:
            await bob.connect_tcp(*listener.address, wire=WIRE)


# Cancellation


async def test_listening_cancelled_at_every_step(two_addresses: None) -> None:
    """No socket stays open: the fixture of all these tests would notice one."""
    with limited():
        async with open_node() as node:

            async def listen() -> None:
                for listener in await node.listen_tcp(0, host="two.example"):
                    await listener.aclose()

            assert await cancelled_at_every_step(listen) >= 2


async def test_connecting_cancelled_at_every_step() -> None:
    with limited():
        async with open_node() as alice, open_node() as bob:
            (listener,) = await bob.listen_tcp(0, host=LOOPBACK)
            cancelled = await cancelled_at_every_step(lambda: alice.connect_tcp(*listener.address, wire=WIRE))
            assert cancelled >= 2
            await all_tasks_blocked()
            assert len(tasks(alice)) == len(tasks(bob)) == 1


async def test_attaching_cancelled_at_every_step() -> None:
    with limited():
        async with open_node() as alice, open_node() as bob, trio.open_nursery() as nursery:
            ends: list[trio.abc.Stream] = []

            async def answer(stream: trio.abc.Stream) -> None:
                with suppress(RemoteProtocolError, trio.BrokenResourceError):
                    await attach(bob, stream, False)

            async def attach_new() -> None:
                ours, theirs = trio.testing.memory_stream_pair()
                ends.append(theirs)
                nursery.start_soon(answer, theirs)
                await attach(alice, ours, True)

            assert await cancelled_at_every_step(attach_new) >= 1
            await all_tasks_blocked()
            assert len(ends) >= 2
            assert len(tasks(alice)) == len(tasks(bob)) == 1


class SlowAddress(trio.abc.HostnameResolver):
    """A host whose address takes its time."""

    def __init__(self) -> None:
        self.asked = trio.Event()
        self.answer = trio.Event()

    async def getaddrinfo(self, host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        self.asked.set()
        await self.answer.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (LOOPBACK, int(port)))]

    async def getnameinfo(self, *arguments: Any) -> Any:
        raise NotImplementedError


async def test_connecting_when_the_node_has_left_meanwhile() -> None:
    resolver = SlowAddress()
    trio.socket.set_custom_hostname_resolver(resolver)
    outcome: list[BaseException] = []

    async def connect(node: Node, port: int) -> None:
        try:
            await node.connect_tcp("slow.example", port, wire=WIRE)
        except Exception as error:
            outcome.append(error)

    with limited():
        async with open_node() as bob, trio.open_nursery() as nursery:
            (listener,) = await bob.listen_tcp(0, host=LOOPBACK)
            async with open_node() as alice:
                nursery.start_soon(connect, alice, listener.address[1])
                await resolver.asked.wait()
            resolver.answer.set()
        assert [type(error) for error in outcome] == [trio.ClosedResourceError]


async def test_connecting_while_the_node_is_leaving(autojump_clock: trio.testing.MockClock) -> None:
    """Leaving lasts exactly as long as `linger`, although another remote connects meanwhile."""
    resolver = SlowAddress()
    trio.socket.set_custom_hostname_resolver(resolver)

    async def connect(node: Node, port: int) -> None:
        with suppress(trio.ClosedResourceError, trio.BrokenResourceError):
            await node.connect_tcp("slow.example", port, wire=WIRE)

    async def leave_to_a_deaf_member(port: int) -> None:
        async with open_node(limits=Limits(linger=LINGER)) as alice, alice.open_drive(KEY) as drive:
            await raw_member(alice)
            side = await join_side(alice, drive)
            drive.join("chat").send_nowait(side.peer_id, b"unread")
            nursery.start_soon(connect, alice, port)
            await resolver.asked.wait()
            start = trio.current_time()
        assert trio.current_time() - start == LINGER
        nursery.cancel_scope.cancel()

    with limited():
        async with open_node() as bob:
            (listener,) = await bob.listen_tcp(0, host=LOOPBACK)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(leave_to_a_deaf_member, listener.address[1])
                await resolver.asked.wait()
                await all_tasks_blocked(0)  # leaving has begun
                resolver.answer.set()
