"""`TopicHandle`: one join of a topic, which queues received messages within bounds, and sends."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Final, Generic, Literal, NamedTuple, Protocol, TypeAlias, cast

import attrs

from ..connection import Connection
from ..errors import LocalProtocolError
from ..limits import MESSAGE_COST, Limits
from ..outbox import Outbox
from ..owners import C, C_co, C_contra, H_co, H_contra

Overflow: TypeAlias = Literal["wait", "drop_oldest", "drop_newest"]
"""The reaction of a full handle: stop reading from its senders, or drop messages."""

OVERFLOWS: Final[tuple[Overflow, ...]] = ("wait", "drop_oldest", "drop_newest")


class Message(NamedTuple):
    """A message from a peer, as `Topic.receive` and `TopicHandle.receive` return it.

    It is a tuple for speed, at hundreds of thousands per second.
    """

    peer_id: int
    """The sender's peer id."""
    message: bytes
    """The payload, unchanged."""
    public_key: bytes
    """The sender's 32-byte public key, which it has proved."""


@attrs.frozen
class TopicStatistics:
    """Counters of one topic handle at one moment."""

    received_messages: int
    """Messages delivered to this handle, including those that were dropped later."""
    received_bytes: int
    """The sum of their payloads."""
    waiting_messages: int
    """Messages that wait to be received."""
    waiting_bytes: int
    """The sum of their payloads."""
    dropped_messages: int
    """Messages that a full handle dropped, because its `overflow` is not "wait"."""
    sent_messages: int
    """Messages accepted for sending; a broadcast counts once for each member."""
    sent_bytes: int
    """The sum of their payloads."""


@attrs.define(eq=False, repr=False)
class Route(Generic[C_co]):
    """The route of one topic to one peer."""

    connection: Connection[C_co]
    outbox: Outbox
    send: Callable[[bytes], None]
    check_size: Callable[[int], None]


class Source(Protocol[C_contra, H_contra]):
    """A source of messages: the interface between a handle and a connection."""

    def block(self, handle: TopicHandle[C_contra, H_contra]) -> None:
        """Stop reading, because a handle is full."""

    def unblock(self, handle: TopicHandle[C_contra, H_contra]) -> None:
        """Note that a handle has drained."""


class Router(Protocol[C, H_contra]):
    """The interface between a handle and its topic."""

    limits: Limits
    routes: dict[int, Route[C]]
    """The routes in use by peer id. An entry is removed as soon as it becomes wrong."""

    def route(self, peer_id: int) -> Route[C] | None:
        """Find the route to a peer; returns None while its connection is being replaced.

        Raises `UnknownPeer` or `PeerGone`.
        """

    def reaches(self, peer_id: int) -> bool:
        """Return whether there is a route to a peer, now or once its connection has been replaced."""

    def remove(self, handle: TopicHandle[C, H_contra]) -> None:
        """Remove a handle that was closed."""


def _messages(peer_id: int, public_key: bytes, payloads: Iterable[bytes]) -> Iterator[Message]:
    # This is the fastest way to make named tuples, and takes half the time of calling the class.
    return map(tuple.__new__, repeat(Message), zip(repeat(peer_id), payloads, repeat(public_key)))


