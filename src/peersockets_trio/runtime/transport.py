"""How a task reads from a stream and writes to it: by way of Trio, or past it where that is faster.

A socket that Trio has reported readable is read here, into a buffer that all connections share: no
memory is asked for, and the attempt that only finds nothing yet is saved. It is written to at once, too, if
that takes no waiting.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import socket
import sys
import termios
from typing import Final, Protocol

import trio

from peersockets_core import Address

from ..udp.streams import UdxStream
from .addresses import address_of

READ_SIZE: Final = 256 * 1024
"""Bytes asked of a stream at a time: one decryption, one parse and one wake for all of them."""

SEND_SIZE: Final = 64 * 1024
"""Bytes given to a stream that is no socket at a time, so that it can be told how much has left."""

_COUNTS_UNACKNOWLEDGED: Final = sys.platform == "linux"
_USER_TIMEOUT: Final[int | None] = getattr(socket, "TCP_USER_TIMEOUT", None)
_MAX_USER_TIMEOUT: Final = (1 << 31) - 1


class Transport(Protocol):
    """The two directions of a stream."""

    immediate: bool
    """Whether it can be written to without waiting."""

    read_size: int
    """Bytes to read at a time, `READ_SIZE` at most."""

    async def wait(self) -> None:
        """Wait until there may be something to read; calling it again before `take` loses nothing.

        Raises `trio.BrokenResourceError` or `trio.ClosedResourceError`.
        """

    def take(self) -> bytes | memoryview | None:
        """Return what there is to read, empty at the end of the stream, None if it was a false alarm.

        It is good until somebody else reads, and may be written to if it is no `bytes`. Raises as `wait`.
        """

    def write(self, data: bytes | memoryview) -> int:
        """Write what goes without waiting; returns how many bytes that were."""
        ...

    async def send(self, data: memoryview) -> int:
        """Write some of it as soon as that goes; returns how many bytes that were. Raises as `wait`."""
        ...

    def is_read(self) -> bool:
        """Whether nothing that has arrived is still to be read, as far as can be known."""
        ...

    def unacknowledged(self) -> int:
        """Bytes that were written and that the remote's side has not acknowledged, where that is known."""
        ...


class StreamTransport:
    """For any stream."""

    immediate = False

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.read_size = READ_SIZE
        self._stream = stream
        self._data: bytes | bytearray | None = None
        self._waiting = False

    async def wait(self) -> None:
        if self._data is None:
            self._waiting = True
            self._data = await self._stream.receive_some(self.read_size)
            self._waiting = False

    def take(self) -> bytes | None:
        data, self._data = self._data, None
        return None if data is None else bytes(data)

    def write(self, data: bytes | memoryview) -> int:
        return 0

    async def send(self, data: memoryview) -> int:
        part = data[:SEND_SIZE]
        await self._stream.send_all(part)
        return len(part)

    def is_read(self) -> bool:
        return self._waiting

    def unacknowledged(self) -> int:
        return 0


