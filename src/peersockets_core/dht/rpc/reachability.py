"""`Reachability`: tests whether strangers can reach us, and makes the node persistent if they can.

A node that may become persistent by itself has a second socket, the *probe*. As long as it is unknown whether
a firewall shields the main socket, the table is kept fresh through the probe, so that the main socket writes
to as few hosts as possible. The test then asks nodes, through the probe, to answer to the main socket. An
answer that arrives there did not come through a hole that we opened ourselves.

Source: dht-rpc 6.27.0, `index.js` (`_checkIfFirewalled`, `_updateNetworkState`). There, the roles are
reversed: all datagrams leave from the second socket until the test has succeeded.
"""

from __future__ import annotations

import enum
import math
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from typing import Final, Protocol

from ...address import SocketAddress
from ...transitions import follow
from .client import Client
from .events import DhtEvent, ReachabilityChanged
from .limits import DhtLimits
from .messages import RpcCommand, RpcResponse
from .requests import PendingRequest, RequestOptions, Socket
from .upkeep import Upkeep

_TESTERS: Final = 5
"""Nodes that are asked to answer to the main socket."""

_AGREEING: Final = 3
"""The number of them that must reach us, or all if fewer are known."""

_SLOW: Final = 3
"""The wait after a failed test, in multiples of `DhtLimits.stable_time`."""

_LOOPBACK: Final = "127."
"""The prefix of our own host's addresses. No filter is between its programs, so no packet opens a hole."""

_HOLE_TIME: Final = 600.0
"""Seconds that a filter may admit packets of a host to which the main socket has written: twice the time that
RFC 4787 recommends."""


class Reach(enum.Enum):
    """Our knowledge of whether strangers can reach us."""

    UNKNOWN = "unknown"
    TESTING = "being tested"
    FIREWALLED = "firewalled"
    OPEN = "open"
    """Strangers can reach us, but not for long enough yet."""
    PERSISTENT = "persistent"
    """Strangers could reach us for long enough, and the node has an id."""


class ReachSignal(enum.Enum):
    """An occurrence that changes the state."""

    TEST = "test"
    REACHED = "be reached"
    NOT_REACHED = "not be reached"
    STABLE = "be stable"
    START_OVER = "start over"


TRANSITIONS: Final[dict[Reach, dict[ReachSignal, Reach]]] = {
    Reach.UNKNOWN: {ReachSignal.TEST: Reach.TESTING},
    Reach.TESTING: {
        ReachSignal.REACHED: Reach.OPEN,
        ReachSignal.NOT_REACHED: Reach.FIREWALLED,
        ReachSignal.START_OVER: Reach.UNKNOWN,
    },
    Reach.FIREWALLED: {ReachSignal.TEST: Reach.TESTING, ReachSignal.START_OVER: Reach.UNKNOWN},
    Reach.OPEN: {ReachSignal.STABLE: Reach.PERSISTENT, ReachSignal.START_OVER: Reach.UNKNOWN},
    Reach.PERSISTENT: {ReachSignal.START_OVER: Reach.UNKNOWN},
}
"""Every legal transition."""


class ReachabilityHost(Protocol):
    """The attributes and methods of its node that the tests of reachability use."""

    limits: DhtLimits
    bootstrap: tuple[SocketAddress, ...]
    client: Client
    upkeep: Upkeep

    @property
    def address(self) -> SocketAddress | None:
        """The address at which others see us, or None."""

    def become_persistent(self, address: SocketAddress) -> None:
        """Take the id of an address."""

    def become_ephemeral(self) -> None:
        """Give the id up."""

    def emit(self, event: DhtEvent) -> None:
        """Report an event to the application."""


