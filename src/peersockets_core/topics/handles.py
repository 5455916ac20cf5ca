"""What an application holds of a topic: one join of it, which queues what comes, within bounds."""

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
"""What happens when a handle is full: its senders are read no further, or messages are dropped."""

OVERFLOWS: Final[tuple[Overflow, ...]] = ("wait", "drop_oldest", "drop_newest")


class Message(NamedTuple):
    """A message from a peer. A tuple because hundreds of thousands a second are made."""

    peer_id: int
    """The sender's."""
    message: bytes
    """What it sent, as it was."""
    public_key: bytes
    """The sender's 32-byte public key, which it has proved."""


@attrs.frozen
class TopicStatistics:
    """Counters of one topic handle, at one moment."""

    received_messages: int
    """Delivered to this handle, those dropped later included."""
    received_bytes: int
    waiting_messages: int
    waiting_bytes: int
    dropped_messages: int
    sent_messages: int
    sent_bytes: int


@attrs.define(eq=False)
class Route(Generic[C_co]):
    """The way of one topic to one peer."""

    connection: Connection[C_co]
    outbox: Outbox
    send: Callable[[bytes], None]
    check_size: Callable[[int], None]


class Source(Protocol[C_contra, H_contra]):
    """Where messages come from: a connection, as far as a handle is concerned."""

    def block(self, handle: TopicHandle[C_contra, H_contra]) -> None:
        """A handle is full: read no further."""

    def unblock(self, handle: TopicHandle[C_contra, H_contra]) -> None:
        """A handle has drained."""


class Router(Protocol[C, H_contra]):
    """What a handle asks of its topic."""

    limits: Limits
    routes: dict[int, Route[C]]
    """Ways in use by peer id; entries go as soon as they cease to be right."""

    def route(self, peer_id: int) -> Route[C] | None:
        """Find the way to a peer, or None while its connection is being replaced.

        Raises `UnknownPeer` or `PeerGone`.
        """

    def reaches(self, peer_id: int) -> bool:
        """Whether there is a way to a peer, or will be once its connection has been replaced."""

    def remove(self, handle: TopicHandle[C, H_contra]) -> None:
        """A handle has been closed."""


def _messages(peer_id: int, public_key: bytes, payloads: Iterable[bytes]) -> Iterator[Message]:
    # The fastest way to make named tuples, in half the time that calling the class takes.
    return map(tuple.__new__, repeat(Message), zip(repeat(peer_id), payloads, repeat(public_key)))


