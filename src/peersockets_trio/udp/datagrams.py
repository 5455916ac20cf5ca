"""`Datagrams`: a UDP socket that sends and reads many datagrams at a time.

Linux sends up to 64 datagrams of one size in one call (UDP_SEGMENT), and returns as many of one sender in one
read (UDP_GRO). If the first attempt shows that the kernel or an interface does not support this, datagrams
are sent one by one. Datagrams that are read one by one are gathered here, so that the core sees the same runs
either way.
"""

from __future__ import annotations

import errno
import socket
import sys
import warnings
from contextlib import suppress
from typing import Final

from peersockets_core.address import SocketAddress
from peersockets_core.buffer import Buffer
from peersockets_core.udx import Address

from ..runtime.addresses import address_of
from .readers import UDP_GRO, DatagramReader, OneByOne, Receive
from .recvmmsg import AVAILABLE, Batches

_UDP_SEGMENT: Final = 103
_IP_MTU_DISCOVER: Final = 10
_IPV6_MTU_DISCOVER: Final = 23
_PMTUDISC_PROBE: Final = (
    3  # set the bit that forbids fragments, and ignore the kernel's knowledge of the path
)
_PMTUDISC_DONT: Final = 0
_SO_RCVBUFFORCE: Final = 33
_SO_SNDBUFFORCE: Final = 32
_LINUX: Final = sys.platform == "linux"

BUFFER_SIZE: Final = 4 * 1024 * 1024
"""Bytes that the kernel should buffer for us: the window of one stream."""


_TTL: Final = 64
"""Hops of all datagrams but those that must not arrive."""


class Datagrams:
    """A bound, non-blocking UDP socket."""

    def __init__(self, sock: socket.socket, reader: DatagramReader | None = None) -> None:
        """Take over a socket, and set it up. It shares the buffers of a `reader`, if there is one."""
        self.socket = sock
        self.segments = _LINUX
        """Whether one call sends many datagrams. It is False once an error shows that this does not work."""
        self.reader: DatagramReader
        if reader is not None:
            self.reader = reader.of(sock)
        else:
            self.reader = Batches(sock) if AVAILABLE else OneByOne(sock)
        """Reads from the socket, in the way that this system allows."""
        self._ipv6 = sock.family == socket.AF_INET6
        sock.setblocking(False)
        if _LINUX:
            self._set_path_mtu_discovery(_PMTUDISC_PROBE)
            with suppress(OSError):  # Linux before 5.0
                sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        _enlarge(sock)

    def fileno(self) -> int:
        """Return the file descriptor, for tasks that wait for it."""
        return self.socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    @property
    def address(self) -> SocketAddress:
        """The host and port that the socket is bound to."""
        address = address_of(self.socket.getsockname())
        assert address is not None
        return address

    def read(self, receive: Receive) -> bool:
        """Pass the datagrams that have arrived to `receive`; returns whether there may be more."""
        return self.reader.read(receive)

    def send(self, destination: Address, buffers: list[Buffer], size: int, *, fragment: bool = False) -> bool:
        """Send datagrams of one size, the last of which may be shorter.

        Returns False, and sends nothing, if the kernel has no room. Raises `OSError`: EMSGSIZE if a datagram
        is too large for the local system.
        """
        if fragment and _LINUX:
            self._set_path_mtu_discovery(_PMTUDISC_DONT)
            try:
                return self._send(destination, buffers, size)
            finally:
                self._set_path_mtu_discovery(_PMTUDISC_PROBE)
        return self._send(destination, buffers, size)

    def send_with_ttl(self, data: bytes, destination: Address, ttl: int) -> None:
        """Send a datagram that routers drop after `ttl` hops; it may be lost."""
        with suppress(OSError):  # no route, no permission or no room counts as a lost datagram
            if ttl == _TTL:
                self.socket.sendto(data, destination)
                return
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            try:
                self.socket.sendto(data, destination)
            finally:
                self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, _TTL)

    def _send(self, destination: Address, buffers: list[Buffer], size: int) -> bool:
        many = len(buffers) > 2 or sum(map(len, buffers)) > size
        try:
            if many and self.segments:
                option = (socket.IPPROTO_UDP, _UDP_SEGMENT, size.to_bytes(2, sys.byteorder))
                self.socket.sendmsg(buffers, (option,), 0, destination)
            elif many:
                self._send_each(destination, buffers, size)
            else:
                self.socket.sendmsg(buffers, (), 0, destination)
        except BlockingIOError:
            return False
        except OSError as error:
            if not (many and self.segments) or error.errno not in _NO_SEGMENTS:
                raise
            self.segments = False
            self._send_each(destination, buffers, size)
        return True

    def _send_each(self, destination: Address, buffers: list[Buffer], size: int) -> None:
        """Send datagrams one by one. Those for which there is no room are lost, as any datagram may be."""
        data = memoryview(b"".join(buffers))
        for at in range(0, len(data), size):
            try:
                self.socket.sendto(data[at : at + size], destination)
            except BlockingIOError:
                return

    def _set_path_mtu_discovery(self, value: int) -> None:
        if self._ipv6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, value)
        else:
            self.socket.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, value)


_NO_SEGMENTS: Final = frozenset({errno.EINVAL, errno.EIO, errno.ENOPROTOOPT, errno.EOPNOTSUPP})
"""The errors of a kernel or interface that does not support UDP_SEGMENT."""


_warned = False


def _enlarge(sock: socket.socket) -> None:
    """Ask for large buffers, and warn once if the kernel keeps them small."""
    global _warned
    for option, force in ((socket.SO_RCVBUF, _SO_RCVBUFFORCE), (socket.SO_SNDBUF, _SO_SNDBUFFORCE)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, force if _LINUX else option, BUFFER_SIZE)
        except OSError:  # only root may exceed the limit
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_SIZE)
    actual = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    if actual < BUFFER_SIZE and not _warned:
        _warned = True
        warnings.warn(
            f"the kernel keeps only {actual // 1024} KiB for a UDP socket, so fast streams lose packets: "
            f"allow more with sysctl net.core.rmem_max={BUFFER_SIZE}",
            RuntimeWarning,
            stacklevel=4,
        )
