"""`DatagramMachines`: the machines of the core that share a UDP socket, such as UDX and HyperDHT."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, cast

from peersockets_core.address import PathAddress, SocketAddress
from peersockets_core.buffer import Buffer


class DatagramMachine(Protocol):
    """The datagram pattern of the core: `udx.Endpoint`, `dht.HyperDht` and `swarm.Swarm` follow it."""

    def receive_datagrams(
        self, buffer: bytes, segment_size: int, source: SocketAddress, now: float
    ) -> Iterable[Any]:
        """Take in datagrams of one source; returns the events that they cause."""

    def datagrams_to_send(self, now: float) -> Iterable[tuple[PathAddress, Iterable[Buffer], int]]:
        """Return the queued output: destinations, buffers, and the size to cut them at."""

    def next_deadline(self) -> float:
        """Return the time at which to call `handle_deadline`; infinity for never."""

    def handle_deadline(self, now: float) -> Iterable[Any]:
        """Do whatever has become due by `now`; returns the events that it causes."""


class DatagramMachines(asyncio.DatagramProtocol):
    """One UDP socket and its machines; pass it to `loop.create_datagram_endpoint`."""

    def __init__(
        self,
        machines: Mapping[DatagramMachine, Callable[[Any], None]],
        choose: Callable[[bytes], DatagramMachine | None],
    ) -> None:
        """`machines` maps each machine to the function that handles its events.

        `choose` returns the machine for a datagram, or None to ignore it. After commands to a machine, call
        `flush`.
        """
        self._loop = asyncio.get_running_loop()
        self._machines = dict(machines)
        self._choose = choose
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self.transport = cast(asyncio.DatagramTransport, None)
        """The socket, once asyncio has opened it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first output of the machines."""
        self.transport = cast(asyncio.DatagramTransport, transport)
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        """Take in a datagram."""
        machine = self._choose(data)
        if machine is not None:
            self._handle(machine, machine.receive_datagrams(data, len(data), source[:2], self._loop.time()))
            self.flush()

    def pause_writing(self) -> None:
        """Leave further output in the machines."""
        self._paused = True

    def resume_writing(self) -> None:
        """Continue to send."""
        self._paused = False
        self.flush()

    def flush(self) -> None:
        """Send the queued output of the machines, and set the timer."""
        for machine in self._machines:
            if self._paused or self.transport.is_closing():
                return
            for destination, buffers, size in machine.datagrams_to_send(self._loop.time()):
                data = b"".join(buffers)
                for start in range(0, len(data), size):
                    self.transport.sendto(data[start : start + size], destination[:2])
        if self._timer is not None:
            self._timer.cancel()
        deadline = min(machine.next_deadline() for machine in self._machines)
        self._timer = None if deadline == math.inf else self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        for machine in self._machines:
            self._handle(machine, machine.handle_deadline(self._loop.time()))
        self.flush()

    def _handle(self, machine: DatagramMachine, events: Iterable[Any]) -> None:
        for event in events:
            self._machines[machine](event)