class TopicHandle(Generic[C_co, H_co]):
    """One join of a topic: what it has received and not yet handed over, and the way to send."""

    __slots__ = (
        "_blocked", "_dropped", "_max_bytes", "_max_messages", "_overflow", "_received", "_received_bytes",
        "_routes", "_run", "_runs", "_sent", "_sent_bytes", "_topic", "_waiting",
        "_waiting_bytes", "closed", "overflowed_in", "owner",
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
        # Sender's id, its key, and its payloads, at least one. Messages are made when they are taken: what
        # dies young costs the garbage collector nothing.
        self._runs: deque[tuple[int, bytes, list[bytes]]] = deque()
        # The first of them, begun: the payloads from the last to the first, so that taking one lets go of it.
        self._run: tuple[int, bytes, list[bytes]] = (0, b"", [])
        self._waiting = self._waiting_bytes = 0
        self._blocked: OrderedDict[Source[C_co, H_co], None] = (
            OrderedDict()
        )  # in the order in which they get their turn
        self._received = self._received_bytes = self._dropped = self._sent = self._sent_bytes = 0
        self.closed = False
        self.overflowed_in = 0
        """The number of the read in which it has last come to be overflowing."""
        self.owner = cast(H_co, owner)
        """The object that the host wakes; None if the program around the core has given none."""

    def __len__(self) -> int:
        return self._waiting

    @property
    def full(self) -> bool:
        """Whether the bounds are reached."""
        return self._waiting >= self._max_messages or self._cost >= self._max_bytes

    @property
    def holds_up(self) -> bool:
        """Whether it holds up its sources when it is full, and does not drop."""
        return self._overflow == "wait"

    @property
    def overflowing(self) -> bool:
        """Whether twice the bounds are: more than the last reads of sources that are held up explain."""
        return self._waiting >= 2 * self._max_messages or self._cost >= 2 * self._max_bytes

    def put(self, peer_id: int, public_key: bytes, payloads: list[bytes]) -> bool:
        """Take a run of messages from one peer; returns whether it is full now."""
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
        runs = self._runs
        if runs and runs[-1][0] == peer_id:
            runs[-1][2].extend(payloads)
        else:
            runs.append((peer_id, public_key, payloads.copy()))  # other handles get the same list
        if full and self._overflow == "drop_oldest":
            self._drop_oldest()
        return full

    def block(self, source: Source[C_co, H_co]) -> None:
        """Hold a source's reading up until this handle has drained, if it is full and does not drop."""
        if self.holds_up and self.full:
            source.block(self)
            self._blocked[source] = None

    def forget(self, source: Source[C_co, H_co]) -> None:
        """A source has ended."""
        self._blocked.pop(source, None)

    def take(self) -> Message:
        """Remove and return the oldest message. Raises `IndexError` if there is none."""
        peer_id, public_key, payloads = self._run if self._run[2] else self._begin_run()
        payload = payloads.pop()
        message = tuple.__new__(Message, (peer_id, payload, public_key))
        self._waiting -= 1
        self._waiting_bytes -= len(payload)
        if self._blocked and not self.full:
            self._release()
        return message

    def take_all(self) -> list[Message]:
        """Remove and return everything waiting."""
        peer_id, public_key, payloads = self._run
        messages = list(_messages(peer_id, public_key, reversed(payloads)))
        for run in self._runs:
            messages += _messages(*run)
        self._forget()
        return messages

    def take_batch(self, most: int) -> list[Message]:
        """Remove and return the oldest messages, no more than `most`."""
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
        """Queue a message; returns the connection it goes out on, or None if there is no room yet.

        `in_turn` is for a sender that has waited: it may use room that is reserved for those who wait (see
        `Outbox.reserve`).
        Raises `UnknownPeer`, `PeerGone` or `MessageTooLarge`, with nothing queued.
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
        """The way to a peer now, or None while its connection is being replaced. Raises as `send`."""
        return self._routes.get(peer_id) or self._find(peer_id)

    def reaches(self, peer_id: int) -> bool:
        """Whether a peer can be sent to, now or once its connection has been replaced."""
        return not self.closed and self._topic.reaches(peer_id)

    def close(self) -> None:
        """Leave: nothing further is received, and what was is gone. Other handles are not touched."""
        if not self.closed:
            self.closed = True
            self._routes = {}
            self._forget()
            self._topic.remove(self)

    def statistics(self) -> TopicStatistics:
        """The counters now."""
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
        """Drop as many of the payloads just counted as it takes; returns the others."""
        kept = payloads.copy()
        while self._over:
            self._waiting -= 1
            self._waiting_bytes -= len(kept.pop())
            self._dropped += 1
        return kept

    def _forget(self) -> None:
        self._run = (0, b"", [])
        self._runs.clear()
        self._waiting = self._waiting_bytes = 0
        self._release()

    def _begin_run(self) -> tuple[int, bytes, list[bytes]]:
        """The run that holds the oldest message. Raises `IndexError` if there is none."""
        if not self._run[2]:
            self._run = self._runs.popleft()
            self._run[2].reverse()
        return self._run

    def _find(self, peer_id: int) -> Route[C_co] | None:
        if self.closed:
            raise LocalProtocolError("the topic handle is closed")
        return self._topic.route(peer_id)

    def _release(self) -> None:
        while self._blocked and not self.full:  # a source may have kept something that fills it again
            self._blocked.popitem(last=False)[0].unblock(self)


def check_overflow(overflow: str) -> None:
    """Raise `ValueError` unless `overflow` is one of the ways."""
    if overflow not in OVERFLOWS:
        raise ValueError(f"overflow must be one of {', '.join(OVERFLOWS)}, not {overflow!r}")


def check_peer_id(peer_id: object) -> None:
    """Raise `TypeError` unless `peer_id` is a number."""
    if not isinstance(peer_id, int) or isinstance(peer_id, bool):
        raise TypeError(f"peer_id must be int, not {type(peer_id).__name__}")
