"""The clock, the sites, and the path of a datagram."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from random import Random
from typing import Any

import attrs

from simulation.gateway import Gateway
from simulation.host import Host
from simulation.link import Link
from simulation.pattern import Address, Datagram, DatagramMachine

HOPS = 10
"""The hops of a path through the open network. A datagram with a smaller TTL leaves its site but does not
arrive.
"""

MAX_STEPS_AT_ONCE = 100_000
"""The steps in one instant after which the machines count as answering each other for ever."""


class NotReached(AssertionError):
    """A condition that a run waited for was not reached."""


class NeverIdle(AssertionError):
    """A timer lives on, or a machine never stops sending."""


class Network:
    """Everything that exists, and the times at which things happen.

    A datagram leaves its host, goes up the line of its site and through the site's gateway into the open
    network, which takes no time. Then it goes down through the gateway and the line of the other site.
    """

    def __init__(self, seed: int | str = 0, *, start: float = 1000.0) -> None:
        self.now = start
        self.random = Random(seed)
        self.taps: list[Callable[[float, Datagram], object]] = []
        """Called with the time and every datagram that a host sends."""
        self.unroutable = 0
        """Datagrams to unknown addresses, or dropped by a gateway."""
        self._agenda: list[tuple[float, int, Callable[[], object] | Host]] = []
        """The calls to make and the hosts to wake, by time."""
        self._numbers = itertools.count()
        self._sites: list[Site] = []
        self._hosts: dict[tuple[Site | None, Address], Host] = {}

    def add_site(
        self, *, up: Link | None = None, down: Link | None = None, gateway: Gateway | None = None
    ) -> Site:
        """Make a place for hosts. Its hosts share the two lines, which are perfect by default."""
        site = Site(network=self, up=up or Link(), down=down or Link(), gateway=gateway)
        self._sites.append(site)
        return site

    def call_at(self, time: float, action: Callable[[], object] | Host) -> None:
        """Make a call at a time, or wake a host if its machine still has that deadline then."""
        heapq.heappush(self._agenda, (max(time, self.now), next(self._numbers), action))

    def run_for(self, seconds: float) -> None:
        """Let this much time pass."""
        until = self.now + seconds
        self._run(lambda: False, until)
        self.now = until

    def run_until(self, condition: Callable[[], bool], *, within: float) -> None:
        """Run until the condition holds.

        Raises `NotReached` if it does not hold after this many seconds, or if nothing is left to do.
        """
        self._run(condition, self.now + within)
        if not condition():
            raise NotReached("nothing is left to do" if self.idle else f"not within {within} s")

    def run_until_idle(self, *, within: float) -> None:
        """Run until nothing is left to do. Raises `NeverIdle` if something is still due after this many
        seconds.
        """
        self._run(lambda: False, self.now + within)
        if not self.idle:
            raise NeverIdle(f"something is still due after {within} s")

    @property
    def idle(self) -> bool:
        """Return whether no datagram is in flight, no call is due, and no machine has a deadline."""
        return all(isinstance(action, Host) for _, _, action in self._agenda) and all(
            host.machine.next_deadline() == float("inf") for host in self._hosts.values()
        )

    def send(self, host: Host, datagram: Datagram) -> None:
        """Take a datagram that a host sends."""
        for tap in self.taps:
            tap(self.now, datagram)
        for arrival, arrived in host.site.up.transmit(datagram, self.now, self.random):
            self.call_at(arrival, lambda arrived=arrived: self._leave(host.site, arrived))  # type: ignore[misc]

    def learn_address(self, host: Host) -> None:
        """Register a host's address."""
        for address in host.addresses:
            key = host.site.scope, address
            assert key not in self._hosts, f"{address} belongs to another host"
            self._hosts[key] = host

    def open_socket(self, host: Host, address: Address) -> None:
        """Register another socket of a host."""
        self._hosts[host.site.scope, address] = host

    def forget_address(self, host: Host) -> None:
        """Remove a host's address."""
        for address in host.addresses:
            del self._hosts[host.site.scope, address]

    def _leave(self, site: Site, datagram: Datagram) -> None:
        if site.gateway is not None:
            if (site, datagram.destination) in self._hosts:
                return self._arrive(site, datagram)  # a neighbour
            source = site.gateway.outbound(datagram.source, datagram.destination, self.now)
            if source is None:
                self.unroutable += 1
                return None
            datagram = attrs.evolve(datagram, source=source)
        if datagram.ttl < HOPS:
            self.unroutable += 1
            return None
        return self._enter(datagram)

    def _enter(self, datagram: Datagram) -> None:
        host = self._hosts.get((None, datagram.destination))
        if host is not None:
            return self._arrive(host.site, datagram)
        for site in self._sites:
            if site.gateway is not None and site.gateway.owns(datagram.destination):
                private = site.gateway.inbound(datagram.source, datagram.destination, self.now)
                if private is not None:
                    return self._arrive(site, attrs.evolve(datagram, destination=private))
        self.unroutable += 1
        return None

    def _arrive(self, site: Site, datagram: Datagram) -> None:
        for arrival, arrived in site.down.transmit(datagram, self.now, self.random):
            self.call_at(arrival, lambda arrived=arrived: self._deliver(site, arrived))  # type: ignore[misc]

    def _deliver(self, site: Site, datagram: Datagram) -> None:
        host = self._hosts.get((site.scope, datagram.destination))
        if host is None:
            self.unroutable += 1
        else:
            host.deliver(datagram)

    def _run(self, stop: Callable[[], bool], until: float) -> None:
        for host in list(self._hosts.values()):
            host.settle()  # the test has used its machine
        steps = 0
        while not stop() and self._agenda and self._agenda[0][0] <= until:
            time, _, action = heapq.heappop(self._agenda)
            if isinstance(action, Host):
                wake = action.wake_up(time)
                if wake is None:
                    continue  # The deadline has moved. No time passes for a machine that is gone.
                action = wake
            steps = steps + 1 if time == self.now else 0
            if steps > MAX_STEPS_AT_ONCE:
                raise NeverIdle("the machines answer each other while no time passes")
            self.now = time
            action()


@attrs.define(eq=False, kw_only=True)
class Site:
    """Hosts that share a line up, a line down, and a gateway if there is one."""

    network: Network
    up: Link
    down: Link
    gateway: Gateway | None

    @property
    def scope(self) -> Site | None:
        """The range in which the addresses of its hosts are valid: this site, or everywhere."""
        return self if self.gateway is not None else None

    def add_host(
        self,
        address: str | Address,
        machine: DatagramMachine,
        *,
        on_event: Callable[[Any], None] = lambda _: None,
        read_delay: float = 0.0,
        receive_buffer: float = float("inf"),
        probe: Address | None = None,
    ) -> Host:
        """Put a machine at an address (port 1000 by default), and its second socket at `probe`."""
        host = Host(
            site=self,
            address=(address, 1000) if isinstance(address, str) else address,
            machine=machine,
            on_event=on_event,
            read_delay=read_delay,
            receive_buffer=receive_buffer,
            probe=probe,
        )
        self.network.learn_address(host)
        return host
