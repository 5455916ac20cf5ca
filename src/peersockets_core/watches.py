"""What an application holds of a drive: a watch of its members, which queues who comes and goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, TypeAlias

import attrs

from .events import WireName


@attrs.frozen
class PeerJoined:
    """A peer has become a member of the drive."""

    peer_id: int
    public_key: bytes = attrs.field(repr=lambda key: key.hex())
    wire: WireName


@attrs.frozen
class PeerLeft:
    """A peer is no longer a member of the drive."""

    peer_id: int
    public_key: bytes = attrs.field(repr=lambda key: key.hex())
    wire: WireName
    reason: str = ""
    """Why, for people; empty where the peer closed in good order."""
    unsent: int = 0
    """Bytes of messages that were accepted for sending and had not left when the peer did."""


PeerEvent: TypeAlias = PeerJoined | PeerLeft


class Watch:
    """A feed of members joining and leaving, which begins with those present."""

    __slots__ = ("_events", "_max_events", "_watches", "closed", "owner")

    def __init__(
        self, watches: list[Watch], present: Iterable[PeerJoined], max_events: int, owner: Any
    ) -> None:
        self._watches = watches
        self._events: deque[PeerEvent] = deque(present)
        self._max_events = max_events
        self.closed = False
        self.owner = owner
        """For the adapter's use: what it wakes."""

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: PeerEvent) -> None:
        """Take an event."""
        self._events.append(event)
        if len(self._events) > self._max_events:
            self._fold()

    def take(self) -> PeerEvent:
        """Remove and return the oldest event. Raises `IndexError` if there is none."""
        return self._events.popleft()

    def close(self) -> None:
        """Stop watching."""
        if not self.closed:
            self.closed = True
            self._events.clear()
            self._watches.remove(self)

    def _fold(self) -> None:
        # Members that came and went unseen are left out: what stays is bounded by the members there are.
        kept: dict[int, list[PeerEvent]] = {}
        for event in self._events:
            events = kept.setdefault(event.peer_id, [])
            if isinstance(event, PeerLeft) and events and isinstance(events[-1], PeerJoined):
                events.pop()
            else:
                events.append(event)
        unseen = {id(event) for events in kept.values() for event in events}
        self._events = deque(event for event in self._events if id(event) in unseen)
