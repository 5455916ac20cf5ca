"""`Topic`: one join of a topic, for sending and receiving."""

from __future__ import annotations

from collections.abc import Container
from contextlib import AbstractAsyncContextManager
from threading import get_ident
from typing import TYPE_CHECKING, Final

import trio

from peersockets_core import Message, Overflow, PeerGone, TopicScope, TopicStatistics
from peersockets_core.buffer import Buffer
from peersockets_core.checks import as_bytes, check_timeout

from .runtime.machine import NodeConnection, NodeDrive, NodeTopicHandle
from .runtime.node_runtime import NodeRuntime
from .runtime.receiver import CHECKPOINT_INTERVAL, Receiver

if TYPE_CHECKING:
    from peersockets_core import RequestStatistics

    from .requests import RequestHandler, TopicRequests

BATCH_MESSAGES: Final = 256
"""The most messages that `receive_batch` returns. The garbage collector examines new objects after every
700. An application that drops batches of this size has released the messages before that, even if it
holds two batches. Messages that survive an examination soon cause a full collection, which examines all
objects of the program and stops the program meanwhile."""

_BATCH_CHECKPOINT_INTERVAL: Final = 8
"""The number of operations without a checkpoint that a batch counts for: 2048 messages pass between two
checkpoints."""

_FITS_EVERYWHERE: Final = 1024 * 1024
"""Bytes. On every wire, a message can have several times as many."""


