"""DHT nodes for tests: their entropy, and networks of nodes in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import attrs

from peersockets_core import KeyPair
from peersockets_core.address import SocketAddress
from peersockets_core.dht.hyperdht import HyperDht
from peersockets_core.dht.rpc.messages import RpcRequest, RpcResponse, decode_untrusted
from peersockets_core.dht.rpc.node import DhtNode
from simulation import Gateway, Host, Link, Network
from simulation.support import Recorder

PORT = 49737
FIRST: SocketAddress = ("10.0.0.1", PORT)
"""The first node of each network."""


def entropy(seed: object) -> Callable[[int], bytes]:
    return Random(str(seed)).randbytes


@attrs.define(eq=False)
class Member:
    """One node in a network, and the events that it has reported."""

    machine: Any
    host: Host
    events: list[Any]

    @property
    def address(self) -> SocketAddress:
        return self.host.address

    def of_type(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class DhtNetwork:
    """Nodes that know the first one."""

    def __init__(self, seed: object = 0, *, delay: float = 0.02, loss: float = 0.0) -> None:
        self.network = Network(str(seed))
        self.members: list[Member] = []
        self._delay = delay
        self._loss = loss

    @property
    def now(self) -> float:
        return self.network.now

    def address(self, number: int) -> SocketAddress:
        return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", PORT

    def add(
        self,
        machine: Any,
        address: SocketAddress,
        *,
        probe: SocketAddress | None = None,
        gateway: Gateway | None = None,
    ) -> Member:
        events: list[Any] = []
        site = self.network.add_site(up=Link(delay=self._delay, loss=self._loss), gateway=gateway)
        host = site.add_host(address, machine, on_event=events.append, probe=probe)
        member = Member(machine, host, events)
        self.members.append(member)
        member.host.settle()
        return member

    def add_rpc(self, **options: Any) -> Member:
        """Add a node of dht-rpc alone. The first one begins the network."""
        return self._add(lambda **known: DhtNode(**known), options)

    def add_hyper(self, **options: Any) -> Member:
        """Add a node of HyperDHT. The first one begins the network."""
        key_pair = KeyPair.from_seed((len(self.members) + 1).to_bytes(32))
        return self._add(lambda **known: HyperDht(**{"key_pair": key_pair, **known}), options)

    def _add(self, make: Callable[..., Any], options: dict[str, Any]) -> Member:
        first = not self.members
        address = self.address(len(self.members) + 1)
        known: dict[str, Any] = {
            "entropy": entropy(address),
            "now": self.now,
            "persistent": True,
            "bootstrap": () if first else (FIRST,),
        }
        if first:
            known["address"] = address
        return self.add(make(**{**known, **options}), address)

    def add_adaptive(
        self, make: Callable[..., Any], *, gateway: Gateway | None = None, **options: Any
    ) -> Member:
        """Add a node that becomes persistent by itself, with its second socket, and behind a gateway if one
        is given.
        """
        host, port = self.address(len(self.members) + 1)
        known: dict[str, Any] = {"bootstrap": (FIRST,), **options}
        machine = make(entropy=entropy(host), now=self.now, persistent=None, port=port, **known)
        return self.add(machine, (host, port), probe=(host, port + 1), gateway=gateway)

    def remove(self, member: Member) -> None:
        """Remove a node without any farewell."""
        self.members.remove(member)
        self.network.forget_address(member.host)
        member.host.machine = Recorder()

    def grow(self, add: Callable[[], Member], count: int, pause: float = 0.5) -> None:
        """Add nodes, one after the other."""
        for _ in range(count):
            add()
            self.network.run_for(pause)

    def until(self, condition: Callable[[], bool], within: float = 30.0) -> None:
        """Let time pass until the condition holds, or fail."""
        for member in self.members:
            member.host.settle()
        self.network.run_until(condition, within=within)


def sent(machine: Any, now: float) -> list[tuple[SocketAddress, RpcRequest | RpcResponse]]:
    """Take the datagrams that a machine wants to send."""
    return [(to, decode_untrusted(bytes(buffers[0]))) for to, buffers, _ in machine.datagrams_to_send(now)]


def requests_of(machine: Any, now: float) -> list[tuple[SocketAddress, RpcRequest]]:
    """Take the requests that a machine wants to send."""
    return [(to, message) for to, message in sent(machine, now) if isinstance(message, RpcRequest)]


def hyper_network(size: int, seed: object = 0, **options: Any) -> DhtNetwork:
    """Return a network of persistent HyperDHT nodes that know each other."""
    network = DhtNetwork(seed, **options)
    network.grow(network.add_hyper, size)
    network.network.run_for(10)
    return network
