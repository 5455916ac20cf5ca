"""`peersockets_trio.node`: listening, connecting, leaving."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
import trio.testing

from adapter.support import (
    KEY,
    LARGER_KEY,
    LOOPBACK,
    OTHER_KEY,
    SMALLER_KEY,
    WIRE,
    all_tasks_blocked,
    attach,
    connect_hypercore11,
    connect_lockstep,
    connect_memory,
    connect_tcp,
    fill,
    limited,
    meet,
    raw_member,
    raw_peer,
    tasks,
    tcp_server,
)
from peersockets_trio import (
    DEFAULT_LIMITS,
    ConnectionInfo,
    Drive,
    KeyPair,
    Limits,
    Node,
    PeerEvents,
    PeerGone,
    PeerJoined,
    PeerLeft,
    RemoteProtocolError,
    Topic,
    UnknownPeer,
    open_node,
)
from peersockets_trio.runtime.connection_task import attached
from peersockets_trio.testing import Connect, NodeSide, cancelled_at_every_step, join_side
from ports import unused_port

SEED = bytes(range(32))


# Identity


async def test_the_key_pair_is_the_identity() -> None:
    key_pair = KeyPair(SEED)
    async with open_node(key_pair=key_pair) as node:
        assert node.public_keys == key_pair.public_keys
        with pytest.raises(TypeError):
            node.public_keys["hypercore9"] = b""  # type: ignore[index]


async def test_a_node_without_key_pair_has_a_new_identity() -> None:
    async with open_node() as alice, open_node() as bob:
        assert alice.public_keys != bob.public_keys


# Bad use


@pytest.mark.parametrize(
    ("port", "error"),
    [(-1, ValueError), (65536, ValueError), ("80", TypeError), (None, TypeError), (1.5, TypeError)],
)
async def test_ports_that_are_none(port: Any, error: type[Exception]) -> None:
    async with open_node() as node:
        with pytest.raises(error, match="port"):
            await node.listen_tcp(port, host=LOOPBACK)
        with pytest.raises(error, match="port"):
            await node.connect_tcp(LOOPBACK, port, wire=WIRE)


async def test_nobody_can_be_called_on_port_zero() -> None:
    async with open_node() as node:
        with pytest.raises(ValueError, match="port must be from 1 to 65535, not 0"):
            await node.connect_tcp(LOOPBACK, 0, wire=WIRE)


async def test_unknown_wires() -> None:
    wire: Any = "hypercore8"
    stream, other = trio.testing.memory_stream_pair()
    async with open_node() as node:
        with pytest.raises(ValueError, match=r"wire must be one of hypercore9.*'hypercore8'"):
            await node.connect_tcp(LOOPBACK, 1, wire=wire)
        with pytest.raises(ValueError, match="wire must be one of"):
            await node.attach(stream, wire=wire, initiator=True)
    await stream.aclose()
    await other.aclose()


@pytest.mark.parametrize(
    ("key", "error"),
    [
        ("", ValueError),
        ("hyper://", ValueError),
        ("00" * 31, ValueError),
        ("0g" * 32, ValueError),
        ("\udc80" * 64, ValueError),
        ("https://example.org/", ValueError),
        (b"short", ValueError),
        (bytes(33), ValueError),
        (None, TypeError),
        (7, TypeError),
    ],
)
async def test_what_is_not_a_drive_key(key: Any, error: type[Exception]) -> None:
    async with open_node() as node:
        with pytest.raises(error, match="key"):
            node.open_drive(key)


async def test_unknown_topic_scopes() -> None:
    scope: Any = "planet"
    async with open_node() as node:
        with pytest.raises(ValueError, match="topic_scope must be one of drive, network, not 'planet'"):
            node.open_drive(KEY, topic_scope=scope)


async def test_a_port_in_use_leaves_the_node_as_it_was() -> None:
    async with open_node() as node:
        (listener,) = await node.listen_tcp(0, host=LOOPBACK)
        with pytest.raises(OSError, match="in use") as caught:
            await node.listen_tcp(listener.address[1], host=LOOPBACK)
        assert caught.value.errno == errno.EADDRINUSE
        assert await node.listen_tcp(0, host=LOOPBACK)


async def test_a_closed_node() -> None:
    async with open_node() as node:
        drive = node.open_drive(KEY)
        topic = drive.join("chat")
        events = drive.watch()
    stream, other = trio.testing.memory_stream_pair()
    assert drive.closed
    assert topic.closed
    assert events.closed
    for use in (
        lambda: node.listen_tcp(0, host=LOOPBACK),
        lambda: node.connect_tcp(LOOPBACK, 1, wire=WIRE),
        lambda: node.attach(stream, wire=WIRE, initiator=True),
    ):
        with pytest.raises(trio.ClosedResourceError):
            await use()
    with pytest.raises(trio.ClosedResourceError):
        node.open_drive(KEY)
    await stream.aclose()
    await other.aclose()


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


async def test_a_stream_that_is_dead_already_is_closed_all_the_same() -> None:
    """It belongs to the node from the call on."""
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
    """A host that has two addresses."""

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
    """No socket stays open: the fixture of all these tests would notice."""
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
    """Leaving lasts as long as `linger` and no longer, whoever comes meanwhile."""
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


# Peers


@pytest.mark.parametrize("peer_id", [0, 1, -1, 2**70])
async def test_unknown_peers(peer_id: int) -> None:
    async with open_node() as node:
        with pytest.raises(UnknownPeer, match=f"peer_id {peer_id} ") as caught:
            node.peer(peer_id)
        assert caught.value.peer_id == peer_id


@pytest.mark.parametrize("peer_id", ["1", None, 1.0, True])
async def test_what_is_not_a_peer_id(peer_id: Any) -> None:
    async with meet() as (alice, _):
        with pytest.raises(TypeError, match="peer_id must be int"):
            alice.node.peer(peer_id)


async def test_what_is_known_of_a_peer() -> None:
    async with meet(connect_tcp) as (alice, bob):
        peer = alice.node.peer(alice.peer_id)
        assert peer.peer_id == alice.peer_id == 1
        assert peer.public_key == bob.node.public_keys[WIRE]
        assert peer.wire == WIRE
        assert peer.address is not None
        assert peer.address[0] == LOOPBACK
        assert peer.drives == (KEY,)
        assert alice.drive.peers == {alice.peer_id: peer}
        async with alice.node.open_drive(OTHER_KEY) as other, bob.node.open_drive(OTHER_KEY):
            await join_side(alice.node, other)
            assert alice.node.peer(alice.peer_id).drives == (KEY, OTHER_KEY)
        bob.drive.close()
        assert await alice.events.receive() == PeerLeft(1, peer.public_key, WIRE)
        known = alice.node.peer(alice.peer_id)
        assert known.drives == ()
        assert known.address == peer.address


async def test_peer_ids_stay_the_same(autojump_clock: trio.testing.MockClock) -> None:
    """For every drive and watch, and when a key comes back; another key gets another."""
    seeds = [bytes([number]) * 32 for number in (1, 2)]
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive, drive.watch() as events:
            for seed, peer_id in ((seeds[0], 1), (seeds[1], 2), (seeds[0], 1)):
                async with (
                    open_node(key_pair=KeyPair(seed)) as visitor,
                    visitor.open_drive(KEY),
                    visitor.open_drive(OTHER_KEY),
                ):
                    await connect_memory(visitor, node)
                    key = visitor.public_keys[WIRE]
                    assert await events.receive() == PeerJoined(peer_id, key, WIRE)
                    async with node.open_drive(OTHER_KEY) as other:
                        assert (await join_side(node, other)).peer_id == peer_id
                left = await events.receive()
                assert isinstance(left, PeerLeft)
                assert left.peer_id == peer_id
            assert node.peer(1).address is None


# Leaving


LINGER = 7.0


@pytest.mark.parametrize("connect", [connect_tcp, connect_lockstep, connect_hypercore11])
async def test_leaving_sends_what_was_accepted(connect: Connect) -> None:
    """Though the reader is slow."""
    messages = [bytes([number]) * 100_000 for number in range(100)]
    received: list[bytes] = []

    async def read_slowly(inbox: Topic) -> None:
        while len(received) < len(messages):
            received.append((await inbox.receive()).message)
            await all_tasks_blocked(0)

    with limited():
        async with (
            open_node(limits=Limits(receive_bytes=200_000)) as alice,
            alice.open_drive(KEY) as drive,
            drive.join("chat") as inbox,
            drive.watch() as events,
            trio.open_nursery() as nursery,
        ):
            async with open_node(limits=Limits(send_buffer=2**30)) as bob, bob.open_drive(KEY) as bob_drive:
                await connect(bob, alice)
                peer_id = (await join_side(bob, bob_drive)).peer_id
                async with bob_drive.join("chat") as outbox:
                    for message in messages:
                        outbox.send_nowait(peer_id, message)
                nursery.start_soon(read_slowly, inbox)
            assert [type(await events.receive()) for _ in range(2)] == [PeerJoined, PeerLeft]
        assert received == messages


async def test_leaving_closes_what_has_nothing_to_send_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with meet(connect_lockstep) as _:
        start = trio.current_time()
    assert trio.current_time() == start


async def test_leaving_waits_no_longer_than_the_limit(autojump_clock: trio.testing.MockClock) -> None:
    with limited():
        async with open_node(limits=Limits(linger=LINGER)) as node, node.open_drive(KEY) as drive:
            await raw_member(node)
            drive.join("chat").send_nowait((await join_side(node, drive)).peer_id, b"unread")
            start = trio.current_time()
        assert trio.current_time() - start == LINGER


@pytest.mark.parametrize("connect", [connect_lockstep, connect_hypercore11, connect_tcp])
async def test_finishing_returns_once_all_was_taken(connect: Connect) -> None:
    async with (
        meet(connect) as (alice, bob),
        alice.drive.join("chat") as sending,
        bob.drive.join("chat") as receiving,
    ):
        await sending.send(alice.peer_id, bytes(500_000))
        await alice.node.finish()
        left = await alice.events.receive()
        assert isinstance(left, PeerLeft)
        assert (left.peer_id, left.reason, left.unsent) == (alice.peer_id, "", 0)
        assert len((await receiving.receive()).message) == 500_000
        with pytest.raises(PeerGone):
            await sending.send(alice.peer_id, b"late")
        with pytest.raises(trio.ClosedResourceError):
            await alice.node.listen_tcp(0, host=LOOPBACK)
        await alice.node.finish()  # twice is fine


async def test_finishing_names_the_peers_that_did_not_take_all(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with limited():
        async with open_node(limits=Limits(linger=LINGER)) as node, node.open_drive(KEY) as drive:
            await raw_member(node)
            side = await join_side(node, drive)
            drive.join("chat").send_nowait(side.peer_id, bytes(1000))
            assert node.peer(side.peer_id).unsent > 1000  # and what the wire adds
            start = trio.current_time()
            await node.finish()
            assert trio.current_time() - start == LINGER
            left = side.events.receive_nowait()
            assert isinstance(left, PeerLeft)
            assert left.reason == "did not finish in time"
            assert left.unsent > 1000
            assert node.peer(side.peer_id).unsent == 0


class Odd(BaseException):
    """Neither an `Exception` nor known to anybody."""


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("own"),
        Odd("own"),
        trio.ClosedResourceError("own"),
        ExceptionGroup("own", [ValueError()]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_leaving_by_an_exception_is_at_once(
    error: BaseException, autojump_clock: trio.testing.MockClock
) -> None:
    """It comes out as itself, and nobody is waited for."""
    with limited():
        start = trio.current_time()
        with pytest.raises(type(error)) as caught:
            await _leave_by(error)
        assert caught.value is error
        assert trio.current_time() == start


async def _leave_by(error: BaseException) -> None:
    async with open_node() as node, node.open_drive(KEY) as drive:
        await raw_member(node)
        drive.join("chat").send_nowait((await join_side(node, drive)).peer_id, b"unread")
        raise error


async def test_leaving_by_an_exception_within_a_cancellation() -> None:
    error = RuntimeError("own")
    with limited(), trio.CancelScope() as scope:
        scope.cancel()
        with pytest.raises(RuntimeError) as caught:
            await _raise_in_a_node(error)
        assert caught.value is error


async def _raise_in_a_node(error: BaseException) -> None:
    async with open_node():
        raise error


async def test_cancelling_a_node_is_at_once(autojump_clock: trio.testing.MockClock) -> None:
    with limited():
        with trio.move_on_after(1) as scope:
            async with open_node() as node, node.open_drive(KEY) as drive:
                deaf = await raw_member(node)
                drive.join("chat").send_nowait((await join_side(node, drive)).peer_id, b"unread")
                start = trio.current_time()
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert trio.current_time() - start <= 1
        assert drive.closed
        await deaf.until_dropped()


async def test_cancelling_a_node_that_is_leaving(autojump_clock: trio.testing.MockClock) -> None:
    with limited():
        with trio.move_on_after(1) as scope:
            async with open_node(limits=Limits(linger=LINGER)) as node, node.open_drive(KEY) as drive:
                await raw_member(node)
                drive.join("chat").send_nowait((await join_side(node, drive)).peer_id, b"unread")
        assert scope.cancelled_caught
        assert trio.current_time() < LINGER


async def test_an_unfinished_handshake_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    with limited():
        start = trio.current_time()
        async with open_node() as node, raw_peer(node):
            await all_tasks_blocked()
            assert len(tasks(node)) == 1
            await trio.sleep(1)
        assert trio.current_time() - start == 1


async def test_nothing_outlives_the_node() -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    with limited():
        async with (
            open_node() as alice,
            open_node() as bob,
            alice.open_drive(KEY) as drive,
            bob.open_drive(KEY),
        ):
            await connect_tcp(alice, bob)
            await join_side(alice, drive)
            assert trio.lowlevel.current_statistics().tasks_living > before
        assert trio.lowlevel.current_statistics().tasks_living == before
        assert not tasks(alice)
        assert not tasks(bob)


async def test_a_receiver_learns_that_its_node_is_closed() -> None:
    notified = []

    async def receive(receiver: Topic | PeerEvents) -> None:
        with pytest.raises(trio.ClosedResourceError, match=type(receiver).__name__):
            await receiver.receive()
        notified.append(receiver)

    with limited():
        async with trio.open_nursery() as nursery, open_node() as node, node.open_drive(KEY) as drive:
            receivers: list[Topic | PeerEvents] = [drive.join("chat"), drive.watch()]
            for receiver in receivers:
                nursery.start_soon(receive, receiver)
            await all_tasks_blocked(0)
        assert sorted(map(id, notified)) == sorted(map(id, receivers))


# Two connections to one key


@pytest.mark.parametrize("alice_dials", [(True, False), (False, True)])
@pytest.mark.parametrize("connect", [connect_memory, connect_lockstep, connect_tcp, connect_hypercore11])
async def test_simultaneous_connections_are_folded(alice_dials: tuple[bool, bool], connect: Connect) -> None:
    """When both dial, one stays, and nobody leaves or joins for it."""
    async with two_nodes() as (alice, bob, alice_drive, bob_drive):
        async with trio.open_nursery() as nursery:
            for alice_is_first in alice_dials:
                nursery.start_soon(connect, *((alice, bob) if alice_is_first else (bob, alice)))
        await check_folded(await join_side(alice, alice_drive), await join_side(bob, bob_drive))


@pytest.mark.parametrize("keys", [(SMALLER_KEY, LARGER_KEY), (LARGER_KEY, SMALLER_KEY)])
@pytest.mark.parametrize("dialled_again", ["by the same", "by the other"])
async def test_a_second_connection_is_folded(keys: tuple[KeyPair, KeyPair], dialled_again: str) -> None:
    async with two_nodes(*keys) as (alice, bob, alice_drive, bob_drive):
        await connect_tcp(alice, bob)
        sides = await join_side(alice, alice_drive), await join_side(bob, bob_drive)
        await connect_tcp(*((alice, bob) if dialled_again == "by the same" else (bob, alice)))
        await check_folded(*sides)


@pytest.mark.parametrize(
    "keys",
    [
        (SMALLER_KEY, LARGER_KEY),
        (LARGER_KEY, SMALLER_KEY),
    ],
    ids=["smaller key dials", "larger key dials"],
)
async def test_connections_that_finish_in_another_order_at_the_other_end(
    keys: tuple[KeyPair, KeyPair],
) -> None:
    """The last word of the first handshake is late: to Bob, the second connection is the first."""
    first, second = Detour(), Detour()
    async with trio.open_nursery() as nursery:
        for detour in (first, second):
            nursery.start_soon(detour.run)
        second.open.set()
        async with two_nodes(*keys) as (alice, bob, alice_drive, bob_drive):
            for detour in (first, second):
                nursery.start_soon(attach, bob, detour.bob_end, False)
                await attach(alice, detour.alice_end, True)
            await all_tasks_blocked(0)
            first.open.set()
            await check_folded(await join_side(alice, alice_drive), await join_side(bob, bob_drive))


class Detour:
    """Two memory streams, on which Alice's words after her first are held back until it is open."""

    def __init__(self) -> None:
        self.open = trio.Event()
        self._ends = [
            trio.StapledStream(trio.testing.MemorySendStream(), trio.testing.MemoryReceiveStream())
            for _ in range(2)
        ]
        self.alice_end, self.bob_end = self._ends

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._carry, self.bob_end.send_stream, self.alice_end.receive_stream)
            await self._carry_one(self.alice_end.send_stream, self.bob_end.receive_stream)
            await self.open.wait()
            await self._carry(self.alice_end.send_stream, self.bob_end.receive_stream)

    async def _carry(
        self, source: trio.testing.MemorySendStream, target: trio.testing.MemoryReceiveStream
    ) -> None:
        while await self._carry_one(source, target):
            pass

    async def _carry_one(
        self, source: trio.testing.MemorySendStream, target: trio.testing.MemoryReceiveStream
    ) -> bool:
        data = await source.get_data()
        if data:
            target.put_data(data)
        else:
            target.put_eof()
        return bool(data)


