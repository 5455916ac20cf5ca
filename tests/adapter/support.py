"""The parts that the tests of the adapter share: ways to connect, and a peer played by hand."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Final, NamedTuple, TypeVar

import pytest
import trio
import trio.testing

from peersockets_core import (
    DEFAULT_LIMITS,
    Connection,
    DriveKey,
    DriveOpened,
    Event,
    HandshakeCompleted,
    KeyPair,
    Limits,
    WireName,
)
from peersockets_trio import Drive, Node, PeerEvents, Topic, open_node
from peersockets_trio.runtime.connection_task import ConnectionTask
from peersockets_trio.testing import Connect, NodePair, NodeSide, connect_nodes, open_node_pair
from peersockets_trio.testing.internals import connection_tasks

KEY: Final = DriveKey(bytes(range(32)))
OTHER_KEY: Final = DriveKey(bytes(range(32, 64)))
WIRE: Final[WireName] = "hypercore9"
SMALLER_KEY, LARGER_KEY = sorted(
    (KeyPair(bytes([number]) * 32) for number in (1, 2)), key=lambda key_pair: key_pair.x25519_public_key
)
"""Two identities. Of two connections, the one that the smaller key dialled survives."""
LOOPBACK: Final = "127.0.0.1"

_Kind = TypeVar("_Kind")


@contextmanager
def limited() -> Iterator[None]:
    """Fail, rather than hang: after an hour of virtual time, or more of real time than it takes anywhere."""
    virtual = isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock)
    with trio.fail_after(3600 if virtual else 120):
        yield


def all_tasks_blocked(cushion: float = 0.01) -> Awaitable[None]:
    """Wait until nothing moves any more. `cushion` is real time, for bytes in flight through a socket."""
    return trio.testing.wait_all_tasks_blocked(cushion)


# Two nodes


async def attach(node: Node, stream: trio.abc.Stream, initiator: bool, wire: WireName = WIRE) -> None:
    await node.attach(stream, wire=wire, initiator=initiator)


connect_memory: Connect = partial(connect_nodes, wire=WIRE)
"""Connect through a stream that takes everything at once."""

connect_lockstep: Connect = partial(connect_nodes, wire=WIRE, streams=trio.testing.lockstep_stream_pair)
"""Connect through a stream that takes nothing before it is read."""

connect_hypercore11: Connect = partial(connect_nodes, streams=trio.testing.lockstep_stream_pair)
"""Connect in the same way on the other wire."""


async def connect_tcp(alice: Node, bob: Node) -> None:
    await alice.connect_tcp(*await listen(bob), wire=WIRE)


@asynccontextmanager
async def meet(
    connect: Connect = connect_memory, *, limits: Limits = DEFAULT_LIMITS
) -> AsyncIterator[NodePair]:
    """Alice and Bob, who see each other as members of `KEY`."""
    with limited():
        async with open_node_pair(drive_key=KEY, connect=connect, limits=limits) as pair:
            yield pair


# One node


class ChatNode(NamedTuple):
    """A node with `KEY` open, which watches its members and has joined "chat"."""

    node: Node
    drive: Drive
    events: PeerEvents
    topic: Topic


@asynccontextmanager
async def open_chat_node(
    *, limits: Limits = DEFAULT_LIMITS, key_pair: KeyPair | None = None
) -> AsyncIterator[ChatNode]:
    """Open a node for a test of one side. A peer played by hand is the other side."""
    with limited():
        async with (
            open_node(limits=limits, key_pair=key_pair) as node,
            node.open_drive(KEY) as drive,
            drive.watch() as events,
            drive.join("chat") as topic,
        ):
            yield ChatNode(node, drive, events, topic)


async def listen(node: Node) -> tuple[str, int]:
    """Listen on a free port of loopback. Return the address."""
    (listener,) = await node.listen_tcp(0, host=LOOPBACK)
    return listener.address


def tasks(node: Node) -> list[ConnectionTask]:
    return connection_tasks(node)


def outbox_size(node: Node) -> int:
    """Bytes that wait in the node, ahead of the stream."""
    return max((task.connection.outbox.size for task in connection_tasks(node)), default=0)


async def fill(topic: Topic, peer_id: int, size: int = 500) -> int:
    """Send until nothing more is accepted, even after waiting. Return how many messages were accepted."""
    sent = 0
    while True:
        before = sent
        try:
            while True:
                topic.send_nowait(peer_id, bytes(size))
                sent += 1
        except trio.WouldBlock:
            if sent == before:
                return sent
        await all_tasks_blocked(0)


async def check_folded(alice: NodeSide, bob: NodeSide) -> None:
    await all_tasks_blocked()
    assert len(tasks(alice.node)) == len(tasks(bob.node)) == 1
    for side in (alice, bob):
        with pytest.raises(trio.WouldBlock):
            side.events.receive_nowait()
    await exchange(alice, bob)


async def exchange(alice: NodeSide, bob: NodeSide) -> None:
    """Send a message each way."""
    async with alice.drive.join("exchange") as here, bob.drive.join("exchange") as there:
        await here.send(alice.peer_id, b"to bob")
        assert (await there.receive()).message == b"to bob"
        await there.send(bob.peer_id, b"to alice")
        assert (await here.receive()).message == b"to alice"


# A peer played by hand


def extension_name(topic: str, key: DriveKey = KEY) -> str:
    """A topic's name on the wire, in drive scope."""
    return f"peersockets/v0/webapp/{key.discovery_key.hex()}/{topic}"


