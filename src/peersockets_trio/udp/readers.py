"""Read datagrams from a socket: many in one system call, where the system can, or one by one.

Both readers hand over runs: datagrams of one sender and one size, back to back, of which the last may be
shorter. The core therefore sees the same, however the datagrams were read.
"""

from __future__ import annotations

import copy
import socket
import sys
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from peersockets_core.udx import Address

UDP_GRO: Final = 104
LARGEST: Final = 65_536
"""Bytes of the largest datagram, and of the most datagrams that the kernel joins to one (UDP_GRO)."""

TURN_BYTES: Final = 512 * 1024
"""Bytes after which a read ends its turn. Other tasks need turns, too, and senders need acknowledgements."""

_ROOM: Final = 4 * LARGEST
_READS: Final = 64
_ANCILLARY: Final = 64

Receive: TypeAlias = Callable[[memoryview, int, Address], None]
"""A function that takes datagrams: a buffer that holds them back to back, the size of all but the last, and
the source address."""


class DatagramReader(Protocol):
    """Reads from a socket that it was made for."""

    def read(self, receive: Receive) -> bool:
        """Pass the datagrams that have arrived to `receive`; returns whether there may be more."""

    def of(self, sock: socket.socket) -> DatagramReader:
        """Return a reader of another socket, which shares the buffers. The two take turns."""


class OneByOne:
    """Reads datagrams one by one, on any system, and gathers runs."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._buffer = memoryview(bytearray(_ROOM))

    def of(self, sock: socket.socket) -> OneByOne:
        """See `DatagramReader`."""
        other = copy.copy(self)
        other.socket = sock
        return other

    def read(self, receive: Receive) -> bool:
        """See `DatagramReader`."""
        sock, buffer = self.socket, self._buffer
        start = end = size = total = (
            0  # bounds and size of the run that is being gathered, and the bytes of all runs
        )
        source: Address = ("", 0)
        more = True
        for _ in range(_READS):
            if end + LARGEST > _ROOM:
                if size:
                    receive(buffer[start:end], size, source)
                start = end = size = 0
            try:
                length, ancillary, _, sender = sock.recvmsg_into((buffer[end : end + LARGEST],), _ANCILLARY)
            except BlockingIOError:
                more = False
                break
            except OSError:  # an error of a datagram that was sent earlier
                continue
            segment = _segment_size(ancillary) if ancillary else 0
            if size and (sender != source or length > size or segment):
                receive(buffer[start:end], size, source)
                size = 0
            if not size:
                source, start, size = sender, end, segment or length
            end += length
            total += length
            if length < size or segment or not length:  # the run is complete
                receive(buffer[start:end], size, source)
                start = end = size = 0
            if total >= TURN_BYTES:
                break
        if size:
            receive(buffer[start:end], size, source)
        return more


def _segment_size(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_UDP and kind == UDP_GRO:
            return int.from_bytes(data[:4], sys.byteorder)
    return 0