@asynccontextmanager
async def two_nodes(
    alice_key: KeyPair = SMALLER_KEY, bob_key: KeyPair = LARGER_KEY, *, limits: Limits = DEFAULT_LIMITS
) -> AsyncIterator[tuple[Node, Node, Drive, Drive]]:
    """Two nodes that have not met, with a drive open on each."""
    with limited():
        async with (
            open_node(key_pair=alice_key, limits=limits) as alice,
            open_node(key_pair=bob_key, limits=limits) as bob,
            alice.open_drive(KEY) as alice_drive,
            bob.open_drive(KEY) as bob_drive,
        ):
            yield alice, bob, alice_drive, bob_drive


async def check_folded(alice: NodeSide, bob: NodeSide) -> None:
    await all_tasks_blocked()
    assert len(tasks(alice.node)) == len(tasks(bob.node)) == 1
    for side in (alice, bob):
        with pytest.raises(trio.WouldBlock):
            side.events.receive_nowait()
    await exchange(alice, bob)


async def exchange(alice: NodeSide, bob: NodeSide) -> None:
    """A message each way."""
    async with alice.drive.join("exchange") as here, bob.drive.join("exchange") as there:
        await here.send(alice.peer_id, b"to bob")
        assert (await there.receive()).message == b"to bob"
        await there.send(bob.peer_id, b"to alice")
        assert (await here.receive()).message == b"to alice"


