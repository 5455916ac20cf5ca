"""`Paths`: further sockets beside a node's main one, over which some remotes are reached.

Hole punching through a NAT that picks a new port for each destination needs many sockets. Each has a number,
which is the third part of the addresses that are reached through it.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Container, Iterable, Iterator
from contextlib import suppress

import trio

from peersockets_core.udx import Address

from .datagrams import Datagrams
from .readers import Receive


class Paths:
    """The open paths of one UDP socket, by their numbers."""

    def __init__(
        self, main: Datagrams, read_all: Callable[[Datagrams, Receive], Awaitable[bool]], receive: Receive
    ) -> None:
        """`read_all` reads everything that has arrived at a socket, and `receive` takes a run of it; the
        source then has the number of the path.
        """
        self._main = main
        self._read_all = read_all
        self._receive = receive
        self._paths: dict[int, Datagrams] = {}
        self._nursery: trio.Nursery | None = None

    def __iter__(self) -> Iterator[int]:
        """The numbers of the open paths."""
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def get(self, number: int) -> Datagrams | None:
        """Return the socket of a path, or None if it is not open."""
        return self._paths.get(number)

    def start(self, nursery: trio.Nursery) -> None:
        """Allow paths to open; their reading tasks run in the nursery."""
        self._nursery = nursery

    def send(self, number: int, data: bytes, destination: Address, ttl: int) -> None:
        """Send a datagram from the socket of a path, which is opened by its first datagram; it may be lost.
        Routers drop it after `ttl` hops.
        """
        path = self._paths.get(number) or self._open(number)
        if path is not None:
            path.send_with_ttl(data, destination, ttl)

    def close_idle(self, wanted: Container[int], remotes: Iterable[Address | None]) -> None:
        """Close the paths that are not `wanted` and over which none of the `remotes` is reached."""
        unwanted = [number for number in self._paths if number not in wanted]
        if unwanted:
            used = {address[2] for address in remotes if address is not None and len(address) == 3}
            for number in unwanted:
                if number not in used:
                    self._close(self._paths.pop(number))

    def close(self) -> None:
        """Close all paths, and open no more."""
        self._nursery = None
        while self._paths:
            self._close(self._paths.popitem()[1])

    def _open(self, number: int) -> Datagrams | None:
        """Open another socket, or return None if the system has none left."""
        if self._nursery is None:
            return None
        try:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        except OSError:  # too many open files
            return None
        sock.bind((self._main.address[0], 0))
        path = self._paths[number] = Datagrams(sock, self._main.reader)
        self._nursery.start_soon(self._read, number, path)
        return path

    async def _read(self, number: int, path: Datagrams) -> None:
        def receive(packets: memoryview, size: int, source: Address) -> None:
            self._receive(packets, size, (source[0], source[1], number))

        with suppress(trio.ClosedResourceError):
            while self._paths.get(number) is path:
                await trio.lowlevel.wait_readable(path.socket)
                await self._read_all(path, receive)

    @staticmethod
    def _close(path: Datagrams) -> None:
        """Close the socket, and end the task that reads from it."""
        trio.lowlevel.notify_closing(path.socket)
        path.close()
