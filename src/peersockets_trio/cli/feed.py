"""`Feed`: delivers a drive's members and messages in the order that a reader expects."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio

from peersockets_core import Message, PeerEvent, PeerJoined

from ..drive import Drive
from ..topic import Topic
from ..watch import PeerEvents

_AT_ONCE: Final = 64
"""Messages delivered in one turn. A handle may hold many thousands, and other tasks wait meanwhile."""

_BYTES_AT_ONCE: Final = 4096
"""Bytes of messages delivered in one turn. Each character that must be escaped takes microseconds."""


class Feed:
    """Delivers the events of a drive: a peer's messages come after its join and before its leave.

    One task follows the members, and one task follows each topic; only one of them delivers at a time.
    The order is right whichever task runs first, because the task that delivers also delivers the events
    that waiting tasks have taken.
    """

    def __init__(
        self,
        drive: Drive,
        *,
        member: Callable[[PeerEvent], None],
        message: Callable[[Topic, Message], Awaitable[None]],
        room: Callable[[], Awaitable[None]],
    ) -> None:
        """Deliver events to `member` and `message`; `room` waits until there is room for more."""
        self.topics: dict[str, Topic] = {}
        """The joined topics by name; the owner adds and removes them."""
        self._events: PeerEvents = drive.watch()
        self._on_member = member
        self._on_message = message
        self._room = room
        self._turn = trio.Lock()
        self._taken_events: deque[PeerEvent] = deque()
        self._taken_messages: dict[Topic, Message] = {}

    async def follow_members(self) -> None:
        """Deliver members for ever, beginning with those present."""
        async for event in self._events:
            self._taken_events.append(event)
            async with self._turn:
                while (next_event := self._next_event()) is not None:
                    await self._deliver(next_event)
            await self._room()

    async def follow_topic(self, topic: Topic) -> None:
        """Deliver a topic's messages until it is closed."""
        try:
            while True:
                self._taken_messages[topic] = await topic.receive()
                async with self._turn:
                    await self._deliver_after_joins(topic, self._take(topic, _AT_ONCE))
                await self._room()
        except trio.ClosedResourceError:
            self._taken_messages.pop(topic, None)

    @asynccontextmanager
    async def turn_after_joins(self) -> AsyncIterator[None]:
        """During the block, nothing else is delivered; the members that have joined before it have been."""
        async with self._turn:
            while (event := self._next_event()) is not None:
                await self._deliver(event)
            yield

    async def _deliver_after_joins(self, topic: Topic, messages: list[Message]) -> None:
        while (event := self._next_event()) is not None:
            if not isinstance(event, PeerJoined):
                await self._deliver_messages(topic, messages)
                messages = []
            await self._deliver(event)
        await self._deliver_messages(topic, messages)

    async def _deliver(self, event: PeerEvent) -> None:
        """Deliver a member's event; a leave comes after all messages that arrived before it."""
        waiting = [] if isinstance(event, PeerJoined) else [*map(self._waiting, self.topics.values())]
        for topic, count in waiting:
            while count and (messages := self._take(topic, min(count, _AT_ONCE))):
                count -= len(messages)
                await self._deliver_messages(topic, messages)
                await trio.lowlevel.checkpoint()
        self._on_member(event)

    async def _deliver_messages(self, topic: Topic, messages: list[Message]) -> None:
        delivered = 0
        for message in messages:
            if self.topics.get(topic.name) is topic:  # a removed topic may still send
                await self._on_message(topic, message)
            delivered += len(message.message)
            if delivered > _BYTES_AT_ONCE:
                delivered = 0
                await trio.lowlevel.checkpoint()

    def _next_event(self) -> PeerEvent | None:
        if self._taken_events:
            return self._taken_events.popleft()
        try:
            return self._events.receive_nowait()
        except trio.WouldBlock:
            return None

    def _waiting(self, topic: Topic) -> tuple[Topic, int]:
        """Return how many messages of a topic are not delivered yet."""
        return topic, topic.statistics().waiting_messages + (topic in self._taken_messages)

    def _take(self, topic: Topic, most: int) -> list[Message]:
        """Return the next messages of a topic, beginning with the one that is already taken."""
        messages = [self._taken_messages.pop(topic)] if topic in self._taken_messages else []
        try:
            while len(messages) < most:
                messages.append(topic.receive_nowait())
        except (trio.WouldBlock, trio.ClosedResourceError):
            pass
        return messages