@pytest.mark.parametrize(
    "keys",
    [
        (SMALLER_KEY, LARGER_KEY),
        (LARGER_KEY, SMALLER_KEY),
    ],
    ids=["larger key dials", "smaller key dials"],
)
async def test_nothing_is_lost_when_connections_are_folded(keys: tuple[KeyPair, KeyPair]) -> None:
    """Messages that one had accepted arrive, though the other takes over, and though the reader is slow."""
    messages = [number.to_bytes(4, "big") * 25_000 for number in range(50)]
    received: list[bytes] = []
    async with (
        two_nodes(*keys, limits=Limits(receive_messages=10)) as (alice, bob, alice_drive, bob_drive),
        alice_drive.join("chat") as inbox,
        bob_drive.join("chat") as outbox,
        trio.open_nursery() as nursery,
    ):
        await connect_lockstep(bob, alice)
        peer_id = (await join_side(bob, bob_drive)).peer_id

        async def send() -> None:
            for message in messages:
                await outbox.send(peer_id, message)

        nursery.start_soon(send)
        await all_tasks_blocked(0)
        await connect_lockstep(bob, alice)
        await all_tasks_blocked(0)
        while len(received) < len(messages):
            received.append((await inbox.receive()).message)
        assert received == messages


# After an error


async def test_a_crash_of_the_application_ends_its_node_only() -> None:
    with limited():
        async with open_node() as alice, alice.open_drive(KEY) as drive, drive.watch() as events:

            async def crash_once_joined() -> None:
                async with open_node() as bob, bob.open_drive(KEY), trio.open_nursery() as nursery:
                    await connect_tcp(bob, alice)
                    assert isinstance(await events.receive(), PeerJoined)
                    nursery.start_soon(_crash)

            with pytest.raises(ExceptionGroup) as caught:
                await crash_once_joined()
            assert caught.group_contains(ZeroDivisionError)
            assert isinstance(await events.receive(), PeerLeft)
            async with open_node() as carol, carol.open_drive(KEY):
                await connect_tcp(carol, alice)
                assert isinstance(await events.receive(), PeerJoined)


