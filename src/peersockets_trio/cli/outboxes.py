"""`Outboxes`: sends messages at once to peers that keep up, and through an outbox to each peer that does not.

A peer that does not read does not hold up others. Its outbox keeps the messages that it misses in a short
pause. When the outbox is full, the input waits, so that a fast input does not lose messages on a slow
line. A peer that has taken nothing for a few seconds misses messages until its outbox is empty again; a
`PeerBehind` reports that.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import attrs
import trio

from peersockets_core import DEFAULT_LIMITS, PeerGone, PeerLeft, PeersocketsError

from ..drive import Drive
from ..node import Node
from ..topic import Topic

MAX_BYTES: Final = 16 * 1024 * 1024
"""Bytes in one outbox: the largest message, or five seconds of a line of 25 Mbit/s."""
MAX_MESSAGES: Final = 16_384
PATIENCE: Final = 5.0
"""Seconds that a full outbox holds up the input after its peer last took a message. A connection has room
again when the peer has taken `Limits.send_buffer` bytes. A line of 2 Mbit/s manages that within this time; a
trickle does not."""
_LONGEST: Final = 60.0
"""The most seconds that the end waits for peers that only take a little now and then."""
_LOOK: Final = 0.05
"""Seconds between two looks at the unsent bytes, at the end."""


class PeerBehind(PeersocketsError):
    """A peer does not take its messages in time."""

    def __init__(self, peer_id: int, text: str, messages: int = 0, size: int = 0) -> None:
        super().__init__(f"peer {peer_id} {text}")
        self.peer_id = peer_id
        self.messages = messages
        """The number of affected messages, not counting those that had begun to be sent."""
        self.size = size
        """The number of affected bytes."""


class _State(enum.Enum):
    BEHIND = enum.auto()
    """The outbox has room, or holds up the input for a while."""
    REFUSING = enum.auto()
    """The outbox was full for too long. Until it is empty, it takes nothing and holds up nothing."""
    ENDED = enum.auto()
    """The outbox is empty, or its peer has gone."""


@attrs.define(eq=False)
class _Outbox:
    """The messages that wait for one peer, in order."""

    peer_id: int
    state: _State = _State.BEHIND
    waiting: deque[tuple[Topic, bytes]] = attrs.field(factory=deque)
    size: int = 0
    refused_messages: int = 0
    refused_size: int = 0
    taken_at: float = attrs.field(factory=trio.current_time)
    """The time at which the peer last took a message, or fell behind."""
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    """The scope of the task that sends the waiting messages."""
    _changed: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    def takes(self, message: bytes) -> bool:
        """Return whether there is room for a message now. An empty outbox has room for any message."""
        fits = self.size + len(message) <= MAX_BYTES and len(self.waiting) < MAX_MESSAGES
        return self.state is _State.BEHIND and (fits or not self.waiting)

    async def until_room(self, message: bytes) -> None:
        """Wait until there is room for a message, the outbox has ended, or `PATIENCE` is over."""
        while self.state is _State.BEHIND and not self.takes(message):
            with trio.move_on_at(self.taken_at + PATIENCE) as scope:
                await self._changed.park()
            if scope.cancelled_caught:
                return

    def put(self, topic: Topic, message: bytes) -> None:
        """Add a message."""
        self.waiting.append((topic, message))
        self.size += len(message)

    def pop(self) -> None:
        """Remove the first message."""
        _, message = self.waiting.popleft()
        self.size -= len(message)
        self.taken_at = trio.current_time()
        self._changed.unpark_all()

    def end(self) -> None:
        """Drop all messages, and take no more."""
        self.state = _State.ENDED
        self.waiting.clear()
        self.size = 0
        self._changed.unpark_all()


class Outboxes:
    """The outboxes of a drive's peers that do not keep up. Most of the time there are none."""

    def __init__(
        self,
        node: Node,
        drive: Drive,
        nursery: trio.Nursery,
        report: Callable[[PeerBehind], None],
        *,
        others: Callable[[], int] = lambda: 0,
    ) -> None:
        """Begin; `report` is called when a peer falls behind, keeps up again, or goes without messages.

        `others` returns the number of messages that are about to be sent past the outboxes; `drain` waits for
        them, too.
        """
        self._others = others
        self._node = node
        self._drive = drive
        self._nursery = nursery
        self._report = report
        self._outboxes: dict[int, _Outbox] = {}
        self._closing: set[Topic] = set()
        self.refused = 0
        """The number of messages that were not accepted, counted once for each peer."""

    async def send(self, topic: Topic, peer_id: int, message: bytes) -> None:
        """Send a message to a peer, or put it into the peer's outbox.

        Raises the errors of `Topic.send`, and `PeerBehind` if the outbox does not take the message.
        """
        outbox = self._outboxes.get(peer_id)
        if outbox is None:
            with suppress(trio.WouldBlock):
                topic.send_nowait(peer_id, message)
                return
        topic.check_size(peer_id, len(message))
        if not await self._put([peer_id], topic, message):
            raise PeerBehind(peer_id, "does not keep up; the message is not accepted", 1, len(message))

    async def broadcast(self, topic: Topic, message: bytes) -> int:
        """Send a message to all members, or put it into their outboxes; returns how many members get it.

        Raises the errors of `Topic.broadcast`.
        """
        sent, late = topic.broadcast_nowait(message, behind=self._outboxes)
        return sent + await self._put(late, topic, message)

    def close(self, topic: Topic) -> None:
        """Close a topic as soon as its waiting messages have been sent."""
        self._closing.add(topic)
        self._close_topics()

    async def drain(self) -> None:
        """Wait until everything has left, but stop if nothing leaves for a while."""
        least = math.inf
        with trio.move_on_after(_LONGEST), trio.move_on_after(DEFAULT_LIMITS.linger) as stalled:
            while (unsent := self._unsent) > 0:
                if unsent < least:
                    least = unsent
                    stalled.deadline = trio.current_time() + DEFAULT_LIMITS.linger
                await trio.sleep(_LOOK)

    async def finish(self, topics: Iterable[Topic]) -> list[PeerBehind]:
        """Close topics, and every connection in good order; returns a `PeerBehind` for each peer that has not
        taken everything.

        This does not wait for peers that still have something to take: see `drain`.
        """
        lost = {peer_id: (len(outbox.waiting), outbox.size) for peer_id, outbox in self._outboxes.items()}
        for outbox in self._outboxes.values():
            outbox.scope.cancel()
        for topic in [*topics, *self._closing]:
            topic.close()  # a full topic would keep its connections from being read to their end
        events = self._drive.watch()
        for peer in self._drive.peers.values():
            if peer.unsent or peer.peer_id in lost:
                self._node.disconnect(peer.peer_id, "did not take everything in time")
        await self._node.finish()
        with suppress(trio.WouldBlock):
            while True:
                event = events.receive_nowait()
                if isinstance(event, PeerLeft) and (event.unsent or event.peer_id in lost):
                    messages, size = lost.get(event.peer_id, (0, 0))
                    lost[event.peer_id] = (messages, size + event.unsent)
        return [PeerBehind(peer_id, _describe_loss(*loss), *loss) for peer_id, loss in lost.items()]

    @property
    def _unsent(self) -> int:
        waiting = sum(outbox.size + len(outbox.waiting) for outbox in self._outboxes.values())
        return waiting + self._node.statistics().unsent_bytes + self._others()

    async def _put(self, peer_ids: Iterable[int], topic: Topic, message: bytes) -> int:
        """Put a message into outboxes, after a wait for room if necessary; returns how many take it."""
        taken = 0
        full = []
        for outbox in map(self._outbox, peer_ids):
            if outbox.takes(message):
                outbox.put(topic, message)
                taken += 1
            else:
                full.append(outbox)

        async def put_later(outbox: _Outbox) -> None:
            nonlocal taken
            await outbox.until_room(message)
            if outbox.takes(message):
                outbox.put(topic, message)
                taken += 1
            elif outbox.state is not _State.ENDED:
                self._refuse(outbox, message)

        if full:
            async with trio.open_nursery() as nursery:
                for outbox in full:
                    nursery.start_soon(put_later, outbox)
        return taken

    def _outbox(self, peer_id: int) -> _Outbox:
        outbox = self._outboxes.get(peer_id)
        if outbox is None:
            outbox = self._outboxes[peer_id] = _Outbox(peer_id)
            self._nursery.start_soon(self._empty, outbox)
        return outbox

    def _refuse(self, outbox: _Outbox, message: bytes) -> None:
        outbox.refused_messages += 1
        outbox.refused_size += len(message)
        self.refused += 1
        if outbox.state is _State.BEHIND:
            outbox.state = _State.REFUSING
            waiting = len(outbox.waiting)
            text = f"does not keep up: {waiting} messages wait for it, and it misses later messages"
            self._report(PeerBehind(outbox.peer_id, text, waiting, outbox.size))

    async def _empty(self, outbox: _Outbox) -> None:
        """Send the waiting messages of a peer, as fast as it takes them, until none is left."""
        peer_id = outbox.peer_id
        try:
            with outbox.scope:
                while outbox.waiting:
                    topic, message = outbox.waiting[0]
                    await topic.send(peer_id, message)
                    outbox.pop()
                    self._close_topics()
                if outbox.refused_messages:
                    text = f"keeps up again; it went without {outbox.refused_messages} messages"
                    self._report(PeerBehind(peer_id, text, outbox.refused_messages, outbox.refused_size))
        except PeerGone:
            messages = len(outbox.waiting) + outbox.refused_messages
            text = f"is gone; it went without {messages} messages"
            self._report(PeerBehind(peer_id, text, messages, outbox.size + outbox.refused_size))
        finally:
            outbox.end()
            del self._outboxes[peer_id]
        self._close_topics()

    def _close_topics(self) -> None:
        if self._closing:
            needed = {topic for outbox in self._outboxes.values() for topic, _ in outbox.waiting}
            for topic in self._closing - needed:
                topic.close()
            self._closing &= needed


def _describe_loss(messages: int, size: int) -> str:
    waited = f", including {messages} messages that waited for it" if messages else ""
    return f"did not take everything in time: {size} bytes are lost{waited}"
