"""Parts that the tests of UDX share: two endpoints, and a perfect network between them."""

from __future__ import annotations

from peersockets_core.udx import (
    Address,
    DataReceived,
    Endpoint,
    Event,
    UdxLimits,
)
from peersockets_core.udx.packet import header, word

ALICE: Address = ("192.0.2.1", 1111)
BOB: Address = ("192.0.2.2", 2222)
DELAY = 0.01


class Pair:
    """Alice and Bob with a stream each, and time that jumps to the next event."""

    def __init__(self, *, limits: UdxLimits | None = None, connect: bool = True) -> None:
        self.now = 0.0
        limits = limits or UdxLimits()
        self.endpoints = {name: Endpoint(limits=limits, now=0.0) for name in (ALICE, BOB)}
        self.alice = self.endpoints[ALICE].open_stream(1, 0.0)
        self.bob = self.endpoints[BOB].open_stream(2, 0.0)
        self.events: dict[Address, list[Event]] = {ALICE: [], BOB: []}
        self.received = {ALICE: bytearray(), BOB: bytearray()}
        self.wire: list[tuple[float, Address, Address, bytes, int]] = []
        self.sent: list[tuple[Address, bytes, int]] = []
        self.lose: set[int] = set()
        """The transmissions, counted in order of sending, that do not arrive."""
        self.consume = True
        if connect:
            self.alice.connect(2, BOB, 0.0)
            self.bob.connect(1, ALICE, 0.0)

    def collect(self) -> None:
        for name, endpoint in self.endpoints.items():
            for destination, buffers, size in endpoint.datagrams_to_send(self.now):
                data = b"".join(buffers)
                if len(self.sent) not in self.lose:
                    self.wire.append((self.now + DELAY, destination, name, data, size))
                self.sent.append((name, data, size))

    def step(self, until: float = 1000.0) -> bool:
        """Go to the next arrival or deadline. Return whether there is one before the given time."""
        self.collect()
        due = min(
            [arrival[0] for arrival in self.wire] + [e.next_deadline() for e in self.endpoints.values()]
        )
        if due > until:
            self.now = max(self.now, until) if until < 1000 else self.now
            return False
        self.now = max(self.now, due)
        for arrival in [arrival for arrival in self.wire if arrival[0] <= self.now]:
            self.wire.remove(arrival)
            _, destination, source, data, size = arrival
            endpoint = self.endpoints[destination]
            self.note(destination, endpoint.receive_datagrams(bytearray(data), size, source, self.now))
        for name, endpoint in self.endpoints.items():
            if endpoint.next_deadline() <= self.now:
                self.note(name, endpoint.handle_deadline(self.now))
        return True

    def note(self, name: Address, events: list[Event]) -> None:
        self.events[name] += events
        for event in events:
            if isinstance(event, DataReceived):
                self.received[name] += event.data
                if self.consume:
                    event.stream.consume(len(event.data))

    def run(self, until: float = 1000.0) -> None:
        """Continue until nothing more happens."""
        while self.step(until):
            pass

    def of(self, name: Address, kind: type[Event]) -> list[Event]:
        return [event for event in self.events[name] if isinstance(event, kind)]


def packet(
    flags: int, seq: int = 0, ack: int = 0, *, to: int = 2, window: int = 1 << 22, body: bytes = b""
) -> bytes:
    return header(word(flags), to, window, seq, ack) + body