async def _crash() -> None:
    raise ZeroDivisionError


async def test_a_member_that_has_left_is_gone() -> None:
    async with meet() as (alice, bob), alice.drive.join("chat") as chat:
        bob.drive.close()
        assert isinstance(await alice.events.receive(), PeerLeft)
        with pytest.raises(PeerGone, match="peer 1 is gone") as caught:
            await chat.send(alice.peer_id, b"")
        assert caught.value.peer_id == alice.peer_id


# Disconnecting


async def test_disconnecting_a_peer_that_does_not_read(autojump_clock: trio.testing.MockClock) -> None:
    """It is gone at once, with what it did not take; others are not touched."""
    async with meet(connect_lockstep, limits=Limits(send_buffer=1000)) as (alice, bob):
        deaf = await raw_member(alice.node)
        joined = await alice.events.receive()
        chat = alice.drive.join("chat")
        sent = await fill(chat, joined.peer_id)
        before = trio.current_time()
        alice.node.disconnect(joined.peer_id, "it does not read")
        left = alice.events.receive_nowait()
        assert isinstance(left, PeerLeft)
        assert (left.peer_id, left.reason) == (joined.peer_id, "it does not read")
        assert sent * 500 <= left.unsent <= sent * 600
        await deaf.until_dropped()
        assert trio.current_time() == before
        assert list(alice.drive.peers) == [alice.peer_id]
        async with bob.drive.join("chat") as inbox:
            await chat.send(alice.peer_id, b"hello")
            assert (await inbox.receive()).message == b"hello"
        await trio.aclose_forcefully(deaf.stream)


