"""Gateways translate the addresses of a site."""

from __future__ import annotations

from random import Random
from typing import Literal, Protocol

from simulation.pattern import Address


class Gateway(Protocol):
    """Translates the addresses of one site's datagrams, and decides which ones may enter.

    A site without a gateway uses its hosts' addresses in the open network. A NAT of any kind is a class with
    two methods.
    """

    def outbound(self, source: Address, destination: Address, now: float) -> Address | None:
        """Return the public source of a datagram that leaves, or None to drop it."""
        ...

    def inbound(self, source: Address, destination: Address, now: float) -> Address | None:
        """Return the private destination of a datagram that enters, or None to drop it."""
        ...

    def owns(self, address: Address) -> bool:
        """Return whether datagrams to this public address enter here."""
        ...


class PortMapping:
    """One public address, and one public port for each private address, the same for every destination.

    With `filtered`, only remotes that the port has written to may send. `rebind` forgets every mapping, as a
    router does when it restarts: the next datagram out has a new source.
    """

    def __init__(self, public: str, *, first_port: int = 40_000, filtered: bool = False) -> None:
        self._public = public
        self._next_port = first_port
        self._filtered = filtered
        self._ports: dict[Address, int] = {}
        self._private: dict[int, Address] = {}
        self._contacts: set[tuple[Address, Address]] = set()

    def outbound(self, source: Address, destination: Address, now: float) -> Address | None:
        """Map the source to its port, which is new for a new source."""
        port = self._ports.get(source)
        if port is None:
            port = self._ports[source] = self._next_port
            self._private[port] = source
            self._next_port += 1
        self._contacts.add((source, destination))
        return self._public, port

    def inbound(self, source: Address, destination: Address, now: float) -> Address | None:
        """Map the port back, if there is a mapping and the filter agrees."""
        private = self._private.get(destination[1])
        if private is None or (self._filtered and (private, source) not in self._contacts):
            return None
        return private

    def owns(self, address: Address) -> bool:
        """Return True for everything that goes to the public address."""
        return address[0] == self._public

    def rebind(self) -> None:
        """Forget every mapping."""
        self._ports.clear()
        self._private.clear()
        self._contacts.clear()


class Nat:
    """A router with one public address. It lets in only addresses that the port has written to.

    `preserving` keeps the port of a socket. `symmetric` gives the next port to each socket and destination,
    and `random` gives any port.
    """

    def __init__(self, public: str, mapping: Literal["preserving", "symmetric", "random"]) -> None:
        self.public = public
        self._mapping = mapping
        self._random = Random(public)
        self._ports: dict[tuple[Address, Address | None], int] = {}
        self._private: dict[int, Address] = {}
        self._contacts: set[tuple[int, Address]] = set()

    def outbound(self, source: Address, destination: Address, now: float) -> Address | None:
        """Map the source to its port, which is new for a new source."""
        key = source, None if self._mapping == "preserving" else destination
        if key not in self._ports:
            self._private[self._new_port(source)] = source
            self._ports[key] = next(reversed(self._private))
        port = self._ports[key]
        self._contacts.add((port, destination))
        return self.public, port

    def inbound(self, source: Address, destination: Address, now: float) -> Address | None:
        """Map the port back, if it has written to the sender."""
        return self._private[destination[1]] if (destination[1], source) in self._contacts else None

    def owns(self, address: Address) -> bool:
        """Return True for everything that goes to the public address."""
        return address[0] == self.public

    def _new_port(self, source: Address) -> int:
        if self._mapping == "preserving":
            return source[1]
        if self._mapping == "symmetric":
            return 20_000 + len(self._private)
        while (port := self._random.randrange(1024, 65536)) in self._private:
            pass
        return port


class Firewall:
    """A filter for one public host, which keeps its addresses: remotes that it wrote to may answer.

    It compares hosts and not ports, as many routers do. It forgets a host after `hole_time` seconds.
    """

    def __init__(self, host: str, *, hole_time: float = 300.0) -> None:
        self.shut = True
        """Whether it lets nobody else in."""
        self._host = host
        self._hole_time = hole_time
        self._written: dict[tuple[Address, str], float] = {}

    def outbound(self, source: Address, destination: Address, now: float) -> Address | None:
        """Keep the source."""
        self._written[source, destination[0]] = now
        return source

    def inbound(self, source: Address, destination: Address, now: float) -> Address | None:
        """Let a datagram in if it may be an answer."""
        written = self._written.get((destination, source[0]), -self._hole_time)
        return None if self.shut and now - written >= self._hole_time else destination

    def owns(self, address: Address) -> bool:
        """Return True for everything that goes to the host."""
        return address[0] == self._host
