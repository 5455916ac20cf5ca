"""`Topic`: one join of a topic, for sending and receiving."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Final

import trio

from peersockets_core import (
    Message,
    OpenDrive,
    PeerGone,
    RequestStatistics,
    TopicHandle,
    TopicStatistics,
)

from .checks import Buffer, as_bytes
from .hub import Hub
from .mailbox import _TURNS, Mailbox
from .requests import Handler, Requests

_FITS_EVERYWHERE: Final = 1024 * 1024
"""Bytes of which every wire takes several times as many in one message."""


class Topic(Mailbox):
    """A topic handle. Handles of one topic are independent: each receives every message.

    Receiving is bounded: a handle that is full holds up the connections that fill it, unless it was
    joined with `overflow="drop_oldest"` or `"drop_newest"`.
    """

    _handle: TopicHandle

    def __init__(self, hub: Hub, drive: OpenDrive, name: str) -> None:
        super().__init__()
        self.name = name
        self._hub = hub
        self._drive = drive
        self._send_turns = _TURNS
        self._requests: Requests | None = None

    # Sending

    def send_nowait(self, peer_id: int, message: Buffer) -> None:
        """Send a message, now or not at all.

        Raises `trio.WouldBlock` where `send` would wait, and otherwise as `send`.
        """
        handle = self._handle
        if handle.closed:
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
            self._send_turns = _TURNS
            await trio.lowlevel.checkpoint()
        if self._handle.closed:
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

        Those with room get it at once; then it waits for the others, and if it is cancelled there, they
        go without. Members that leave meanwhile do not count. Raises as `send`; `MessageTooLarge`,
        before anything is sent, if it is too large for any of them.
        """
        if self._send_turns:
            self._send_turns -= 1
        else:
            self._send_turns = _TURNS
            await trio.lowlevel.checkpoint()
        self._check_open()
        if type(message) is not bytes:
            message = as_bytes(message, "message")
        members = list(self._drive.members)
        handle = self._handle
        # On hypercore11, the topic's name has to fit, too.
        if len(message) + 4 * len(self.name) > _FITS_EVERYWHERE:
            for peer_id in members:
                route = handle.route(peer_id)
                if route is not None:
                    route.check_size(len(message))
        late = []
        for peer_id in members:
            connection = handle.send(peer_id, message)
            if connection is None:
                late.append(peer_id)
            else:
                connection.owner.wake()
        sent = len(members)
        for peer_id in late:
            try:
                await self._send_later(peer_id, message)
            except PeerGone:
                sent -= 1
        return sent

    async def _send_later(self, peer_id: int, message: bytes) -> None:
        connection = None
        while connection is None:
            route = self._handle.route(peer_id)
            if route is None:
                await self._hub.wait_rerouted()
                self._check_open()
                connection = self._handle.send(peer_id, message)
                continue
            pump = route.connection.owner
            await pump.wait_for_room()
            try:
                self._check_open()
                connection = self._handle.send(peer_id, message, waited=True)
            finally:
                pump.end_turn()
        connection.owner.wake()

    # Receiving

    async def receive(self) -> Message:
        """Return the next message, waiting for it.

        It checkpoints when it has to wait, and otherwise every 64th time: often enough for other tasks
        and for cancellation, seldom enough for hundreds of thousands of messages a second. Cancelled, it
        has taken nothing.

        Raises `trio.ClosedResourceError` when closed here, `trio.BusyResourceError` for a second receiver.
        """
        # The first two lines are for haste: a call costs as much as the rest.
        if self._turns and len(self._handle):
            self._turns -= 1
        else:
            await self._until_news()
        return self._handle.take()

    def receive_nowait(self) -> Message:
        """Return the next message. Raises `trio.WouldBlock` if there is none."""
        if self._requests is not None:
            self._claim()  # which raises `trio.BusyResourceError`
        self._check_news()
        return self._handle.take()

    async def receive_batch(self) -> list[Message]:
        """Return everything waiting, at least one message; otherwise as `receive`."""
        await self._until_news()
        return self._handle.take_all()

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
        _check_timeout(timeout)
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
            self._requests = Requests(self, self._handle, self._hub)
        return self._requests

    # Waking and closing

    def wake(self) -> None:
        """Something has come (called by the node)."""
        if self._requests is None:
            Mailbox.wake(self)  # `super` takes as long as all the rest
        else:
            self._requests.wake()

    def close(self) -> None:
        """Close, with what is in progress; `trio.ClosedResourceError` is raised where somebody waits."""
        if self._requests is not None and not self.closed:
            self._requests.close()
        super().close()


def _check_timeout(timeout: object) -> None:
    if not isinstance(timeout, int | float):
        raise TypeError(f"timeout must be a number of seconds, not {type(timeout).__name__}")
    if not timeout >= 0:
        raise ValueError(f"timeout must be 0 seconds or more, not {timeout!r}")
