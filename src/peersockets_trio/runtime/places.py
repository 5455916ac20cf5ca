"""Places for connections: how many the descriptors of the process allow, and how to accept with none left."""

from __future__ import annotations

import errno
import resource
import select
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from peersockets_core import Limits

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""Errors of `accept` that say that the process or the system has run short, and nothing of the connection."""

_LEAST_RESERVE: Final = 16
_RESERVED_SHARE: Final = 8

AcceptedHandler = Callable[[trio.SocketStream], Awaitable[object]]


def connection_places(limits: Limits) -> int:
    """How many connections there may be now: `Limits.connections`, or as many as there are descriptors for.

    An eighth of the descriptors, and 16 at least, is left for dialling, files and the rest of the program.
    The limit of the process is read anew each time, since a program may change it.
    """
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return limits.connections
    reserve = max(_LEAST_RESERVE, descriptors // _RESERVED_SHARE)
    return max(1, min(limits.connections, descriptors - reserve))


def handshake_places(limits: Limits) -> int:
    """How many of them may be unfinished handshakes: `Limits.handshakes`, and half of the places at most."""
    return max(1, min(limits.handshakes, connection_places(limits) // 2))


async def accept_connections(
    listener: trio.SocketListener,
    handler: AcceptedHandler,
    nursery: trio.Nursery,
    wait_for_descriptor: Callable[[OSError], Awaitable[object]],
) -> None:
    """Accept for ever, and start `handler` in `nursery` with each stream; the listener is closed at the end.

    Where nothing is left to accept with, `wait_for_descriptor` is called with the error, and returns when it
    may be worth another attempt: the connection waits in the kernel meanwhile.
    """
    async with listener:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                if _nobody_waits(listener):  # Linux looks for a descriptor first, and for a connection then
                    await trio.lowlevel.wait_readable(listener.socket)
                else:
                    await wait_for_descriptor(error)
            else:
                nursery.start_soon(handler, stream)


def _nobody_waits(listener: trio.SocketListener) -> bool:
    poll = select.poll()
    poll.register(listener.socket.fileno(), select.POLLIN)
    return not poll.poll(0)