class RawPeer:
    """A core connection and a stream. It reads and writes only when a test says so."""

    def __init__(
        self, stream: trio.abc.Stream, *, initiator: bool = True, key_pair: KeyPair | None = None
    ) -> None:
        self.stream = stream
        self.key_pair = key_pair or KeyPair(os.urandom(32))
        self.connection = Connection(
            wire=WIRE,
            initiator=initiator,
            key_pair=self.key_pair,
            entropy=os.urandom,
            now=0.0,
        )
        self.events: list[Event] = []

    async def flush(self) -> None:
        data = self.connection.data_to_send()
        if data:
            await self.stream.send_all(data)

    async def send_frames(self, frames: bytes) -> None:
        """Send bytes as the next plaintext, whatever they are."""
        self.connection.outbox.append(frames)
        await self.flush()

    async def send_message(self, topic: str, message: bytes, key: DriveKey = KEY) -> None:
        """Send a message to a topic in drive scope."""
        name = extension_name(topic, key)
        if name not in self.connection.extensions:
            self.connection.extensions.register(name)
        self.connection.sender(None, name).send(message)
        await self.flush()

    async def read(self) -> bool:
        """Read once, and send the answers. Return whether the stream goes on."""
        data = await self.stream.receive_some(64 * 1024)
        if not data:
            return False
        self.events += self.connection.receive_data(bytes(data), 0.0)
        await self.flush()
        return True

    async def until(self, kind: type[_Kind]) -> _Kind:
        """Read until an event of that kind has come."""
        while True:
            for event in self.events:
                if isinstance(event, kind):
                    self.events.remove(event)
                    return event
            assert await self.read(), f"the stream ended before {kind.__name__}"

    async def join(self, key: DriveKey = KEY) -> None:
        """Shake hands and become a member of a drive."""
        self.connection.open_drive(key)
        await self.flush()
        await self.until(HandshakeCompleted)
        await self.until(DriveOpened)

    async def until_dropped(self) -> None:
        """Read until the other end has closed, cleanly or not."""
        try:
            while await self.read():
                pass
        except trio.BrokenResourceError:
            pass


async def raw_member(node: Node) -> RawPeer:
    """A peer played by hand on a lockstep stream. It has joined `KEY` and reads nothing from then on."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    peer = RawPeer(ours)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attach, node, theirs, False)
        await peer.join()
    return peer


@asynccontextmanager
async def raw_peer(node: Node, *, key_pair: KeyPair | None = None) -> AsyncIterator[RawPeer]:
    """A peer played by hand on a lockstep stream, which has not sent anything yet."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_answer, node, theirs)
        async with ours:
            yield RawPeer(ours, key_pair=key_pair)


async def _answer(node: Node, stream: trio.abc.Stream) -> None:
    try:
        await attach(node, stream, False)
    except Exception as error:  # the test examines the input of the peer
        error.add_note("the node's end of raw_peer")


@asynccontextmanager
async def raw_tcp_peer(
    address: tuple[str, int], *, key_pair: KeyPair | None = None
) -> AsyncIterator[RawPeer]:
    """A peer played by hand over TCP."""
    async with await trio.open_tcp_stream(*address) as stream:
        yield RawPeer(stream, key_pair=key_pair)


@asynccontextmanager
async def tcp_server(
    handler: Callable[[trio.SocketStream], Awaitable[object]],
) -> AsyncIterator[tuple[str, int]]:
    """A server on loopback that is no peer. Yield its address."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(_serve, handler)
        yield listeners[0].socket.getsockname()
        nursery.cancel_scope.cancel()


async def _serve(
    handler: Callable[[trio.SocketStream], Awaitable[object]],
    task_status: trio.TaskStatus[list[trio.SocketListener]] = trio.TASK_STATUS_IGNORED,
) -> None:
    await trio.serve_tcp(handler, 0, host=LOOPBACK, task_status=task_status)


@contextmanager
def silent_port() -> Iterator[int]:
    """A port whose host drops connection attempts: its accept queue is full."""
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind((LOOPBACK, 0))
        listener.listen(0)
        for _ in range(4):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
