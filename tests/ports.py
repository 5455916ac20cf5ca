"""Ports of this machine for tests, of which several may run at a time."""

from __future__ import annotations

import socket
from random import SystemRandom
from typing import Final

_PORTS: Final = range(10_000, 32_000)
"""Ports below those that the system assigns (on Linux, from 32,768 on). A connection of another test could
take one of those before we use it.
"""


def unused_port(host: str = "127.0.0.1") -> int:
    """Return a port without a listener, which a test may also use to listen."""
    while True:
        port = SystemRandom().choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        return port
