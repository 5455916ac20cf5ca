"""UDP sockets in all namespaces of a world, driven over stdin and stdout by JSON lines, one at a time."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
from typing import Any

PATIENCE = 30.0
"""Seconds after which a missing datagram fails the test."""


class Sockets:
    """The commands. A number names each socket."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._sockets: list[socket.socket] = []

    def bind(self, namespace: str, host: str, port: int) -> list[int]:
        """Open a socket in a namespace. Return its number and port."""
        with open(f"/run/netns/{namespace}") as file:
            if self._libc.setns(file.fileno(), 0):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind((host, port))
        opened.settimeout(PATIENCE)
        self._sockets.append(opened)
        return [len(self._sockets) - 1, opened.getsockname()[1]]

    def send(self, number: int, host: str, port: int, text: str, ttl: int) -> None:
        """Send a datagram."""
        self._sockets[number].setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        self._sockets[number].sendto(text.encode(), (host, port))

    def receive(self, number: int) -> list[Any]:
        """Wait for the next datagram. Return its text and source."""
        data, address = self._sockets[number].recvfrom(2048)
        return [data.decode(), *address]


def main() -> None:
    """Run the commands."""
    sockets = Sockets()
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(getattr(sockets, name)(*arguments)), flush=True)


if __name__ == "__main__":
    main()
