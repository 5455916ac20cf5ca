"""`ProbeSocket`: the second socket of a swarm, which tests whether the first one can be reached."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import trio

from peersockets_core.address import SocketAddress

from ..runtime.background import background_tasks

_LARGEST: Final = 2048
"""Bytes of the largest datagram that is read whole: more than any path carries."""


class ProbeSocket:
    """A probe socket, made by `open_probe_socket`."""

    def __init__(self, sock: socket.socket) -> None:
        self.on_datagram: Callable[[bytes, SocketAddress], None] | None = None
        """A function that is called with each datagram."""
        self.address: SocketAddress = sock.getsockname()
        """The host and port that the socket is bound to."""
        self.socket = sock

    def send_datagram(self, data: bytes, destination: SocketAddress) -> None:
        """Send a datagram; it may be lost."""
        with suppress(OSError):  # no route, no permission or no room counts as a lost datagram
            self.socket.sendto(data, destination)

    async def run(self) -> None:
        """Read for ever."""
        while True:
            await trio.lowlevel.wait_readable(self.socket)
            with suppress(OSError):  # BlockingIOError, or the error of an earlier datagram
                data, source = self.socket.recvfrom(_LARGEST)
                if self.on_datagram is not None:
                    self.on_datagram(data, source)


@asynccontextmanager
async def open_probe_socket(host: str) -> AsyncIterator[ProbeSocket]:
    """Bind a UDP socket to any free port. Raises `OSError` if binding fails."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind((host, 0))
        probe = ProbeSocket(sock)
        async with background_tasks() as nursery:
            nursery.start_soon(probe.run)
            yield probe