class SocketTransport:
    """For a socket."""

    immediate = True

    def __init__(self, stream: trio.SocketStream, send_time: float) -> None:
        self.read_size = READ_SIZE
        self._socket = stream.socket
        if _USER_TIMEOUT is not None and self._socket.family in (socket.AF_INET, socket.AF_INET6):
            # The keepalives of either wire see to it that there is always something to be acknowledged.
            milliseconds = int(min(max(send_time * 1000, 1), _MAX_USER_TIMEOUT))
            with contextlib.suppress(OSError):  # gone already, as will be found out
                self._socket.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, milliseconds)
        self.buffer = _shared_buffer()
        """The memory that the socket is read into."""
        self._more = False  # whether the last read did not exhaust it

    async def wait(self) -> None:
        if self._more:
            await trio.lowlevel.checkpoint()
        elif self._socket.fileno() < 0:
            raise trio.ClosedResourceError("the socket was closed")
        else:
            await trio.lowlevel.wait_readable(self._socket)

    def take(self) -> memoryview | None:
        buffer = self.buffer[: self.read_size]
        try:
            size = os.readv(self._socket.fileno(), (buffer,))
        except BlockingIOError:
            self._more = False
            return None
        except OSError as error:
            if self._socket.fileno() < 0:
                raise trio.ClosedResourceError("the socket was closed") from None
            raise trio.BrokenResourceError(f"socket connection broken: {error}") from error
        self._more = size == len(buffer)
        return buffer[:size]

    def write(self, data: bytes | memoryview) -> int:
        try:
            return os.write(self._socket.fileno(), data)
        except OSError:  # full, or broken, as whoever waits for it will find out
            return 0

    async def send(self, data: memoryview) -> int:
        if self._socket.fileno() < 0:
            raise trio.ClosedResourceError("the socket was closed")
        await trio.lowlevel.wait_writable(self._socket)
        try:
            return os.write(self._socket.fileno(), data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError(f"socket connection broken: {error}") from error

    def is_read(self) -> bool:
        return not self._count(termios.FIONREAD)

    def unacknowledged(self) -> int:
        return self._count(termios.TIOCOUTQ) if _COUNTS_UNACKNOWLEDGED else 0

    def _count(self, what: int) -> int:
        descriptor = self._socket.fileno()
        if descriptor < 0:
            return 0
        return int.from_bytes(fcntl.ioctl(descriptor, what, bytes(4)), sys.byteorder)


class UdxTransport:
    """For a stream of UDX, which keeps what it has received, and takes what it is given by reference."""

    immediate = True

    def __init__(self, stream: UdxStream) -> None:
        self.read_size = READ_SIZE
        self._stream = stream

    async def wait(self) -> None:
        if self._stream.has_received:
            await trio.lowlevel.checkpoint()
        else:
            await self._stream.wait_received()

    def take(self) -> memoryview | bytes:
        return memoryview(self._stream.take_all(self.read_size))

    def write(self, data: bytes | memoryview) -> int:
        if not self._stream.writable:
            return 0
        self._stream.write(data)
        return len(data)

    async def send(self, data: memoryview) -> int:
        part = bytes(data[:SEND_SIZE])
        await self._stream.send_all(part)
        return len(part)

    def is_read(self) -> bool:
        return not self._stream.has_received

    def unacknowledged(self) -> int:
        return self._stream.core.unacknowledged


async def connect(host: str, port: int, timeout: float) -> trio.SocketStream:
    """Connect to a host, within `timeout` seconds. Raises `OSError`, of which `TimeoutError` is one."""
    place = Address(host, port)
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        version = None
    try:
        with trio.fail_after(timeout):
            if version is None:
                return await trio.open_tcp_stream(host, port)
            # An address needs no resolver, and there are no others to race it with: that saves a tenth of a
            # handshake's time.
            return await _connect(trio.socket.AF_INET if version == 4 else trio.socket.AF_INET6, place)
    except trio.TooSlowError:
        raise TimeoutError(f"{place} did not answer within {timeout:g} seconds") from None


async def _connect(family: int, place: Address) -> trio.SocketStream:
    try:
        connecting = trio.socket.socket(family)
        try:
            await connecting.connect(place)
        except BaseException:
            connecting.close()
            raise
    except OSError as error:  # in the words of trio.open_tcp_stream
        raise OSError(f"all attempts to connect to {place} failed") from error
    return trio.SocketStream(connecting)


async def listen(host: str, port: int) -> list[trio.SocketListener]:
    """Listen on every address of a host. Raises `OSError`, which names the address."""
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        named = OSError(f"cannot listen on {Address(host, port)}: {error.strerror or error}")
        named.errno = error.errno
        raise named from None


def transport(stream: trio.abc.Stream, send_time: float) -> Transport:
    """Return the fastest way there is for a stream, whose remote may take nothing for so many seconds."""
    if isinstance(stream, trio.SocketStream):
        return SocketTransport(stream, send_time)
    return UdxTransport(stream) if isinstance(stream, UdxStream) else StreamTransport(stream)


def remote_address(stream: trio.abc.Stream) -> Address | None:
    """Return the address at the other end of a stream, or None where there is none."""
    if isinstance(stream, UdxStream):
        remote = stream.remote_address
        return None if remote is None else Address(*remote)
    if not isinstance(stream, trio.SocketStream):
        return None
    try:
        return address_of(stream.socket.getpeername())
    except OSError:  # gone already, as the task will find out
        return None


_buffer: trio.lowlevel.RunVar[memoryview] = trio.lowlevel.RunVar("peersockets_trio.buffer")


def _shared_buffer() -> memoryview:
    """What all sockets of one `trio.run` are read into: who has read uses it up before another reads."""
    try:
        return _buffer.get()
    except LookupError:
        buffer = memoryview(bytearray(READ_SIZE))
        _buffer.set(buffer)
        return buffer
