"""A machine on the network. The host reads and writes for it as an adapter does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import attrs

from peersockets_core.dht.rpc import Socket
from simulation.pattern import Address, Datagram, DatagramMachine

if TYPE_CHECKING:
    from simulation.network import Site

MAX_RUN = 64
"""The most datagrams in one read, as with the kernel's GRO."""

MAX_RUN_BYTES = 65_535


@attrs.define(eq=False, kw_only=True)
class Host:
    """A machine with its address, made by `Site.add_host`."""

    site: Site
    address: Address
    machine: DatagramMachine
    on_event: Callable[[Any], None]
    """Called with every event. It may use the machine, and the datagrams that this queues are sent
    afterwards.
    """
    read_delay: float = 0.0
    """Seconds from the first arrival to the read. Datagrams that arrive in this time join the read."""
    receive_buffer: float = float("inf")
    """The most bytes that wait for the read. Others are dropped, as in a socket's full buffer."""
    probe: Address | None = None
    """The address of a second socket, if the machine has one. The machine gets its datagrams at once."""
    sockets: dict[Address, int] = attrs.field(factory=dict)
    """The numbers of the sockets that the machine has opened to punch holes, by their addresses."""
    overflows: int = 0
    reads: int = 0
    _inbox: deque[Datagram] = attrs.field(factory=deque)
    _inbox_size: int = 0
    _scheduled: float = float("inf")

    @property
    def now(self) -> float:
        """The network's time."""
        return self.site.network.now

    @property
    def addresses(self) -> list[Address]:
        """The addresses of all its sockets."""
        return [self.address, *([] if self.probe is None else [self.probe]), *self.sockets]

    def move(self, address: Address) -> None:
        """Change the address. Datagrams to the old one arrive nowhere, even those in flight."""
        self.site.network.forget_address(self)
        self.address = address
        self.sockets.clear()
        self.site.network.learn_address(self)
        self.settle()

    def call_later(self, delay: float, action: Callable[[], object]) -> None:
        """Use the machine later, and then send what that queued."""

        def act() -> None:
            action()
            self.settle()

        self.site.network.call_at(self.now + delay, act)

    def settle(self) -> None:
        """Send the datagrams that the machine has queued, and note its deadline."""
        for destination, buffers, segment_size in self.machine.datagrams_to_send(self.now):
            # An adapter sets no DF for destinations that the machine reports as black holes.
            may_fragment = destination in getattr(self.machine, "black_holes", ())
            for payload in _cut(b"".join(buffers), segment_size):
                datagram = Datagram(self.address, destination, payload, may_fragment)
                self.site.network.send(self, datagram)
        if self.probe is not None:
            machine: Any = self.machine
            for destination, (payload,), _ in machine.datagrams_to_send(self.now, socket=Socket.PROBE):
                self.site.network.send(self, Datagram(self.probe, destination, payload))
        dht: Any = getattr(self.machine, "dht", self.machine)
        if hasattr(dht, "punch_datagrams_to_send"):
            for punched in dht.punch_datagrams_to_send(self.now):
                source = self._socket(punched.socket)
                self.site.network.send(self, Datagram(source, punched.to, punched.data, ttl=punched.ttl))
        self._schedule(self.machine.next_deadline())

    def _socket(self, number: int) -> Address:
        """Return the address of a socket, which opens with its first datagram."""
        address = self.address[0], 50_000 + number
        if address not in self.sockets:
            self.sockets[address] = number
            self.site.network.open_socket(self, address)
        return address

    def wake_up(self, scheduled: float) -> Callable[[], None] | None:
        """Return the work of a wake-up that was set for this time, or None if the deadline has moved."""
        if scheduled != self._scheduled:
            return None
        self._scheduled = float("inf")
        deadline = self.machine.next_deadline()
        if deadline > scheduled:
            self._schedule(deadline)
            return None
        return self._handle_deadline

    def deliver(self, datagram: Datagram) -> None:
        """Take a datagram that has arrived. The host reads it after `read_delay`."""
        socket = (
            Socket.PROBE if datagram.destination == self.probe else self.sockets.get(datagram.destination)
        )
        if socket is not None:
            machine: Any = self.machine
            size, source = len(datagram.payload), datagram.source
            self._hand_over(
                machine.receive_datagrams(datagram.payload, size, source, self.now, socket=socket)
            )
            self.settle()
            return
        if datagram.destination != self.address:
            return  # the host has moved since the datagram left
        if self._inbox_size + len(datagram.payload) > self.receive_buffer:
            self.overflows += 1
            return
        if not self._inbox:
            self.site.network.call_at(self.now + self.read_delay, self._read)
        self._inbox.append(datagram)
        self._inbox_size += len(datagram.payload)

    def _read(self) -> None:
        for source, segment_size, buffer in self._runs():
            self.reads += 1
            self._hand_over(self.machine.receive_datagrams(buffer, segment_size, source, self.now))
        self.settle()

    def _runs(self) -> Iterator[tuple[Address, int, memoryview]]:
        inbox, self._inbox, self._inbox_size = self._inbox, deque(), 0
        while inbox:
            first = inbox.popleft()
            size, parts = len(first.payload), [first.payload]
            while inbox and _continues(inbox[0], first, parts):
                parts.append(inbox.popleft().payload)
            yield first.source, size, memoryview(bytearray().join(parts))

    def _schedule(self, deadline: float) -> None:
        # A deadline moves back with every packet. The host looks at the new one when the first one is due.
        if deadline < self._scheduled:
            self._scheduled = max(deadline, self.now)
            self.site.network.call_at(self._scheduled, self)

    def _handle_deadline(self) -> None:
        self._hand_over(self.machine.handle_deadline(self.now))
        self.settle()
        assert self.machine.next_deadline() > self.now, "the deadline does not move on"

    def _hand_over(self, events: Any) -> None:
        for event in events:
            self.on_event(event)


def _continues(datagram: Datagram, first: Datagram, parts: list[bytes]) -> bool:
    """Return whether the kernel would hand over this datagram together with those before it."""
    size = len(first.payload)
    return (
        datagram.source == first.source
        and 0 < len(datagram.payload) <= size == len(parts[-1])
        and len(parts) < MAX_RUN
        and (len(parts) + 1) * size <= MAX_RUN_BYTES
    )


def _cut(data: bytes, size: int) -> Iterator[bytes]:
    yield from (data[start : start + size] for start in range(0, len(data) or 1, size))
