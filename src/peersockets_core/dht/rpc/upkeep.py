"""`Upkeep`: keeps the routing table fresh with pings of old entries, swaps in full rows, and a query now and
then.

Source: dht-rpc 6.27.0, `index.js` (`_ontick`, `_pingSome`, `_check`, `_onfullrow`, `_repingAndSwap`,
`_addNodeFromNetwork`, `_onwakeup`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, Protocol

import attrs

from ...address import SocketAddress
from .address import node_id
from .client import Client
from .health import NetworkHealth
from .limits import DhtLimits
from .messages import RpcCommand, RpcResponse
from .query import Query
from .requests import PendingRequest, RpcStatistics
from .table import Contact, K, RoutingTable

TICK: Final = 5.0
"""The length of a tick in seconds."""

_ASLEEP: Final = 3 * TICK
"""A longer pause between two ticks means that the computer was asleep."""

_REFRESH: Final = 60
"""Ticks between queries that refresh the table: five minutes."""

_RECENT: Final = 12
"""Ticks. A node that we heard from within a minute needs no ping."""

_OLD: Final = 360
"""Ticks. A node that we have known for half an hour keeps its place in a full row, and its view of our
address counts again."""


class UpkeepHost(Protocol):
    """The attributes and methods of its node that the upkeep uses."""

    limits: DhtLimits
    bootstrap: tuple[SocketAddress, ...]
    bootstrapped: bool
    client: Client

    def request_statistics(self) -> RpcStatistics:
        """Return the counters of requests."""
        ...

    def look_around(self, now: float) -> None:
        """Start a query that refreshes the table."""

    def network_changed(self, now: float) -> None:
        """Begin again in another network."""


class Upkeep:
    """The routing table of a node, and its housekeeping."""

    def __init__(self, node: UpkeepHost, own_id: bytes, now: float) -> None:
        self.table = RoutingTable(own_id)
        """The nodes that we know. The table's own id is random as long as we have none."""
        self.next_tick = now + TICK
        self._node = node
        self.by_time: OrderedDict[bytes, Contact] = OrderedDict()
        """The nodes of the table, ordered by the time we last heard from them, oldest first."""
        self.ticks = 0
        self.last_tick = now
        self._refresh_in = _REFRESH
        self._refreshes = 0
        self.checks = 0
        self.repings = 0
        self._bootstrap_samples: set[SocketAddress] = set()
        self._health = NetworkHealth()

    def move_to(self, own_id: bytes) -> None:
        """Use another own id, and rebuild the table around it."""
        table = RoutingTable(own_id)
        for contact in list(self.by_time.values()):
            if contact.id == own_id or not table.add(contact):
                del self.by_time[contact.id]
        self.table = table
        self._refresh_in = 1  # search for the nodes near the new id at the next tick
        self._refreshes = 0

    def refresh(self, target: bytes, now: float) -> Query:
        """Search for the nodes near a target, so that the table knows them."""
        self._refresh_in = _REFRESH
        return self._node.client.start_background_query(target, now)

    def tick(self, now: float) -> None:
        """Do the housekeeping of a tick: five seconds have passed, or more if the computer was asleep."""
        asleep = now - self.last_tick > _ASLEEP
        self.ticks += 1
        self.last_tick = now
        self.next_tick = now + TICK
        requests = self._node.request_statistics()
        back = self._health.has_come_back(requests.answers, requests.timeouts)
        if not self._node.bootstrapped:
            self._node.look_around(now)
            return
        if asleep or back:
            self._node.network_changed(now)
        if self.ticks % 8 == 0:
            self._ping_oldest(now)
        self._refresh_in -= 1
        few = len(self.table) < K and self.ticks % 64 == 0
        if few or self._refresh_in <= 0:
            # Search in turn near ourselves, so that our neighbours know us, and near a node that we heard
            # from recently.
            self._refreshes += 1
            newest = next(reversed(self.by_time), self.table.own_id)
            self.refresh(self.table.own_id if self._refreshes % 2 else newest, now)

    def heard_from(
        self, address: SocketAddress, id: bytes | None, now: float, *, sample: bool = True
    ) -> bool:
        """Note a node that has sent a datagram; returns whether its view of our address should count. Without
        `sample`, it never does.

        A node without an id never enters the table: it is ephemeral, or the first node of a network.
        """
        if id is None:
            return sample and self._sample_without_id(address)
        contact = self.table.get(id)
        if contact is None:
            contact = Contact.at(address, self.ticks)
            if not self._add(contact):
                self._swap_with_oldest(contact, now)
                return False
        else:
            contact.pinged = contact.seen = self.ticks
            self.by_time.move_to_end(id)
        if not sample or (contact.sampled is not None and self.ticks - contact.sampled < _OLD):
            return False
        contact.sampled = self.ticks
        return True

    def latest(self) -> Iterator[Contact]:
        """Return the nodes of the table, those heard from last first."""
        return reversed(self.by_time.values())

    def check_hinted(self, address: SocketAddress, now: float) -> None:
        """Ping a node of the table that another node could not reach."""
        contact = self.table.get(node_id(address))
        if contact is not None and (contact.pinged < self.ticks or not contact.down_hints):
            contact.down_hints += 1
            self._check(contact, now)

    def remove(self, contact: Contact) -> None:
        """Remove a node from the table."""
        if self.by_time.pop(contact.id, None) is not None:
            self.table.remove(contact)

    def unreachable(self, address: SocketAddress) -> None:
        """Remove a node that has not answered from the table."""
        contact = self.table.get(node_id(address))
        if contact is not None:
            self.remove(contact)

    def _add(self, contact: Contact) -> bool:
        if contact.id == self.table.own_id or not self.table.add(contact):
            return False
        self.by_time[contact.id] = contact
        return True

    def _sample_without_id(self, address: SocketAddress) -> bool:
        """Count the views of a few nodes without an id, because in a small network the bootstrap
        nodes have none.
        """
        samples = self._bootstrap_samples
        if address in samples or len(samples) >= max(1, len(self._node.bootstrap)):
            return False
        samples.add(address)
        return True

    def wake_up(self) -> None:
        """Make every node look old, so that it is pinged, and refresh the table at the next tick."""
        self.ticks += 2 * _OLD
        self.ticks += 6 - self.ticks % 8  # a round of pings follows in two ticks
        self._refresh_in = 1
        self._bootstrap_samples.clear()

    def _ping_oldest(self, now: float) -> None:
        if not self.by_time:
            self.refresh(self.table.own_id, now)
            return
        oldest = next(iter(self.by_time.values()))
        count = 2 if self.ticks - oldest.pinged < _RECENT else 5
        due = [contact for contact in self._first(count) if contact.pinged < self.ticks]
        for contact in due:
            self._check(contact, now)

    def _first(self, count: int) -> list[Contact]:
        return [contact for contact, _ in zip(self.by_time.values(), range(count), strict=False)]

    def _check(self, contact: Contact, now: float) -> None:
        """Ping a node, and remove it from the table if it does not answer."""
        if self.checks >= self._node.limits.checks:
            return
        contact.pinged = self.ticks
        if self._node.client.send_own(
            _Check(self, contact, contact.seen), contact.address, RpcCommand.PING, now
        ):
            self.checks += 1

    def _swap_with_oldest(self, newcomer: Contact, now: float) -> None:
        """Ping the oldest node of a full row; the newcomer gets its place if that node does not answer."""
        if not self._node.bootstrapped or self.repings >= self._node.limits.repings:
            return
        candidates = [contact for contact in self.table.row(newcomer.id) if contact.pinged != self.ticks]
        if not candidates:
            return
        oldest = min(candidates, key=lambda contact: (contact.pinged, contact.added))
        if self.ticks - oldest.pinged < _RECENT and self.ticks - oldest.added > _OLD:
            return
        oldest.pinged = self.ticks
        if self._node.client.send_own(
            _Swap(self, oldest, oldest.seen, newcomer), oldest.address, RpcCommand.PING, now
        ):
            self.repings += 1


