"""The clock and the network. Every datagram takes the same time, and some are lost."""

from __future__ import annotations

import heapq
import itertools
import math
import sys
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import Any, Final, TypeAlias

from peersockets_core.address import SocketAddress
from peersockets_core.dht.rpc import address
from peersockets_core.dht.rpc.messages import REQUEST

from .causes import Tally

DELAY: Final = 0.05
"""Seconds from one host to another."""

HEADERS: Final = 28
"""Bytes of the headers of IP and UDP, which count as well."""

Action: TypeAlias = Callable[[], None]


def remember_all_addresses() -> None:
    """Give the caches of ids and encoded addresses room for all hosts: here, every node of the network shares
    them, and on a host of its own each has one for the few thousand nodes that it meets.
    """
    for name in ("encode_address", "unpack_address", "node_id"):
        bounded = getattr(address, name)
        unbounded = lru_cache(None)(bounded.__wrapped__)
        for module in list(sys.modules.values()):
            if getattr(module, name, None) is bounded:
                setattr(module, name, unbounded)


class Host:
    """A machine at an address, and what it has sent and received."""

    __slots__ = ("address", "came", "machine", "on_event", "received", "received_bytes", "scheduled", "sent",
                 "sent_bytes", "tally")  # fmt: skip

    def __init__(
        self,
        address: SocketAddress,
        machine: Any,
        on_event: Callable[[Any], None],
        now: float,
    ) -> None:
        self.address = address
        self.machine = machine
        self.on_event = on_event
        self.came = now
        self.scheduled = math.inf
        """The time at which it looks at its deadlines."""
        self.sent = self.sent_bytes = self.received = self.received_bytes = 0
        self.tally: Tally | None = None
        """Counts its packets by their causes, while somebody wants to know."""

    @property
    def packets(self) -> int:
        """Packets that it has sent or received."""
        return self.sent + self.received

    @property
    def bytes(self) -> int:
        """The bytes of these packets."""
        return self.sent_bytes + self.received_bytes


class Network:
    """All hosts, and the agenda of events."""

    def __init__(self, random: Random, loss: float = 0.0) -> None:
        self.now = 0.0
        self.hosts: dict[SocketAddress, Host] = {}
        self.delivered = self.lost = 0
        self._chance = random.random
        self._loss = loss
        # A datagram that is sent later arrives later, since all take the same time.
        self._under_way: deque[tuple[float, SocketAddress, SocketAddress, bytes]] = deque()
        self._agenda: list[tuple[float, int, Host | Action]] = []
        self._count = itertools.count()

    def add(self, host: Host) -> None:
        """Add a host."""
        self.hosts[host.address] = host
        self.settle(host)

    def remove(self, host: Host) -> None:
        """Remove a host without notice."""
        del self.hosts[host.address]
        host.scheduled = -math.inf  # no deadline is earlier, so it is never looked at again

    def call_at(self, time: float, action: Action) -> None:
        """Do something at a time."""
        heapq.heappush(self._agenda, (time, next(self._count), action))

    def settle(self, host: Host, *, busy: bool = True) -> None:
        """Send what a machine has queued, and note its deadline. One that is not `busy` and only answers has
        no new one.
        """
        now, later, loss = self.now, self.now + DELAY, self._loss
        for to, (datagram,), size in host.machine.datagrams_to_send(now):
            busy = busy or datagram[0] == REQUEST
            host.sent += 1
            host.sent_bytes += size + HEADERS
            if host.tally is not None:
                host.tally.count(to, datagram, size + HEADERS)
            if loss and self._chance() < loss:
                self.lost += 1
            else:
                self._under_way.append((later, host.address, to, datagram))
        if busy:
            self._schedule(host, host.machine.next_deadline())

    def _schedule(self, host: Host, deadline: float) -> None:
        if deadline < host.scheduled:
            host.scheduled = deadline
            heapq.heappush(self._agenda, (deadline, next(self._count), host))

    def run_until(self, end: float) -> None:
        """Run until a time."""
        agenda, under_way = self._agenda, self._under_way
        while True:
            arrival = under_way[0][0] if under_way else math.inf
            due = agenda[0][0] if agenda else math.inf
            if arrival > end and due > end:
                break
            if arrival <= due:
                self._deliver(arrival)
                continue
            time, _, action = heapq.heappop(agenda)
            self.now = max(self.now, time)
            if not isinstance(action, Host):
                action()
            elif action.scheduled == time:
                self._wake(action)
        self.now = end

    def _deliver(self, time: float) -> None:
        """Hand over all datagrams of an instant. A host first reads those that come one after the other, like
        the answers to a query's first requests, and then sends, as it does with a socket.
        """
        under_way, hosts = self._under_way, self.hosts
        self.now = time
        reading: Host | None = None
        busy = False
        while under_way and under_way[0][0] == time:
            _, source, to, datagram = under_way.popleft()
            host = hosts.get(to)
            if host is not reading:
                if reading is not None:
                    self.settle(reading, busy=busy)
                reading, busy = host, False
            if host is None:
                continue
            size = len(datagram)
            self.delivered += 1
            host.received += 1
            host.received_bytes += size + HEADERS
            if host.tally is not None:
                host.tally.count(source, datagram, size + HEADERS)
            events = host.machine.receive_datagrams(datagram, size, source, time)
            if events:
                busy = True
                for event in events:
                    host.on_event(event)
        if reading is not None:
            self.settle(reading, busy=busy)

    def _wake(self, host: Host) -> None:
        host.scheduled = math.inf
        deadline = host.machine.next_deadline()
        if deadline > self.now:  # what it was waiting for has come meanwhile
            self._schedule(host, deadline)
            return
        for event in host.machine.handle_deadline(self.now):
            host.on_event(event)
        self.settle(host)
