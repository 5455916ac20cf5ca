"""`TopicRequests`: requests and replies on a topic. It waits for replies and runs handlers; the core keeps
track of both.

The task that reads a message passes it to the core's `RequestBook` at once. A reply therefore wakes exactly
the task that waits for it, replies of a peer that has just left are not lost, and requests never delay
replies. The reading task sends nothing; the server's task starts handlers and refuses requests.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Protocol, TypeAlias

import attrs
import trio

from peersockets_core import MessageTooLarge, PeerGone, Request, RequestError, RequestStatistics
from peersockets_core.buffer import Buffer
from peersockets_core.checks import as_bytes
from peersockets_core.topics.envelope import Kind, encode
from peersockets_core.topics.requests import (
    BUSY,
    FAILED,
    STOPPED,
    TOO_LARGE,
    Answering,
    Asked,
    OverLimit,
    RequestBook,
)

from .runtime.machine import NodeTopicHandle
from .runtime.node_runtime import NodeRuntime
from .runtime.receiver import CHECKPOINT_INTERVAL

logger = logging.getLogger("peersockets")

RequestHandler: TypeAlias = Callable[[Request], Awaitable[Buffer]]
"""A function that answers a request. It returns the reply, or raises `RequestError`, whose text the asker
gets."""


class RequestTopic(Protocol):
    """The methods of a topic that send requests and replies."""

    async def send(self, peer_id: int, message: Buffer) -> None:
        """See `Topic.send`."""

    def send_nowait(self, peer_id: int, message: Buffer) -> None:
        """See `Topic.send_nowait`."""


class TopicRequests:
    """Handles the messages of a topic handle that is used for requests."""

    def __init__(self, topic: RequestTopic, handle: NodeTopicHandle, runtime: NodeRuntime) -> None:
        self._topic = topic
        self._handle = handle
        self._runtime = runtime
        self._book: RequestBook[trio.Event, trio.CancelScope] = RequestBook(
            runtime.limits, runtime.request_ids
        )
        self._server: _Server | None = None
        self._more = False  # whether the flusher processes messages, one batch in each round of tasks
        runtime.on_rerouted.add(self._look_soon)

    async def request(self, peer_id: int, data: bytes, timeout: float) -> bytes:
        """See `Topic.request`."""
        book = self._book
        with trio.move_on_after(timeout):
            number = book.new_id(peer_id)
            await self._topic.send(peer_id, encode(Kind.REQUEST, number, data))
            # `send` checkpoints before it sends and not after, so no reply can have arrived yet.
            asked = book.ask(peer_id, number, trio.Event())
            try:
                await asked.owner.wait()
            finally:
                if book.withdraw(asked):
                    self.send_if_room(peer_id, encode(Kind.CANCEL, number))
            return asked.result()
        raise trio.TooSlowError(f"peer {peer_id} did not answer within {timeout:g} seconds")

    @asynccontextmanager
    async def serve(self, handler: RequestHandler) -> AsyncIterator[None]:
        """See `Topic.serve`."""
        self._runtime.affinity.check()
        if self._handle.closed:
            raise trio.ClosedResourceError("this Topic is closed")
        if self._server is not None:
            raise trio.BusyResourceError("another task is serving this Topic")
        raised: BaseException | None = None
        async with trio.open_nursery() as nursery:
            self._server = _Server(self, handler, nursery)
            self._book.serving = True
            nursery.start_soon(self._server.run)
            self.wake()  # process the messages that arrived before
            try:
                yield
            except BaseException as error:
                raised = error
            nursery.cancel_scope.cancel()
        # Raise the exception of the block itself, and not a group.
        if raised is not None:
            raise raised

    def statistics(self) -> RequestStatistics:
        """Return the counters of this handle's requests."""
        return self._book.statistics()

    def wake(self) -> None:
        """Process messages that have arrived."""
        if not self._more:
            self._take(CHECKPOINT_INTERVAL)
            if len(self._handle):
                self._more = True
                self._runtime.flusher.add(self)

    def flush(self) -> None:
        """Continue with messages that were too many for one batch. The flusher calls this."""
        if len(self._handle):
            # Messages that arrive in this round also wait for the next one: each round processes one batch at
            # most.
            self._take(CHECKPOINT_INTERVAL)
            self._runtime.flusher.add(self)
        else:
            self._more = False
            self._look()  # the messages of peers that have gone were processed first

    def _take(self, most: int) -> None:
        """Process at most `most` messages; the others wait for the next round of tasks."""
        for _ in range(min(most, len(self._handle))):
            news = self._book.receive_untrusted(self._handle.take())
            if isinstance(news, OverLimit) or (isinstance(news, Answering) and news.wanted):
                assert self._server is not None  # without a server, the book refuses requests
                self._server.add(news)
            elif news is not None:
                _notify(news)

    def stop_serving(self) -> None:
        """Stop answering the requests of peers."""
        self._server = None
        self._book.serving = False

    def finish(self, answering: Answering[trio.CancelScope]) -> None:
        """End a request, and send the asker an error if it was not answered."""
        if self._book.finish(answering):
            self.send_if_room(answering.request.peer_id, encode(Kind.ERROR, answering.id, STOPPED))

    async def send(self, answering: Answering[trio.CancelScope], message: bytes) -> None:
        """Send the result of a handler as soon as there is room."""
        peer_id = answering.request.peer_id
        with suppress(PeerGone, trio.ClosedResourceError):
            try:
                await self._topic.send(peer_id, message)
            except MessageTooLarge as error:
                logger.error("request of peer %d: the reply is too large: %s", peer_id, error)
                await self._topic.send(peer_id, encode(Kind.ERROR, answering.id, TOO_LARGE))

    def send_if_room(self, peer_id: int, message: bytes) -> None:
        """Send a message if there is room.

        A peer that does not read misses the message, and does not hold up others.
        """
        with suppress(PeerGone, trio.WouldBlock, trio.ClosedResourceError):
            self._topic.send_nowait(peer_id, message)

    def close(self) -> None:
        """End the requests in progress, because the topic is about to be closed."""
        self._runtime.on_rerouted.discard(self._look_soon)
        self._take(len(self._handle))  # peers that asked in time get an error
        for concerned in self._book.close(partial(trio.ClosedResourceError, "this Topic was closed")):
            if isinstance(concerned, Asked):
                self.send_if_room(concerned.peer_id, encode(Kind.CANCEL, concerned.id))
            else:
                self.send_if_room(concerned.request.peer_id, encode(Kind.ERROR, concerned.id, STOPPED))
            _notify(concerned)

    def _look_soon(self) -> None:
        """Look for peers that have gone, once in this round of tasks."""
        if not self._more:
            self._more = True
            self._runtime.flusher.add(self)

    def _look(self) -> None:
        for peer_id in self._book.peers:
            if not self._handle.reaches(peer_id):
                for concerned in self._book.lose(peer_id):
                    _notify(concerned)