@attrs.define(eq=False)
class _Check:
    """The asker of a ping that decides whether a node stays in the table."""

    upkeep: Upkeep
    contact: Contact
    last_seen: int

    def answered(self, request: PendingRequest, response: RpcResponse, now: float) -> None:
        self.upkeep.checks -= 1
        # The answer carries another id, or none, if the address now has another node or the node is no longer
        # persistent.
        if response.id != self.contact.id:
            self.upkeep.remove(self.contact)

    def slow(self, request: PendingRequest, now: float) -> None: ...

    def timed_out(self, request: PendingRequest, now: float) -> None:
        self.upkeep.checks -= 1
        self.upkeep.remove(self.contact)


@attrs.define(eq=False)
class _Swap:
    """The asker of a ping that decides whether a newcomer gets the place of an old node."""

    upkeep: Upkeep
    contact: Contact
    last_seen: int
    newcomer: Contact

    def answered(self, request: PendingRequest, response: RpcResponse, now: float) -> None:
        self.upkeep.repings -= 1
        if response.id != self.contact.id:
            self._swap()

    def slow(self, request: PendingRequest, now: float) -> None: ...

    def timed_out(self, request: PendingRequest, now: float) -> None:
        self.upkeep.repings -= 1
        self._swap()

    def _swap(self) -> None:
        self.upkeep.remove(self.contact)
        self.upkeep._add(self.newcomer)
