"""A node of the core's HyperDHT on a socket, without a swarm."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import attrs
import trio

from interop.real_peer import HOST
from peersockets_core import KeyPair
from peersockets_core.dht import HyperDht

E = TypeVar("E")


@attrs.define(eq=False)
class BareDht:
    """Made by `open_bare_dht`."""

    machine: HyperDht
    _socket: trio.socket.SocketType
    events: list[Any] = attrs.field(factory=list)
    _news: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    async def wait(self, kind: type[E], command: Callable[[float], object] | None = None) -> E:
        """Give a command, if there is one, and wait for the next event of a kind."""
        seen = len(self.events)
        if command is not None:
            command(trio.current_time())
            await self._flush()
        while True:
            for event in self.events[seen:]:
                if isinstance(event, kind):
                    return event
            await self._news.park()

    async def _flush(self) -> None:
        for destination, (datagram,), _ in self.machine.datagrams_to_send(trio.current_time()):
            await self._socket.sendto(datagram, destination)

    async def run(self) -> None:
        """Move datagrams and handle deadlines for ever."""
        while True:
            await self._flush()
            with trio.move_on_at(self.machine.next_deadline()) as scope:
                data, source = await self._socket.recvfrom(2048)
            now = trio.current_time()
            if scope.cancelled_caught:
                self.events += self.machine.handle_deadline(now)
            else:
                self.events += self.machine.receive_datagrams(data, len(data), source, now)
            self._news.unpark_all()


@asynccontextmanager
async def open_bare_dht(bootstrap: int) -> AsyncIterator[BareDht]:
    """Open a node for the length of the block."""
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
        await sock.bind((HOST, 0))
        machine = HyperDht(
            key_pair=KeyPair.generate(os.urandom),
            entropy=os.urandom,
            now=trio.current_time(),
            bootstrap=[(HOST, bootstrap)],
        )
        dht = BareDht(machine, sock)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dht.run)
            yield dht
            nursery.cancel_scope.cancel()
