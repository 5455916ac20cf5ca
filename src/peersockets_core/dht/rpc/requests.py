"""Requests in flight: sends them within the window, repeats them without a response, and matches
the responses.

Source: dht-rpc 6.27.0, `lib/io.js`. The reference matches a response by its transaction id alone. Here, a
response must also come from the address that was asked.
"""

from __future__ import annotations

import enum
import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import attrs

from ...address import SocketAddress
from ...keys import Entropy
from .congestion import RequestWindow
from .limits import DhtLimits
from .messages import RpcRequest, RpcResponse, encode_request

TIMEOUT: Final = 1.0
"""Seconds without a response before a request is sent again."""

RETRIES: Final = 3
"""The number of times that a request is sent again."""


class Socket(enum.IntEnum):
    """The number of the socket that a datagram leaves from or comes to. Larger numbers than these are sockets
    that the layer above opens for itself.
    """

    MAIN = 0
    """The socket whose address others know."""
    PROBE = 1
    """The second socket of a node, with which it tests whether strangers reach the first (`reachability`)."""


class Asker(Protocol):
    """The part of a machine that made a request. It receives the result in one call, of `answered` or
    `timed_out`.
    """

    def answered(self, request: PendingRequest, response: RpcResponse, now: float) -> None:
        """Take in a response, which may carry an error."""

    def slow(self, request: PendingRequest, now: float) -> None:
        """Note that no response has arrived within the first timeout."""

    def timed_out(self, request: PendingRequest, now: float) -> None:
        """Note that no response has arrived, although the request was repeated."""


@attrs.frozen
class RequestOptions:
    """A request without its destination: its content, and how it is delivered."""

    command: int
    internal: bool = False
    """Whether `command` is one of dht-rpc's own (`RpcCommand`)."""
    target: bytes | None = None
    value: bytes | None = None
    token: bytes | None = None
    retries: int = RETRIES
    timeout: float = TIMEOUT
    socket: int | None = None
    """The socket that it leaves from, or None for the one that keeps the table fresh."""
    answered_on: int | None = None
    """The socket that its answer comes to, or None for the one that it leaves from."""


@attrs.define(eq=False)
class PendingRequest:
    """One request that waits to be sent or answered."""

    to: SocketAddress
    message: RpcRequest
    asker: Asker
    retries: int
    timeout: float
    datagram: bytes
    """The encoded request. Repetitions are identical, so that the remote can recognize them."""
    socket: int = Socket.MAIN
    """The socket that it leaves from."""
    answered_on: int = Socket.MAIN
    sent: int = 0
    """The number of times that it was sent."""
    first_sent: float = math.nan
    deadline: float = math.inf
    done: bool = False
    """Whether it was answered, given up or cancelled."""


@attrs.frozen
class RpcStatistics:
    """Counters of a node's requests at one moment."""

    pending: int
    """Requests that wait to be sent or answered."""
    answers: int
    retried: int
    """Datagrams that were sent because an earlier one was not answered in time."""
    timeouts: int
    """Requests that were never answered."""


