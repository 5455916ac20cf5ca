"""`Watch`: queues the joins and leaves of a drive's members for an application."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, Literal, TypeAlias, cast

import attrs

from ..events import WireName
from ..owners import H_co


@attrs.frozen
class PeerJoined:
    """A peer has become a member of the drive: it has proved that it knows the drive's key."""

    peer_id: int
    """The number to send to: the same for every drive and topic of the node, and after a return."""
    public_key: bytes = attrs.field(repr=lambda key: key.hex())
    """The peer's 32-byte public key, which it has proved."""
    wire: WireName
    """The wire on which it was met."""


@attrs.frozen
class PeerLeft:
    """A peer is no longer a member of the drive."""

    peer_id: int
    """The number that its `PeerJoined` had, and will have again if it returns."""
    public_key: bytes = attrs.field(repr=lambda key: key.hex())
    """The peer's 32-byte public key."""
    wire: WireName
    """The wire on which it was met."""
    reason: str = ""
    """The reason, for people; empty if the peer closed in good order."""
    unsent: int = 0
    """Bytes of messages that were accepted for sending but had not left when the peer did."""


PeerEvent: TypeAlias = PeerJoined | PeerLeft
"""An event of a watch."""


class Watch(Generic[H_co]):
    """A feed of members that join and leave, made by `Peersockets.watch`. It begins with those present.

    `len(watch)` is the number of events that wait. A watch is true even if none waits.
    """

    __slots__ = ("_events", "_joins", "_max_events", "_numbers", "_watches", "closed", "owner")

    def __init__(
        self,
        watches: list[Watch[H_co]],
        present: Iterable[PeerJoined],
        max_events: int,
        owner: H_co | None,
    ) -> None:
        self._watches = watches
        self._max_events = max_events
        self._numbers = itertools.count()
        # The events by number, in order. In a plain dictionary, finding the first entry takes long after many
        # removals.
        self._events: OrderedDict[int, PeerEvent] = OrderedDict()
        self._joins: dict[
            int, int
        ] = {}  # by peer id, the number of a waiting join without a later event of that peer
        self.closed = False
        """Whether it was closed here, by itself or with its drive."""
        self.owner = cast(H_co, owner)
        """The object that the host wakes; None if the program around the core has given none."""
        for event in present:
            self.put(event)

    def __repr__(self) -> str:
        return f"<Watch, {'closed' if self.closed else f'{len(self)} events wait'}>"

    def __len__(self) -> int:
        return len(self._events)

    def __bool__(self) -> Literal[True]:
        return True

    def put(self, event: PeerEvent) -> None:
        """Add an event.

        If too many events wait and a peer leaves whose join was not taken yet, both events are dropped. The
        events beyond the bound are therefore never more than the current members.
        """
        unseen = self._joins.pop(event.peer_id, None)
        if isinstance(event, PeerLeft) and unseen is not None and len(self._events) >= self._max_events:
            del self._events[unseen]
            return
        number = next(self._numbers)
        self._events[number] = event
        if isinstance(event, PeerJoined):
            self._joins[event.peer_id] = number

    def take(self) -> PeerEvent:
        """Remove and return the oldest event. Raises `IndexError` if there is none."""
        if not self._events:
            raise IndexError("no event is waiting")
        number, event = self._events.popitem(last=False)
        if self._joins.get(event.peer_id) == number:
            del self._joins[event.peer_id]
        return event

    def close(self) -> None:
        """Stop watching."""
        if not self.closed:
            self.closed = True
            self._events.clear()
            self._joins.clear()
            self._watches.remove(self)