class TopicHandle(Generic[C_co, H_co]):
    """One join of a topic, made by `Peersockets.join`: the queue of received messages, and the way to send.

    `len(handle)` is the number of messages that wait. A handle is true even if none waits.
    """

    __slots__ = (
        "_blocked",
        "_dropped",
        "_max_bytes",
        "_max_messages",
        "_overflow",
        "_received",
        "_received_bytes",
        "_routes",
        "_sent",
        "_sent_bytes",
        "_topic",
        "_waiting",
        "_waiting_bytes",
        "closed",
        "overflowed_in",
        "owner",
        "run",
        "runs",
    )  # fmt: skip

    def __init__(
        self,
        topic: Router[C_co, H_co],
        overflow: Overflow,
        owner: H_co | None,
    ) -> None:
        limits = topic.limits
        self._topic = topic
        self._overflow = overflow
        self._routes: dict[int, Route[C_co]] = topic.routes
        self._max_messages = limits.receive_messages
        self._max_bytes = limits.receive_bytes
        # Runs: the sender's id, its key, and at least one payload. `Message` tuples are only made when
        # they are taken, because short-lived objects cost the garbage collector nothing.
        self.runs: deque[tuple[int, bytes, list[bytes]]] = deque()
        # The run that is being taken, with its payloads in reverse order, so that `pop` takes the oldest one.
        self.run: tuple[int, bytes, list[bytes]] = (0, b"", [])
        self._waiting = self._waiting_bytes = 0
        self._blocked: OrderedDict[Source[C_co, H_co], None] = (
            OrderedDict()
        )  # in the order in which they get their turn
        self._received = self._received_bytes = self._dropped = self._sent = self._sent_bytes = 0
        self.closed = False
        """Whether it was closed here, by itself or with its drive."""
        self.overflowed_in = 0
        """The number of the read in which it last began to overflow."""
        self.owner = cast(H_co, owner)
        """The object that the host wakes; None if the program around the core has given none."""

    def __repr__(self) -> str:
        return f"<TopicHandle, {'closed' if self.closed else f'{self._waiting} messages wait'}>"

    def __len__(self) -> int:
        """Return the number of messages that wait. A handle is true even if none does."""
        return self._waiting

    def __bool__(self) -> Literal[True]:
        return True

    @property
    def full(self) -> bool:
        """Whether the bounds of the queue are reached."""
        return self._waiting >= self._max_messages or self._cost >= self._max_bytes

    @property
    def holds_up(self) -> bool:
        """Whether a full handle holds up its sources instead of dropping messages."""
        return self._overflow == "wait"

    @property
    def overflowing(self) -> bool:
        """Whether twice the bounds are reached, which is more than the last reads of held-up sources
        explain.
        """
        return self._waiting >= 2 * self._max_messages or self._cost >= 2 * self._max_bytes

    def put(self, peer_id: int, public_key: bytes, payloads: list[bytes]) -> bool:
        """Add a run of messages from one peer; returns whether the handle is full now."""
        size = sum(map(len, payloads))
        self._received += len(payloads)
        self._received_bytes += size
        self._waiting += len(payloads)
        self._waiting_bytes += size
        full = self.full
        if full and self._overflow == "drop_newest":
            payloads = self._without_newest(payloads)
            if not payloads:
                return full
        runs = self.runs
        if runs and runs[-1][0] == peer_id:
            runs[-1][2].extend(payloads)
        else:
            runs.append((peer_id, public_key, payloads.copy()))  # other handles get the same list
        if full and self._overflow == "drop_oldest":
            self._drop_oldest()
        return full

    def block(self, source: Source[C_co, H_co]) -> None:
        """Hold up a source until this handle has drained, if the handle is full and does not drop
        messages.
        """
        if self.holds_up and self.full:
            source.block(self)
            self._blocked[source] = None

    def forget(self, source: Source[C_co, H_co]) -> None:
        """Remove a source that has ended."""
        self._blocked.pop(source, None)

    def take(self) -> Message:
        """Remove and return the oldest message. Raises `IndexError` if there is none."""
        peer_id, public_key, payloads = self.run if self.run[2] else self._begin_run()
        payload = payloads.pop()
        message = tuple.__new__(Message, (peer_id, payload, public_key))
        self._waiting -= 1
        self._waiting_bytes -= len(payload)
        if self._blocked and not self.full:
            self._release()
        return message

    def take_all(self) -> list[Message]:
        """Remove and return all waiting messages."""
        peer_id, public_key, payloads = self.run
        messages = list(_messages(peer_id, public_key, reversed(payloads)))
        for run in self.runs:
            messages += _messages(*run)
        self._forget()
        return messages

    def take_batch(self, most: int) -> list[Message]:
        """Remove and return the oldest messages, at most `most`."""
        if self._waiting <= most:
            return self.take_all()
        messages: list[Message] = []
        while len(messages) < most:
            peer_id, public_key, payloads = self._begin_run()
            first = len(messages) - most
            messages += _messages(peer_id, public_key, reversed(payloads[first:]))
            del payloads[first:]
        self._waiting -= most
        self._waiting_bytes -= sum(len(message.message) for message in messages)
        self._release()
        return messages

    def send(self, peer_id: int, payload: bytes, *, in_turn: bool = False) -> Connection[C_co] | None:
        """Queue a message; returns the connection that carries it, or None if there is no room yet.

        A sender that has waited passes `in_turn`, and may use the room that is reserved for waiting
        senders (see `Outbox.reserve`). Raises `UnknownPeer`, `PeerGone` or `MessageTooLarge`, and then
        queues nothing.
        """
        try:
            route = self._routes[peer_id]
        except KeyError:
            found = self._find(peer_id)
            if found is None:
                return None
            route = found
        outbox = route.outbox
        if outbox.size >= (outbox.limit if in_turn else outbox.room):
            return None
        route.send(payload)
        self._sent += 1
        self._sent_bytes += len(payload)
        return route.connection

    def route(self, peer_id: int) -> Route[C_co] | None:
        """Return the current route to a peer, or None while its connection is being replaced. Raises
        `UnknownPeer` or `PeerGone`.
        """
        return self._routes.get(peer_id) or self._find(peer_id)

    def reaches(self, peer_id: int) -> bool:
        """Return whether messages can reach a peer, now or once its connection has been replaced."""
        return not self.closed and self._topic.reaches(peer_id)

    def close(self) -> None:
        """Leave the topic: the handle receives nothing more and drops its waiting messages. Other handles are
        not affected.
        """
        if not self.closed:
            self.closed = True
            self._routes = {}
            self._forget()
            self._topic.remove(self)

    def statistics(self) -> TopicStatistics:
        """Return the current counters."""
        return TopicStatistics(
            received_messages=self._received,
            received_bytes=self._received_bytes,
            waiting_messages=self._waiting,
            waiting_bytes=self._waiting_bytes,
            dropped_messages=self._dropped,
            sent_messages=self._sent,
            sent_bytes=self._sent_bytes,
        )

    @property
    def _cost(self) -> int:
        return self._waiting_bytes + self._waiting * MESSAGE_COST

    @property
    def _over(self) -> bool:
        return self._waiting > self._max_messages or self._cost > self._max_bytes

    def _drop_oldest(self) -> None:
        while self._over:
            self.take()
            self._dropped += 1

    def _without_newest(self, payloads: list[bytes]) -> list[bytes]:
        """Drop as many of the payloads just counted as necessary; returns the others."""
        kept = payloads.copy()
        while self._over:
            self._waiting -= 1
            self._waiting_bytes -= len(kept.pop())
            self._dropped += 1
        return kept

    def _forget(self) -> None:
        self.run = (0, b"", [])
        self.runs.clear()
        self._waiting = self._waiting_bytes = 0
        self._release()

    def _begin_run(self) -> tuple[int, bytes, list[bytes]]:
        """Return the run that holds the oldest message. Raises `IndexError` if there is none."""
        if not self.run[2]:
            self.run = self.runs.popleft()
            self.run[2].reverse()
        return self.run

    def _find(self, peer_id: int) -> Route[C_co] | None:
        if self.closed:
            raise LocalProtocolError("the topic handle is closed")
        return self._topic.route(peer_id)

    def _release(self) -> None:
        while self._blocked and not self.full:  # a source may have held back messages that fill it again
            self._blocked.popitem(last=False)[0].unblock(self)


def check_overflow(overflow: str) -> None:
    """Raise `ValueError` unless `overflow` is one of `OVERFLOWS`."""
    if overflow not in OVERFLOWS:
        raise ValueError(f"overflow must be one of {', '.join(OVERFLOWS)}, not {overflow!r}")


def check_peer_id(peer_id: object) -> None:
    """Raise `TypeError` unless `peer_id` is a number."""
    if not isinstance(peer_id, int) or isinstance(peer_id, bool):
        raise TypeError(f"peer_id must be int, not {type(peer_id).__name__}")