class Requests:
    """All requests of one node that wait to be sent or answered."""

    def __init__(
        self,
        entropy: Entropy,
        limits: DhtLimits,
        now: float,
        on_timeout: Callable[[SocketAddress], None] = lambda address: None,
    ) -> None:
        """Begin. Besides the asker, `on_timeout` is called with each address that does not answer."""
        self._entropy = entropy
        self._on_timeout = on_timeout
        self._limit = limits.requests
        self._window = RequestWindow(limits.window, now)
        self._pending: dict[tuple[int, SocketAddress], PendingRequest] = {}
        self._waiting: deque[PendingRequest] = deque()
        self._deadlines: list[tuple[float, int, PendingRequest]] = []
        self._count = itertools.count()
        self._tids: list[int] = []
        self._outputs: dict[int, list[tuple[SocketAddress, bytes]]] = {}
        """The datagrams to send, by socket."""
        self.retried = 0
        """Datagrams that were sent because an earlier one was not answered in time."""
        self.timeouts = 0
        self.answers = 0

    def __len__(self) -> int:
        return len(self._pending)

    def statistics(self) -> RpcStatistics:
        """Return the counters."""
        return RpcStatistics(len(self), self.answers, self.retried, self.timeouts)

    @property
    def full(self) -> bool:
        """Whether too many requests are unanswered to add another one."""
        return len(self._pending) >= self._limit

    def new_tid(self, to: SocketAddress) -> int:
        """Return a random transaction id that no pending request to `to` has; the caller has checked
        `full`.
        """
        while True:
            if not self._tids:  # draw many at a time, to call the source of entropy rarely
                drawn = self._entropy(2 * 64)
                self._tids = [int.from_bytes(drawn[at : at + 2]) for at in range(0, len(drawn), 2)]
            tid = self._tids.pop()
            if (tid, to) not in self._pending:
                return tid

    def add(
        self, message: RpcRequest, asker: Asker, options: RequestOptions, socket: int, now: float
    ) -> PendingRequest:
        """Send a request from a socket as soon as the window has room; `message.tid` comes from `new_tid`."""
        on = socket if options.answered_on is None else options.answered_on
        datagram = encode_request(message)
        pending = PendingRequest(
            message.to, message, asker, options.retries, options.timeout, datagram, socket, on
        )
        self._pending[message.tid, message.to] = pending
        self._send(pending, now)
        return pending

    def cancel(self, pending: PendingRequest) -> None:
        """Forget a request; its asker receives nothing more about it."""
        if not pending.done:
            self._finish(pending)

    def asked(self, tid: int, source: SocketAddress, socket: int = Socket.MAIN) -> PendingRequest | None:
        """Return the request that a response from `source` answers, or None if there is none."""
        pending = self._pending.get((tid, source))
        return pending if pending is not None and pending.sent and pending.answered_on == socket else None

    def answer(self, pending: PendingRequest, response: RpcResponse, now: float) -> None:
        """Hand a response to the asker of a request from `asked`."""
        self._finish(pending)
        self.answers += 1
        pending.asker.answered(pending, response, now)

    def output(self, now: float, socket: int = Socket.MAIN) -> list[tuple[SocketAddress, bytes]]:
        """Return the datagrams to send now from a socket."""
        self._send_waiting(now)
        return self._outputs.pop(socket, [])

    @property
    def sockets(self) -> list[int]:
        """The sockets from which datagrams wait to be sent."""
        return list(self._outputs)

    def next_deadline(self) -> float:
        """Return the latest time at which to call `handle_deadline`; infinity for never."""
        while self._deadlines and self._stale(*self._deadlines[0]):
            heapq.heappop(self._deadlines)
        first = self._deadlines[0][0] if self._deadlines else math.inf
        return min(first, self._window.next_room()) if self._waiting else first

    def handle_deadline(self, now: float) -> None:
        """Repeat or give up the requests that are due."""
        while self._deadlines and self._deadlines[0][0] <= now:
            deadline, count, pending = heapq.heappop(self._deadlines)
            if self._stale(deadline, count, pending):
                continue
            if pending.sent == 1:
                pending.asker.slow(pending, now)
            if pending.done:  # its asker no longer needs it
                continue
            if pending.sent > pending.retries:
                self._finish(pending)
                self.timeouts += 1
                self._on_timeout(pending.to)
                pending.asker.timed_out(pending, now)
            else:
                self.retried += 1
                self._send(pending, now)
        self._send_waiting(now)

    def _stale(self, deadline: float, _: int, pending: PendingRequest) -> bool:
        return pending.done or pending.deadline != deadline

    def _send(self, pending: PendingRequest, now: float) -> None:
        if self._waiting or not self._window.has_room(now):
            pending.deadline = math.inf
            self._waiting.append(pending)
        else:
            self._transmit(pending, now)

    def _transmit(self, pending: PendingRequest, now: float) -> None:
        self._window.sent(now)
        if not pending.sent:
            pending.first_sent = now
        pending.sent += 1
        pending.deadline = now + pending.timeout
        heapq.heappush(self._deadlines, (pending.deadline, next(self._count), pending))
        self._outputs.setdefault(pending.socket, []).append((pending.to, pending.datagram))

    def _send_waiting(self, now: float) -> None:
        while self._waiting and self._window.has_room(now):
            pending = self._waiting.popleft()
            if not pending.done:
                self._transmit(pending, now)

    def _finish(self, pending: PendingRequest) -> None:
        pending.done = True
        del self._pending[pending.message.tid, pending.to]
        if pending.sent:
            self._window.answered()
