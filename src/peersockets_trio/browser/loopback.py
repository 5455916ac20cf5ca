"""`listen_on_loopback`: listens on both loopback addresses, or on neither."""

from __future__ import annotations

import errno
import socket
from typing import Final

import trio

_ADDRESSES: Final = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_BACKLOG: Final = 128
_ATTEMPTS: Final = 32
"""The number of ports to try if any will do. A port that is free on one address is rarely taken on the
other."""


async def listen_on_loopback(port: int) -> list[trio.SocketListener]:
    """Listen on 127.0.0.1 and ::1, on the same port; 0 takes any free one. Raises `OSError`.

    Another program that listens on one of the two would get some of the browser's requests, with the cookie.
    """
    attempts = 1 if port else _ATTEMPTS
    while True:
        attempts -= 1
        try:
            return await _listen_on_both(port)
        except OSError as error:
            if not attempts or error.errno != errno.EADDRINUSE:
                where = f"port {port}" if port else "a port"
                raise OSError(
                    error.errno, f"cannot listen on {where} of both 127.0.0.1 and ::1: {error.strerror}"
                ) from None


async def _listen_on_both(port: int) -> list[trio.SocketListener]:
    sockets: list[trio.socket.SocketType] = []
    try:
        for family, address in _ADDRESSES:
            bound = trio.socket.socket(family, socket.SOCK_STREAM)
            sockets.append(bound)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            await bound.bind((address, port))
            bound.listen(_BACKLOG)
            port = bound.getsockname()[1]
    except BaseException:
        for bound in sockets:
            bound.close()
        raise
    return [trio.SocketListener(bound) for bound in sockets]