class Topic(Receiver):
    """A topic handle, made by `Drive.join`: `send`, `broadcast`, and `receive` or `async for`.

    Handles of one topic are independent: every handle receives every message.

    Its queue is bounded: a full handle holds up the connections that fill it, unless it was joined
    with `overflow="drop_oldest"` or `"drop_newest"`.
    """

    _handle: NodeTopicHandle

    def __init__(
        self, runtime: NodeRuntime, drive: NodeDrive, name: str, *, scope: TopicScope, overflow: Overflow
    ) -> None:
        super().__init__(runtime.affinity)
        self._handle = runtime.machine.join(drive, name, scope=scope, overflow=overflow, owner=self)
        self.name = name
        self._runtime = runtime
        self._drive = drive
        self._send_turns = CHECKPOINT_INTERVAL
        self._requests: TopicRequests | None = None
        self._waiting: set[trio.CancelScope] = set()  # the scopes of sends that wait for room

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{len(self._handle)} messages wait"
        return f"<Topic {self.name!r} of {self._drive.key}, {state}>"

    # Sending

    def send_nowait(self, peer_id: int, message: Buffer) -> None:
        """Send a message without waiting.

        Raises `trio.WouldBlock` if `send` would wait, and otherwise the errors of `send`.
        """
        handle = self._handle
        if handle.closed or get_ident() != self._affinity.thread:
            self._check_open()
        if type(message) is not bytes:
            message = as_bytes(message, "message")
        connection = handle.send(peer_id, message)
        if connection is None:
            raise trio.WouldBlock
        if connection.owner.writer.idle:
            connection.owner.writer.wake()

    async def send(self, peer_id: int, message: Buffer) -> None:
        """Send a message to a member, or, in network scope, to any peer that this node has met.

        It returns when the message is accepted, which may be before it has left. If there are more
        unsent bytes than the high-water mark, it waits, first come, first served. It checkpoints when
        it waits, and otherwise every 64th time. If it is cancelled, it has sent nothing.

        Raises `UnknownPeer` for an unknown id, `PeerGone` if the peer is not there,
        `MessageTooLarge`, `TypeError` if the message is not bytes, and `trio.ClosedResourceError` if
        the topic is closed.
        """
        if self._send_turns:
            self._send_turns -= 1
        else:
            self._send_turns = CHECKPOINT_INTERVAL
            await trio.lowlevel.checkpoint()
        if self._handle.closed or get_ident() != self._affinity.thread:
            self._check_open()
        if type(message) is not bytes:
            message = as_bytes(message, "message")
        connection = self._handle.send(peer_id, message)
        if connection is None:
            await self._send_later(peer_id, message)
        elif connection.owner.writer.idle:
            connection.owner.writer.wake()

    async def broadcast(self, message: Buffer) -> int:
        """Send a message to all members; returns the number of members that it was sent to.

        Members with room get it at once, and each other member gets it as soon as it has room. A member
        that does not read therefore delays the return, but no other member. If the call is cancelled,
        members that still had no room miss the message. Members that leave meanwhile do not count.
        Raises the errors of `send`. If the message is too large for any member, it raises
        `MessageTooLarge` before it sends anything.
        """
        if self._send_turns:
            self._send_turns -= 1
        else:
            self._send_turns = CHECKPOINT_INTERVAL
            await trio.lowlevel.checkpoint()
        self._check_open()
        if type(message) is not bytes:
            message = as_bytes(message, "message")
        sent, late = self.broadcast_nowait(message)
        if late:
            sent += await self._send_to_late(late, message)
        return sent

    def broadcast_nowait(self, message: Buffer, *, behind: Container[int] = ()) -> tuple[int, list[int]]:
        """Send a message to all members that currently have room.

        Returns the number of members that got it, and the ids of those that did not. `behind` lists
        members for which the caller still holds earlier messages; they do not get the message, and
        their ids are among the returned ones. Raises the errors of `broadcast`.
        """
        self._check_open()
        if type(message) is not bytes:
            message = as_bytes(message, "message")
        members = list(self._drive.members)
        handle = self._handle
        # On hypercore11, the topic's name must fit, too.
        if len(message) + 4 * len(self.name) > _FITS_EVERYWHERE:
            for peer_id in members:
                self.check_size(peer_id, len(message))
        late = []
        for peer_id in members:
            connection = None if peer_id in behind else handle.send(peer_id, message)
            if connection is None:
                late.append(peer_id)
            else:
                connection.owner.writer.wake()
        return len(members) - len(late), late

    def check_size(self, peer_id: int, size: int) -> None:
        """Raise `MessageTooLarge` if the wire to a peer cannot carry a message of `size` bytes.

        Otherwise, it raises the errors of `send`. While the peer's connection is being replaced, any size
        passes.
        """
        self._check_open()
        route = self._handle.route(peer_id)
        if route is not None:
            route.check_size(size)

    async def _send_to_late(self, late: list[int], message: bytes) -> int:
        """Send to each member as soon as it has room; returns the number of members that did not leave
        meanwhile.
        """
        sent = 0
        failures: list[Exception] = []

        async def send(peer_id: int) -> None:
            nonlocal sent
            try:
                await self._send_later(peer_id, message)
                sent += 1
            except PeerGone:
                pass
            except Exception as error:
                failures.append(error)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for peer_id in late[1:]:
                nursery.start_soon(send, peer_id)
            await send(late[0])
        if failures:
            raise failures[0]
        return sent

    async def _send_later(self, peer_id: int, message: bytes) -> None:
        with trio.CancelScope() as scope:
            self._waiting.add(scope)
            try:
                connection = await self._send_in_turn(peer_id, message)
                connection.owner.writer.wake()
            finally:
                self._waiting.discard(scope)
        if scope.cancelled_caught:
            self._check_open()

    async def _send_in_turn(self, peer_id: int, message: bytes) -> NodeConnection:
        # The caller may have waited for another member. There may be room by now, without any further signal.
        connection = self._handle.send(peer_id, message)
        while connection is None:
            route = self._handle.route(peer_id)
            if route is None:
                await self._runtime.wait_rerouted()
                self._check_open()
                connection = self._handle.send(peer_id, message)
                continue
            async with route.connection.owner.writer.send_queue:
                self._check_open()
                connection = self._handle.send(peer_id, message, in_turn=True)
        return connection

    # Receiving

    async def receive(self) -> Message:
        """Wait for the next message and return it.

        It checkpoints when it has to wait, and otherwise every 64th time. That is often enough for other
        tasks and for cancellation, and rarely enough for hundreds of thousands of messages per second.
        If it is cancelled, it has taken nothing.

        Raises `trio.ClosedResourceError` if it is closed here, and `trio.BusyResourceError` for a second
        receiver.
        """
        # The first two lines are for speed: a call costs as much as the rest.
        if self._turns and len(self._handle) and get_ident() == self._affinity.thread:
            self._turns -= 1
        else:
            await self._until_news(_BATCH_CHECKPOINT_INTERVAL)
        return self._handle.take()

    def receive_nowait(self) -> Message:
        """Return the next message without waiting. Raises `trio.WouldBlock` if there is none."""
        if self._requests is not None:
            self._claim()  # this raises `trio.BusyResourceError`
        self._check_news()
        return self._handle.take()

    async def receive_batch(self) -> list[Message]:
        """Wait for messages and return at least one and at most 256 of them; otherwise like `receive`.

        It checkpoints when it has to wait, and otherwise every eighth time.
        """
        await self._until_news(_BATCH_CHECKPOINT_INTERVAL)
        return self._handle.take_batch(BATCH_MESSAGES)

    __anext__ = receive

    def statistics(self) -> TopicStatistics:
        """Return the counters of this handle."""
        return self._handle.statistics()

    # TopicRequests

    async def request(self, peer_id: int, data: Buffer, *, timeout: float) -> bytes:
        """Send a request to a peer that serves the topic, and return its reply.

        From the first request on, this handle only carries requests and replies, which `docs/requests.md`
        describes, and `receive` raises `trio.BusyResourceError`. A peer that does not serve never answers,
        so `timeout`, in seconds, is required; `math.inf` waits for ever. If the call is cancelled or times
        out, the peer is informed and cancels its handler. The call always checkpoints.

        Raises `RequestError` if the peer answers with an error, `trio.TooSlowError` after `timeout`,
        `PeerGone` as soon as the peer leaves, `trio.ClosedResourceError` if the topic is closed, and
        otherwise the errors of `send`. `MessageTooLarge` counts the data and up to 12 bytes around it.
        """
        data = as_bytes(data, "data")
        check_timeout(timeout)
        return await self._for_requests().request(peer_id, data, timeout)

    def serve(self, handler: RequestHandler) -> AbstractAsyncContextManager[None]:
        """Answer the requests of peers during the block, each in a task of its own.

        `handler` is called with a `Request` and returns the reply. If it raises `RequestError`, the asker
        gets its text. Any other exception is logged, and the asker gets the error that the handler
        failed. The handler is cancelled if the asker cancels the request or leaves. Leaving the block
        cancels the requests in progress, and their askers get an error. As with `request`, this handle
        only carries requests and replies from then on.

        Raises `TypeError` if the handler is not callable, `trio.BusyResourceError` for a second server or
        while a task waits in `receive`, and `trio.ClosedResourceError` if the topic is closed.
        """
        if not callable(handler):
            raise TypeError(f"handler must be an async function, not {type(handler).__name__}")
        return self._for_requests().serve(handler)

    def request_statistics(self) -> RequestStatistics:
        """Return the counters of the requests on this handle."""
        from peersockets_core import RequestStatistics

        return RequestStatistics() if self._requests is None else self._requests.statistics()

    def _claim(self) -> None:
        if self._requests is not None:
            raise trio.BusyResourceError(
                "this Topic carries requests; join the topic once more to receive messages"
            )
        super()._claim()

    def _for_requests(self) -> TopicRequests:
        self._check_open()
        if self._requests is None:
            # With its CBOR library, it takes a megabyte, and most programs never ask.
            from .requests import TopicRequests

            self._claim()
            self._requests = TopicRequests(self, self._handle, self._runtime)
        return self._requests

    # Waking and closing

    def wake(self) -> None:
        """Note that something has arrived. The node calls this."""
        if self._requests is None:
            Receiver.wake(self)  # `super` takes as long as everything else here
        else:
            self._requests.wake()

    def close(self) -> None:
        """Close the handle and end its requests. Tasks that wait get `trio.ClosedResourceError`.

        A send that waited for room has sent nothing.
        """
        self._affinity.check()
        if self._requests is not None and not self.closed:
            self._requests.close()
        super().close()
        for scope in self._waiting:
            scope.cancel()


def handle_of(topic: Topic) -> NodeTopicHandle:
    """Return the handle of the core behind a topic (see `peersockets_trio.testing.internals`)."""
    return topic._handle
