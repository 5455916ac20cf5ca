"""`Topic`: one join of a topic, for sending and receiving."""

from __future__ import annotations

from collections.abc import Container
from contextlib import AbstractAsyncContextManager
from threading import get_ident
from typing import Final

import trio

from peersockets_core import (
    Message,
    Overflow,
    PeerGone,
    RequestStatistics,
    TopicScope,
    TopicStatistics,
)

from .requests import Handler, Requests
from .runtime.checks import Buffer, as_bytes, check_timeout
from .runtime.machine import NodeConnection, NodeDrive, NodeTopicHandle
from .runtime.node_runtime import NodeRuntime
from .runtime.receiver import CHECKPOINT_INTERVAL, Receiver

BATCH: Final = 256
"""Messages that `receive_batch` returns at most. An application lets go of so few before the garbage
collector looks at new objects, which it does for every 700, even if it holds the batch before as well.
Messages that the collector has seen alive soon cause a full collection, which looks at all objects of the
program and stops it for as long."""

_BATCHCHECKPOINT_INTERVAL: Final = 8
"""What a batch counts of the operations without a checkpoint: 2048 messages pass between two of them."""

_FITS_EVERYWHERE: Final = 1024 * 1024
"""Bytes of which every wire takes several times as many in one message."""


class Topic(Receiver):
    """A topic handle. Handles of one topic are independent: each receives every message.

    Receiving is bounded: a handle that is full holds up the connections that fill it, unless it was
    joined with `overflow="drop_oldest"` or `"drop_newest"`.
    """

    _handle: NodeTopicHandle

    def __init__(
        self, runtime: NodeRuntime, drive: NodeDrive, name: str, *, scope: TopicScope, overflow: Overflow
    ) -> None:
        super().__init__(runtime.home)
        self._handle = runtime.machine.join(drive, name, scope=scope, overflow=overflow, owner=self)
        self.name = name
        self._runtime = runtime
        self._drive = drive
        self._send_turns = CHECKPOINT_INTERVAL
        self._requests: Requests | None = None
        self._waiting: set[trio.CancelScope] = set()  # of sends that wait for room

    # Sending

    def send_nowait(self, peer_id: int, message: Buffer) -> None:
        """Send a message, now or not at all.

        Raises `trio.WouldBlock` where `send` would wait, and otherwise as `send`.
        """
        handle = self._handle
        if handle.closed or get_ident() != self._home.thread:
            self._check_open()
        if type(message) is not bytes:
            message = as_bytes(message, "message")
        connection = handle.send(peer_id, message)
        if connection is None:
            raise trio.WouldBlock
        if connection.owner.idle:
            connection.owner.wake()

    async def send(self, peer_id: int, message: Buffer) -> None:
        """Send a message to a member; in network scope, to any peer met.

        Returns when the message is accepted, which may be before it has left. Past the high-water mark
        of unsent bytes it waits, first come first served. It checkpoints when it waits, and otherwise
        every 64th time. Cancelled, it has sent nothing.

        Raises `UnknownPeer` for an id that was never given, `PeerGone` for a peer that is not there,
        `MessageTooLarge`, `TypeError` for a message that is not bytes, `trio.ClosedResourceError`.
        """
        if self._send_turns:
            self._send_turns -= 1
        else:
            self._send_turns = CHECKPOINT_INTERVAL
            await trio.lowlevel.checkpoint()
        if self._handle.closed or get_ident() != self._home.thread:
            self._check_open()
        if type(message) is not bytes:
            message = as_bytes(message, "message")
        connection = self._handle.send(peer_id, message)
        if connection is None:
            await self._send_later(peer_id, message)
        elif connection.owner.idle:
            connection.owner.wake()

    async def broadcast(self, message: Buffer) -> int:
        """Send a message to all members; returns to how many.

        Those with room get it at once, and each of the others as soon as it has room: a member that does
        not read holds up the return, and no other member. Cancelled, those that still had no room go
        without. Members that leave meanwhile do not count. Raises as `send`; `MessageTooLarge`, before
        anything is sent, if it is too large for any of them.
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
        """Send a message to all members that have room now.

        Returns how many got it, and the ids of those that did not. The members in `behind` are not sent
        to, and are among the latter: it is for those for whom earlier messages still wait. Raises as
        `broadcast`.
        """
        self._check_open()
        if type(message) is not bytes:
            message = as_bytes(message, "message")
        members = list(self._drive.members)
        handle = self._handle
        # On hypercore11, the topic's name has to fit, too.
        if len(message) + 4 * len(self.name) > _FITS_EVERYWHERE:
            for peer_id in members:
                self.check_size(peer_id, len(message))
        late = []
        for peer_id in members:
            connection = None if peer_id in behind else handle.send(peer_id, message)
            if connection is None:
                late.append(peer_id)
            else:
                connection.owner.wake()
        return len(members) - len(late), late

    def check_size(self, peer_id: int, size: int) -> None:
        """Raise `MessageTooLarge` if the wire to a peer cannot carry a message of so many bytes.

        Otherwise raises as `send`. While the peer's connection is being replaced, nothing is known.
        """
        self._check_open()
        route = self._handle.route(peer_id)
        if route is not None:
            route.check_size(size)

    async def _send_to_late(self, late: list[int], message: bytes) -> int:
        """Send to members as each gets room; returns how many there were that did not leave."""
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
                connection.owner.wake()
            finally:
                self._waiting.discard(scope)
        if scope.cancelled_caught:
            self._check_open()

    async def _send_in_turn(self, peer_id: int, message: bytes) -> NodeConnection:
        # Some other member may have been waited for: there may be room by now, and nobody to say so.
        connection = self._handle.send(peer_id, message)
        while connection is None:
            route = self._handle.route(peer_id)
            if route is None:
                await self._runtime.wait_rerouted()
                self._check_open()
                connection = self._handle.send(peer_id, message)
                continue
            async with route.connection.owner.send_queue:
                self._check_open()
                connection = self._handle.send(peer_id, message, in_turn=True)
        return connection

    # Receiving

    async def receive(self) -> Message:
        """Return the next message, waiting for it.

        It checkpoints when it has to wait, and otherwise every 64th time: often enough for other tasks
        and for cancellation, seldom enough for hundreds of thousands of messages a second. Cancelled, it
        has taken nothing.

        Raises `trio.ClosedResourceError` when closed here, `trio.BusyResourceError` for a second receiver.
        """
        # The first two lines are for haste: a call costs as much as the rest.
        if self._turns and len(self._handle) and get_ident() == self._home.thread:
            self._turns -= 1
        else:
            await self._until_news(_BATCHCHECKPOINT_INTERVAL)
        return self._handle.take()

    def receive_nowait(self) -> Message:
        """Return the next message. Raises `trio.WouldBlock` if there is none."""
        if self._requests is not None:
            self._claim()  # which raises `trio.BusyResourceError`
        self._check_news()
        return self._handle.take()

    async def receive_batch(self) -> list[Message]:
        """Return what is waiting, at least one message and at most 256; otherwise as `receive`.

        It checkpoints when it has to wait, and otherwise every eighth time.
        """
        await self._until_news(_BATCHCHECKPOINT_INTERVAL)
        return self._handle.take_batch(BATCH)

    __anext__ = receive

    def statistics(self) -> TopicStatistics:
        """Counters of this handle."""
        return self._handle.statistics()

    # Requests

    async def request(self, peer_id: int, data: Buffer, *, timeout: float) -> bytes:
        """Ask a peer that serves the topic, and return its reply.

        From the first request on, this handle is for requests: its messages are requests and replies as
        `docs/requests.md` describes them, and `receive` raises `trio.BusyResourceError`. A peer that does
        not serve says nothing at all, so `timeout`, in seconds, has to be given; `math.inf` waits for ever.
        Cancelled or timed out, it tells the peer, and the handler there is cancelled. It always checkpoints.

        Raises `RequestError` where the peer answers with an error, `trio.TooSlowError` after `timeout`,
        `PeerGone` as soon as the peer leaves, `trio.ClosedResourceError` when the topic is closed, and
        otherwise as `send`; what `MessageTooLarge` counts is the data and up to 12 bytes around them.
        """
        data = as_bytes(data, "data")
        check_timeout(timeout)
        return await self._for_requests().request(peer_id, data, timeout)

    def serve(self, handler: Handler) -> AbstractAsyncContextManager[None]:
        """Answer the requests of peers for the length of the block, each in a task of its own.

        `handler` is called with a `Request` and returns the reply. Where it raises `RequestError`, the
        asker is told its text; any other exception is logged, and the asker told that the handler failed.
        It is cancelled when the asker cancels the request or leaves. Leaving the block cancels what is in
        progress, and the askers are told. As with `request`, this handle is for requests from then on.

        Raises `TypeError` for a handler that is not callable, `trio.BusyResourceError` for a second server
        or while a task waits in `receive`, `trio.ClosedResourceError`.
        """
        if not callable(handler):
            raise TypeError(f"handler must be an async function, not {type(handler).__name__}")
        return self._for_requests().serve(handler)

    def request_statistics(self) -> RequestStatistics:
        """Counters of the requests on this handle."""
        return RequestStatistics() if self._requests is None else self._requests.statistics()

    def _for_requests(self) -> Requests:
        self._check_open()
        if self._requests is None:
            self._claim()
            self._requests = Requests(self, self._handle, self._runtime)
        return self._requests

    # Waking and closing

    def wake(self) -> None:
        """Something has come (called by the node)."""
        if self._requests is None:
            Receiver.wake(self)  # `super` takes as long as all the rest
        else:
            self._requests.wake()

    def close(self) -> None:
        """Close, with what is in progress; `trio.ClosedResourceError` is raised where somebody waits.

        A send that waits for room has sent nothing.
        """
        self._home.check()
        if self._requests is not None and not self.closed:
            self._requests.close()
        super().close()
        for scope in self._waiting:
            scope.cancel()


def handle_of(topic: Topic) -> NodeTopicHandle:
    """Return the handle of the core behind a topic (see `peersockets_trio.testing.internals`)."""
    return topic._handle
