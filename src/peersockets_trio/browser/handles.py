"""`PageTopic` and `PageWatch`: the handles that a page has opened."""

from __future__ import annotations

import enum

import attrs

from ..topic import Topic
from ..watch import PeerEvents


class HandleState(enum.Enum):
    """The states of a topic handle."""

    OPEN = enum.auto()
    DRAINING = enum.auto()
    """The page has closed it, but messages of the page still wait for their peers."""
    CLOSED = enum.auto()


@attrs.define(eq=False)
class PageTopic:
    """A topic that a page has joined."""

    number: int
    topic: Topic
    state: HandleState = HandleState.OPEN
    waiting: int = 0
    """Messages of the page that wait for room on the way to their peers."""

    def close(self) -> None:
        """Close the topic as soon as no message waits any more."""
        if self.waiting:
            self.state = HandleState.DRAINING
        else:
            self.state = HandleState.CLOSED
            self.topic.close()

    def left(self) -> None:
        """Note that a waiting message has left, or is lost."""
        self.waiting -= 1
        if not self.waiting and self.state is HandleState.DRAINING:
            self.close()


@attrs.define(eq=False)
class PageWatch:
    """A watch of a page."""

    number: int
    events: PeerEvents

    def close(self) -> None:
        """Stop watching."""
        self.events.close()


PageHandle = PageTopic | PageWatch