class Reachability:
    """Tests whether strangers reach our main socket, and makes the node persistent once they have done so
    for long enough.
    """

    def __init__(self, node: ReachabilityHost, port: int) -> None:
        """Begin; `port` is the port of the main socket."""
        self.state = Reach.UNKNOWN
        self.address: SocketAddress | None = None
        """The address at which strangers reach us, or None."""
        self.next_deadline = math.inf
        """The time at which to call `handle_deadline`."""
        self._node = node
        self._port = port
        self.written_to: dict[str, float] = {}
        """For each host, the time at which the main socket last wrote to it, oldest first."""
        self._waiting: set[PendingRequest] = set()
        self._asked = 0
        self._seen_at: Counter[str] = Counter()
        """Our own hosts, as the nodes see them that answered to the main socket, with their counts."""

    @property
    def socket(self) -> Socket:
        """The socket that keeps the table fresh."""
        return Socket.MAIN if self.state in {Reach.OPEN, Reach.PERSISTENT} else Socket.PROBE

    def wrote_to(self, host: str, now: float) -> None:
        """Note that the main socket writes to a host, whose answers then prove nothing for a while."""
        if host.startswith(_LOOPBACK):
            return
        self.written_to.pop(host, None)
        self.written_to[host] = now
        if len(self.written_to) > self._node.limits.hosts:
            del self.written_to[next(iter(self.written_to))]

    def begin(self) -> None:
        """Start the first test, now that the table holds nodes."""
        self.next_deadline = -math.inf

    def _test(self, now: float) -> None:
        """Ask nodes to answer to the main socket."""
        self._signal(ReachSignal.TEST, math.inf)
        options = RequestOptions(
            RpcCommand.PING_NAT,
            internal=True,
            value=self._port.to_bytes(2, "little"),
            socket=Socket.PROBE,
            answered_on=Socket.MAIN,
        )
        requests = [
            self._node.client.send(self, to, options, now) for to in islice(self._strangers(now), _TESTERS)
        ]
        self._waiting = {request for request in requests if request is not None}
        self._asked = len(self._waiting)
        self._seen_at.clear()
        if not self._waiting:
            self._conclude(now)

    def handle_deadline(self, now: float) -> None:
        """Become persistent, or test again, if it is time."""
        if now < self.next_deadline:
            return
        if self.state is not Reach.OPEN:
            self._test(now)
        elif self.address is not None and self._node.address == self.address:
            self._signal(ReachSignal.STABLE, math.inf)
            self._node.become_persistent(self.address)
        else:  # others see us at another address than the test did
            self.start_over(now)

    def moved(self, host: str, port: int, now: float) -> None:
        """Note the address at which others see us; the port is 0 if they disagree about it."""
        if self.address is not None and (host != self.address[0] or port not in {0, self.address[1]}):
            self.start_over(now)

    def start_over(self, now: float) -> None:
        """Start over, because the network may be a different one."""
        if self.state is Reach.UNKNOWN:
            return
        for request in self._waiting:
            self._node.client.cancel(request)
        self._waiting.clear()
        if self.state is Reach.PERSISTENT:
            self._node.become_ephemeral()
        self._signal(ReachSignal.START_OVER, now + _SLOW * self._node.limits.stable_time)
        self._learn(None)

    # The results of a test's requests

    def answered(self, request: PendingRequest, response: RpcResponse, now: float) -> None:
        """Note that a node has reached the main socket. It proves nothing if the main socket has written to
        that host in the meantime.
        """
        if self._may_have_hole(request.to[0], now):
            self._asked -= 1
        else:
            self._seen_at[response.to[0]] += 1
        self._land(request, now)

    def slow(self, request: PendingRequest, now: float) -> None:
        """Ignore that a node is slow."""

    def timed_out(self, request: PendingRequest, now: float) -> None:
        """Note that a node has not reached the main socket."""
        self._land(request, now)

    # Inside

    def _land(self, request: PendingRequest, now: float) -> None:
        self._waiting.discard(request)
        if not self._waiting:
            self._conclude(now)

    def _conclude(self, now: float) -> None:
        stable_time = self._node.limits.stable_time
        ((host, agreeing),) = self._seen_at.most_common(1) or [("", 0)]
        if not self._asked:
            self._signal(ReachSignal.START_OVER, now + stable_time)
        elif agreeing >= min(_AGREEING, self._asked):
            self._signal(ReachSignal.REACHED, now + stable_time)
            self._learn((host, self._port))
            # From here on, the main socket sends the requests, and the answers show its address.
            self._node.upkeep.refresh(self._node.upkeep.table.own_id, now)
        else:
            self._signal(ReachSignal.NOT_REACHED, now + _SLOW * stable_time)

    def _learn(self, address: SocketAddress | None) -> None:
        if address != self.address:
            self.address = address
            self._node.emit(ReachabilityChanged(address))

    def _strangers(self, now: float) -> Iterator[SocketAddress]:
        """Yield nodes on hosts for which the main socket has opened no hole, most recently heard first."""
        known = (contact.address for contact in self._node.upkeep.latest())
        for address in dict.fromkeys(chain(known, self._node.bootstrap)):
            if not self._may_have_hole(address[0], now):
                yield address

    def _may_have_hole(self, host: str, now: float) -> bool:
        """Return whether a filter may admit a host because the main socket has written to it."""
        return self.written_to.get(host, -math.inf) > now - _HOLE_TIME

    def _signal(self, signal: ReachSignal, deadline: float) -> None:
        self.state = follow(TRANSITIONS, self.state, signal, "reachability")
        self.next_deadline = deadline
