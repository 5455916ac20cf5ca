"""`Feed`: a drive's members and messages in the order that a reader expects."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from peersockets_core import Message, PeerEvent, PeerJoined

from ..drive import Drive
from ..topic import Topic
from ..watch import PeerEvents

_AT_ONCE: Final = 64
"""Messages told in one turn: a handle may hold many thousands, and others wait meanwhile."""


class Feed:
    """Tells what happens on a drive: a peer's messages come after its join and before its leave.

    Members and every topic are followed by tasks of their own; whichever runs first, the order is right.
    """

    def __init__(
        self,
        drive: Drive,
        *,
        member: Callable[[PeerEvent], None],
        message: Callable[[Topic, Message], None],
        room: Callable[[], Awaitable[None]],
    ) -> None:
        """`member` and `message` are told; `room` waits until more can be told."""
        self.topics: dict[str, Topic] = {}
        """The joined topics by name; to be added to and removed from."""
        self._events: PeerEvents = drive.watch()
        self._tell_member = member
        self._tell_message = message
        self._room = room

    async def follow_members(self) -> None:
        """Tell of members for ever, beginning with those present."""
        async for event in self._events:
            self._tell(event)
            await self._room()

    async def follow_topic(self, topic: Topic) -> None:
        """Tell of a topic's messages until it is closed."""
        try:
            while True:
                first = await topic.receive()
                self._tell_after_joins(topic, [first, *_waiting(topic, _AT_ONCE - 1)])
                await self._room()
                await trio.lowlevel.checkpoint()
        except trio.ClosedResourceError:
            pass

    def _tell_after_joins(self, topic: Topic, messages: list[Message]) -> None:
        pending = [(topic, messages)]
        while (event := _next_event(self._events)) is not None:
            if not isinstance(event, PeerJoined):
                self._tell_messages(pending)
            self._tell(event)
        self._tell_messages(pending)

    def _tell(self, event: PeerEvent) -> None:
        if not isinstance(event, PeerJoined):
            self._tell_messages([(topic, _waiting(topic)) for topic in self.topics.values()])
        self._tell_member(event)

    def _tell_messages(self, pending: list[tuple[Topic, list[Message]]]) -> None:
        for topic, messages in pending:
            if self.topics.get(topic.name) is topic:  # or it has been removed, and still sends
                for message in messages:
                    self._tell_message(topic, message)
        pending.clear()


def _next_event(events: PeerEvents) -> PeerEvent | None:
    try:
        return events.receive_nowait()
    except trio.WouldBlock:
        return None


def _waiting(topic: Topic, most: int | None = None) -> list[Message]:
    messages: list[Message] = []
    while len(messages) != most:
        try:
            messages.append(topic.receive_nowait())
        except trio.WouldBlock:
            break
    return messages