async def test_disconnecting_has_a_reason() -> None:
    async with meet() as (alice, bob):
        alice.node.disconnect(alice.peer_id)
        left = await alice.events.receive()
        assert isinstance(left, PeerLeft)
        assert (left.reason, left.unsent) == ("disconnected here", 0)
        assert isinstance(await bob.events.receive(), PeerLeft)
        alice.node.disconnect(alice.peer_id)  # once more changes nothing
        with pytest.raises(UnknownPeer):
            alice.node.disconnect(7)
        with pytest.raises(TypeError, match="peer_id must be int"):
            alice.node.disconnect("1")  # type: ignore[arg-type]


async def test_who_was_disconnected_may_come_back() -> None:
    async with meet(connect_tcp) as (alice, bob):
        alice.node.disconnect(alice.peer_id)
        assert isinstance(await alice.events.receive(), PeerLeft)
        await connect_tcp(bob.node, alice.node)
        joined = await alice.events.receive()
        assert isinstance(joined, PeerJoined)
        assert joined.peer_id == alice.peer_id


@pytest.mark.parametrize("second", ["the same node", "another node"])
async def test_a_stream_is_attached_once(second: str) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    with limited():
        async with open_node() as node, open_node() as other, trio.open_nursery() as nursery:
            nursery.start_soon(lambda: other.attach(theirs, wire=WIRE, initiator=False))
            await node.attach(ours, wire=WIRE, initiator=True)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError, match="already belongs to a connection"):
                await (node if second == "the same node" else other).attach(ours, wire=WIRE, initiator=False)
            assert node.statistics().connections == other.statistics().connections == 1
    assert not attached
