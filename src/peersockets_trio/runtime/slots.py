"""Slots for connections: computes how many the process's descriptors allow, and accepts connections even
when none is left.
"""

from __future__ import annotations

import errno
import resource
import select
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from peersockets_core import Limits

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""Errors of `accept` that mean a shortage of the process or the system, and not a fault of the connection."""

_LEAST_RESERVE: Final = 16
_RESERVED_SHARE: Final = 8

AcceptedHandler = Callable[[trio.SocketStream], Awaitable[object]]


def connection_slots(limits: Limits) -> int:
    """Return the number of connections allowed now: `Limits.connections`, or fewer if descriptors are short.

    An eighth of the descriptors, but at least 16, is reserved for dialling, files and the rest of the
    program. This reads the limit of the process each time, because a program may change it.
    """
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return limits.connections
    reserve = max(_LEAST_RESERVE, descriptors // _RESERVED_SHARE)
    return max(1, min(limits.connections, descriptors - reserve))


def handshake_slots(limits: Limits) -> int:
    """Return the number of unfinished handshakes allowed: `Limits.handshakes`, but at most half of the
    slots.
    """
    return max(1, min(limits.handshakes, connection_slots(limits) // 2))


async def accept_connections(
    listener: trio.SocketListener,
    handler: AcceptedHandler,
    nursery: trio.Nursery,
    wait_for_descriptor: Callable[[OSError], Awaitable[object]],
) -> None:
    """Accept for ever, and start `handler` in `nursery` for each stream; closes the listener at the end.

    If no descriptor is left, it calls `wait_for_descriptor` with the error, which returns when another
    attempt may succeed. Meanwhile, the connection waits in the kernel.
    """
    async with listener:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                if _nobody_waits(listener):  # Linux allocates a descriptor before it looks for a connection
                    await trio.lowlevel.wait_readable(listener.socket)
                else:
                    await wait_for_descriptor(error)
            else:
                nursery.start_soon(handler, stream)


def _nobody_waits(listener: trio.SocketListener) -> bool:
    poll = select.poll()
    poll.register(listener.socket.fileno(), select.POLLIN)
    return not poll.poll(0)
