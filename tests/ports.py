"""Ports of this machine for tests, several of which may run at a time."""

from __future__ import annotations

import socket
from random import SystemRandom
from typing import Final

_PORTS: Final = range(10_000, 32_000)
"""Below those that the system hands out (on Linux, from 32,768 on): among those, a connection of another test
may take a port between our look and its use."""


def unused_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on, or that one may listen on."""
    while True:
        port = SystemRandom().choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        return port