@attrs.define(eq=False)
class _Server:
    """One call of `serve` on a topic."""

    requests: TopicRequests
    handler: RequestHandler
    nursery: trio.Nursery
    _waiting: deque[Answering[trio.CancelScope] | OverLimit] = attrs.field(factory=deque)
    _news: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    def add(self, news: Answering[trio.CancelScope] | OverLimit) -> None:
        """Add a request that has arrived."""
        if isinstance(news, Answering):
            news.owner = trio.CancelScope()
        self._waiting.append(news)
        self._news.unpark()

    async def run(self) -> None:
        """Start a handler for each request, until cancelled."""
        try:
            while True:
                while self._waiting:
                    self._begin(self._waiting.popleft())
                await self._news.park()
        finally:
            self.requests.stop_serving()
            for news in self._waiting:
                if isinstance(news, Answering):
                    self.requests.finish(news)

    def _begin(self, news: Answering[trio.CancelScope] | OverLimit) -> None:
        if isinstance(news, OverLimit):
            self.requests.send_if_room(news.peer_id, encode(Kind.ERROR, news.id, BUSY))
        elif news.wanted:
            self.nursery.start_soon(self._answer, news)
        else:
            self.requests.finish(news)

    async def _answer(self, answering: Answering[trio.CancelScope]) -> None:
        try:
            message = await self._outcome(answering)
            if answering.wanted:
                await self.requests.send(answering, message)
                answering.wanted = False
        finally:
            self.requests.finish(answering)

    async def _outcome(self, answering: Answering[trio.CancelScope]) -> bytes:
        text = STOPPED
        try:
            with answering.owner:
                reply = as_bytes(await self.handler(answering.request), "the handler's result")
                return encode(Kind.REPLY, answering.id, reply)
        except RequestError as error:
            text = error.text
        except Exception:
            logger.exception("request of peer %d: the handler failed", answering.request.peer_id)
            text = FAILED
        return encode(Kind.ERROR, answering.id, text)


def _notify(concerned: Asked[trio.Event] | Answering[trio.CancelScope]) -> None:
    """Wake the task that waits for a reply, or cancel a handler whose answer is no longer wanted."""
    if isinstance(concerned, Asked):
        concerned.owner.set()
    else:
        concerned.owner.cancel()
