"""The handles that an application holds: `Drive`, and the `Topic` and `PeerEvents` that it makes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Self, TypeAlias, TypeVar

from peersockets_core import (
    Connection,
    DriveKey,
    LocalProtocolError,
    Message,
    OpenDrive,
    Overflow,
    PeerEvent,
    PeerGone,
    TopicHandle,
    TopicScope,
    TopicStatistics,
    Watch,
)
from peersockets_core.checks import as_bytes
from peersockets_core.info import PeerInfo

from .host import NodeHost, Wakeable
from .stream_protocol import StreamProtocol

PAUSE_INTERVAL: Final = 64
"""The number of operations in a row before other tasks get their turn."""


CoreHandle: TypeAlias = TopicHandle[StreamProtocol, Wakeable] | Watch[Wakeable]
NodeDrive: TypeAlias = OpenDrive[StreamProtocol, Wakeable]


class _Receiver:
    """The receiving side of a handle: one task at a time waits for news; any task can close it."""

    _handle: CoreHandle

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self._receiving = False
        self._turns = PAUSE_INTERVAL

    @property
    def closed(self) -> bool:
        """Whether it was closed here, by itself or with its drive."""
        return self._handle.closed

    def close(self) -> None:
        """Close it. An iteration over it ends. Closing it twice is fine."""
        self._handle.close()
        self._news.set()

    def wake(self) -> None:
        """Wake the receiver. The node calls this."""
        self._news.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    def _check_open(self) -> None:
        if self._handle.closed:
            raise LocalProtocolError(f"this {type(self).__name__} is closed")

    async def _until_news(self) -> bool:
        """Wait until there is something to take; returns whether there is, and not the end instead."""
        if self._receiving:
            raise RuntimeError(f"another task is receiving from this {type(self).__name__}")
        self._receiving = True
        try:
            self._turns -= 1
            if self._turns <= 0:
                self._turns = PAUSE_INTERVAL
                await asyncio.sleep(0)
            while not (len(self._handle) or self._handle.closed):
                self._news.clear()
                await self._news.wait()
        finally:
            self._receiving = False
        return not self._handle.closed


class Topic(_Receiver):
    """A topic handle, made by `Drive.join`: `send`, `broadcast`, and `receive` or `async for`. Use it as
    an async context manager, or close it.

    Handles of one topic are independent: every handle receives every message. A full handle holds up the
    connections that fill it, unless it was joined with another `overflow`.
    """

    _handle: TopicHandle[StreamProtocol, Wakeable]

    def __init__(
        self,
        node: NodeHost[StreamProtocol],
        drive: NodeDrive,
        name: str,
        scope: TopicScope,
        overflow: Overflow,
    ) -> None:
        super().__init__()
        self._node = node
        self._drive = drive
        self._handle = node.machine.join(drive, name, scope=scope, overflow=overflow, owner=self)
        self.name = name
        """The name of the topic."""
        self._waiting: set[asyncio.Timeout] = set()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{len(self._handle)} messages wait"
        return f"<Topic {self.name!r} of {self._drive.key}, {state}>"

    def send_nowait(self, peer_id: int, message: bytes | bytearray | memoryview) -> bool:
        """Send a message if there is room; returns whether there was. Raises the errors of `send`."""
        self._check_open()
        connection = self._handle.send(peer_id, as_bytes(message, "message"))
        return self._sent(connection)

    async def send(self, peer_id: int, message: bytes | bytearray | memoryview) -> None:
        """Send a message to a member, or, in network scope, to any peer that this node has met.

        It returns when the message is accepted. If there are too many unsent bytes, it waits, first come,
        first served. If it is cancelled, it has sent nothing.

        Raises `UnknownPeer` for an unknown id, `PeerGone` if the peer is not there, `MessageTooLarge`,
        `TypeError` if the message is not bytes, and `LocalProtocolError` if the topic is closed.
        """
        self._turns -= 1
        if self._turns <= 0:
            self._turns = PAUSE_INTERVAL
            await asyncio.sleep(0)
        if not self.send_nowait(peer_id, message):
            await self._send_later(peer_id, bytes(message))

    async def broadcast(self, message: bytes | bytearray | memoryview) -> int:
        """Send a message to all members; returns the number of members that it was sent to.

        Members with room get it at once, and each other member as soon as it has room. Members that leave
        meanwhile do not count. Raises the errors of `send`.
        """
        self._check_open()
        data = as_bytes(message, "message")
        members = list(self._drive.members)
        for peer_id in members:
            route = self._handle.route(peer_id)
            if route is not None:
                route.check_size(len(data))
        late = [peer_id for peer_id in members if not self._sent(self._handle.send(peer_id, data))]
        if not late:
            return len(members)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._reaches_later(peer_id, data)) for peer_id in late]
        return len(members) - len(late) + sum(task.result() for task in tasks)

    async def receive(self) -> Message:
        """Wait for the next message and return it. If it is cancelled, it has taken nothing.

        Raises `LocalProtocolError` if the topic is closed, and `RuntimeError` for a second receiver.
        """
        self._check_open()
        if not await self._until_news():
            self._check_open()
        return self._handle.take()

    async def __anext__(self) -> Message:
        if not await self._until_news():
            raise StopAsyncIteration
        return self._handle.take()

    def statistics(self) -> TopicStatistics:
        """Return the counters of this handle."""
        return self._handle.statistics()

    def close(self) -> None:
        """Leave the topic. An iteration over it ends, and senders that wait get `LocalProtocolError`."""
        super().close()
        for scope in self._waiting:
            scope.reschedule(self._node.loop.time())

    def _sent(self, connection: Connection[StreamProtocol] | None) -> bool:
        if connection is None:
            return False
        connection.owner.flush_soon()
        return True

    async def _reaches_later(self, peer_id: int, message: bytes) -> bool:
        try:
            await self._send_later(peer_id, message)
        except PeerGone:
            return False
        return True

    async def _send_later(self, peer_id: int, message: bytes) -> None:
        try:
            async with asyncio.timeout(None) as scope:  # `close` sets its end
                self._waiting.add(scope)
                try:
                    await self._send_in_turn(peer_id, message)
                finally:
                    self._waiting.discard(scope)
        except TimeoutError:
            self._check_open()
            raise

    async def _send_in_turn(self, peer_id: int, message: bytes) -> None:
        while not self._sent(self._handle.send(peer_id, message)):
            route = self._handle.route(peer_id)
            if route is None:
                await self._node.until_rerouted()
            elif self._sent(
                await route.connection.owner.in_turn(
                    lambda: self._handle.send(peer_id, message, in_turn=True)
                )
            ):
                return


class PeerEvents(_Receiver):
    """The `PeerJoined` and `PeerLeft` events of one drive, made by `Drive.watch`: `receive` or `async for`.
    Use it as an async context manager, or close it.

    They begin with the members present at the call of `watch`.
    """

    _handle: Watch[Wakeable]

    def __init__(self, node: NodeHost[StreamProtocol], drive: NodeDrive) -> None:
        super().__init__()
        self._handle = node.machine.watch(drive, owner=self)
        self._drive = drive

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{len(self._handle)} events wait"
        return f"<PeerEvents of {self._drive.key}, {state}>"

    async def receive(self) -> PeerEvent:
        """Wait for the next event and return it. If it is cancelled, it has taken nothing.

        Raises `LocalProtocolError` if it is closed, and `RuntimeError` for a second receiver.
        """
        self._check_open()
        if not await self._until_news():
            self._check_open()
        return self._handle.take()

    async def __anext__(self) -> PeerEvent:
        if not await self._until_news():
            raise StopAsyncIteration
        return self._handle.take()


Child = TypeVar("Child", Topic, PeerEvents)


class Drive:
    """One opening of a drive, made by `Node.open_drive`. Use it as an async context manager, or close it.

    `join` joins a topic, `watch` follows its members, and `peers` lists them.
    """

    def __init__(self, node: NodeHost[StreamProtocol], key: DriveKey, topic_scope: TopicScope) -> None:
        self._node = node
        self._scope: TopicScope = topic_scope
        self._opened: NodeDrive = node.machine.open_drive(key)
        self._children: list[Topic | PeerEvents] = []
        self.closed = False
        """Whether it was closed here, by itself or with its node."""
        node.flush()

    def __repr__(self) -> str:
        if self.closed:
            return f"<Drive {self.key}, closed>"
        return f"<Drive {self.key}, {len(self._opened.members)} members, {len(self._children)} handles>"

    @property
    def key(self) -> DriveKey:
        """The drive's key."""
        return self._opened.key

    @property
    def peers(self) -> Mapping[int, PeerInfo]:
        """The current members by peer id, in the order of joining."""
        return MappingProxyType({peer_id: self._node.peer(peer_id) for peer_id in self._opened.members})

    def join(self, topic: str, *, overflow: Overflow = "wait") -> Topic:
        """Join a topic of the drive, for sending and receiving.

        Raises `TypeError` or `ValueError` for a bad argument, and `LocalProtocolError` if the drive is
        closed.
        """
        self._check_open()
        return self._adopt(Topic(self._node, self._opened, topic, self._scope, overflow))

    def watch(self) -> PeerEvents:
        """Watch members join and leave, beginning with the members present.

        Raises `LocalProtocolError` if the drive is closed.
        """
        self._check_open()
        return self._adopt(PeerEvents(self._node, self._opened))

    def close(self) -> None:
        """Close the drive with its topics and watches. Closing it twice is fine."""
        if self.closed:
            return
        self.closed = True
        for child in self._children:
            child.close()
        self._children.clear()
        self._node.machine.close_drive(self._opened)
        self._node.flush()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self.closed:
            raise LocalProtocolError("this Drive is closed")

    def _adopt(self, child: Child) -> Child:
        self._children = [other for other in self._children if not other.closed]
        self._children.append(child)
        return child
