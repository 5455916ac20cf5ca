"""`Drive`: a drive opened on a node, with its topics and watches."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import trio

from peersockets_core import DriveKey, Overflow, TopicScope
from peersockets_core.info import PeerInfo

from .runtime.closing import Closing
from .runtime.machine import NodeDrive
from .runtime.node_runtime import NodeRuntime
from .topic import Topic
from .watch import PeerEvents


class Drive(Closing):
    """One opening of a drive, made by `Node.open_drive`. Use it as an async context manager, or close it.

    `join` joins a topic, `watch` follows its members, and `peers` lists them.
    """

    def __init__(self, runtime: NodeRuntime, opened: NodeDrive, topic_scope: TopicScope) -> None:
        self._runtime = runtime
        self._opened = opened
        self._topic_scope = topic_scope
        self._children: list[Topic | PeerEvents] = []
        self.closed = False
        """Whether it was closed here, by itself or with its node."""

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
        return MappingProxyType({peer_id: self._runtime.peer(peer_id) for peer_id in self._opened.members})

    def join(self, topic: str, *, overflow: Overflow = "wait") -> Topic:
        """Join a topic of the drive, for sending and receiving.

        `overflow` selects the reaction if messages arrive faster than the application receives them:
        `"wait"` stops reading from their senders; `"drop_oldest"` and `"drop_newest"` drop messages and
        count them.

        Raises `TypeError` or `ValueError` for a topic that is not text or has lone surrogates, or for an
        unknown `overflow`, and `trio.ClosedResourceError` if the drive is closed.
        """
        self._check_open()
        joined = Topic(self._runtime, self._opened, topic, scope=self._topic_scope, overflow=overflow)
        self._adopt(joined)
        return joined

    def watch(self) -> PeerEvents:
        """Watch members join and leave, beginning with the members present.

        Raises `trio.ClosedResourceError` if the drive is closed.
        """
        self._check_open()
        events = PeerEvents(self._runtime, self._opened)
        self._adopt(events)
        return events

    def close(self) -> None:
        """Close the drive with its topics and watches. Other openings of the drive stay open. Closing it
        twice is fine.
        """
        self._runtime.affinity.check()
        if self.closed:
            return
        self.closed = True
        for child in self._children:
            child.close()
        self._children.clear()
        self._runtime.close_drive(self._opened)

    def _check_open(self) -> None:
        self._runtime.affinity.check()
        if self.closed:
            raise trio.ClosedResourceError("this Drive is closed")

    def _adopt(self, child: Topic | PeerEvents) -> None:
        self._children = [other for other in self._children if not other.closed]
        self._children.append(child)
