"""Swarms in virtual time. Streams are only numbers, and the test decides which of them connect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from core.dht.support import FIRST, DhtNetwork, Member, entropy
from peersockets_core import KeyPair
from peersockets_core.dht import ConnectionRequested, Dialled, HyperDht
from peersockets_core.swarm import Swarm, SwarmEvent, SwarmLimits
from simulation import Gateway

TOPIC = bytes(range(32))


@attrs.define(eq=False)
class Person:
    """A node with a swarm. It accepts every remote that dials it, and opens a stream to every peer it has
    dialled.
    """

    network: DhtNetwork
    machine: Swarm
    accepts: bool = True
    connects: bool = True
    events: list[SwarmEvent] = attrs.field(factory=list)
    connected: set[bytes] = attrs.field(factory=set)
    member: Member = attrs.field(init=False)

    @property
    def key(self) -> bytes:
        return self.machine.dht.key_pair.ed25519_public_key

    def of_type(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def handle(self, event: SwarmEvent) -> None:
        self.events.append(event)
        now = self.network.now
        if isinstance(event, ConnectionRequested) and self.accepts:
            self.machine.dht.accept(event.incoming, 5, now)
            self.open(event.incoming.remote_public_key)
        elif isinstance(event, Dialled) and self.connects:
            self.open(event.dial.public_key)

    def open(self, key: bytes) -> None:
        self.connected.add(key)
        self.machine.connection_opened(key, self.network.now)

    def lose(self, key: bytes) -> None:
        self.connected.discard(key)
        self.machine.connection_lost(key, self.network.now)
        self.member.host.settle()


class SwarmNetwork(DhtNetwork):
    """A network of a few nodes, and the people who meet on it."""

    def __init__(self, nodes: int = 4, seed: object = 0) -> None:
        super().__init__(seed)
        self.people: list[Person] = []
        self.grow(self.add_hyper, nodes)
        self.network.run_for(10)

    def add_person(
        self,
        *,
        limits: SwarmLimits | None = None,
        pause: float = 0.0,
        gateway: Gateway | None = None,
        relay_through: bytes | None = None,
        **options: Any,
    ) -> Person:
        address = self.address(1000 + len(self.people))
        dht = HyperDht(
            **{
                "key_pair": KeyPair.from_seed(f"person {len(self.people)}".encode().ljust(32)),
                "entropy": entropy(address),
                "now": self.now,
                "bootstrap": (FIRST,),
                **options,
            }
        )
        numbers = iter(range(1, 1000))
        machine = Swarm(
            dht,
            entropy(("swarm", address)),
            open_stream=lambda key: next(numbers),
            relay_through=relay_through,
            limits=limits or SwarmLimits(),
        )
        person = Person(self, machine)
        site = self.network.add_site(gateway=gateway)
        host = site.add_host(address, machine, on_event=person.handle)
        person.member = Member(machine, host, person.events)
        self.members.append(person.member)
        self.people.append(person)
        host.settle()
        self.network.run_for(pause)
        return person

    def all_met(self, *people: Person) -> Callable[[], bool]:
        """Return whether each of these people is connected to all the others."""
        keys = {person.key for person in people}
        return lambda: all(keys - {person.key} <= person.connected for person in people)
