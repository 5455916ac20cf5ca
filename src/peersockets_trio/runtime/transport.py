"""`Transport`: reads from a stream and writes to it, through Trio or, if that is faster, directly.

When Trio reports a socket as readable, this module reads it into a buffer that all connections share. That
allocates no memory, and saves an attempt that finds no data. The module also writes to sockets directly if
that needs no waiting.
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

from .addresses import address_of
from .direct import DirectStream

READ_SIZE: Final = 256 * 1024
"""Bytes of one read: one decryption, one parse and one wake-up serve all of them."""

SEND_SIZE: Final = 64 * 1024
"""Bytes of one write to a stream that is not a socket, so that we know how much has left."""

_COUNTS_UNACKNOWLEDGED: Final = sys.platform == "linux"
_USER_TIMEOUT: Final[int | None] = getattr(socket, "TCP_USER_TIMEOUT", None)
_MAX_USER_TIMEOUT: Final = (1 << 31) - 1


class Transport(Protocol):
    """The two directions of a stream."""

    immediate: bool
    """Whether `write` can write without waiting."""

    read_size: int
    """Bytes to read at a time, `READ_SIZE` at most."""

    async def wait(self) -> None:
        """Wait until there may be something to read. Calling it again before `take` loses nothing.

        Raises `trio.BrokenResourceError` or `trio.ClosedResourceError`.
        """

    def take(self) -> bytes | memoryview | None:
        """Return the bytes read: empty at the end of the stream, None if there was nothing to read.

        The result is only valid until the next read of any transport, and may be overwritten if it is not
        `bytes`. Raises the errors of `wait`.
        """

    def write(self, data: bytes | memoryview) -> int:
        """Write as much as possible without waiting; returns the number of bytes written."""
        ...

    async def send(self, data: memoryview) -> int:
        """Write some of the data as soon as possible; returns the number of bytes written. Raises the errors
        of `wait`.
        """
        ...

    def is_read(self) -> bool:
        """Return whether all arrived bytes were read, as far as that is known."""
        ...

    def unacknowledged(self) -> int:
        """Return the bytes that were written but not acknowledged by the remote's side, or 0 if that is not
        known.
        """
        ...


class StreamTransport:
    """The transport for any stream."""

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
    """The transport for a socket."""

    immediate = True

    def __init__(self, stream: trio.SocketStream, send_time: float) -> None:
        self.read_size = READ_SIZE
        self._socket = stream.socket
        if _USER_TIMEOUT is not None and self._socket.family in (socket.AF_INET, socket.AF_INET6):
            # Both wires send keepalives, so there is always something for the remote to acknowledge.
            milliseconds = int(min(max(send_time * 1000, 1), _MAX_USER_TIMEOUT))
            with contextlib.suppress(OSError):  # already gone; the next read will notice
                self._socket.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, milliseconds)
        self.buffer = _shared_buffer()
        """The buffer for received bytes."""
        self._more = False  # whether there may be more after the last read

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
        except OSError:  # full, or broken; the task that waits for it will notice
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


class DirectTransport:
    """The transport for a stream that reads and writes without waiting."""

    immediate = True

    def __init__(self, stream: DirectStream) -> None:
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
        return self._stream.unacknowledged


async def connect(host: str, port: int, timeout: float) -> trio.SocketStream:
    """Connect to a host within `timeout` seconds. Raises `OSError`, which includes `TimeoutError`."""
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
    except OSError as error:  # use the text of trio.open_tcp_stream
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
    """Return the fastest transport for a stream; its remote may take no output for `send_time` seconds."""
    if isinstance(stream, trio.SocketStream):
        return SocketTransport(stream, send_time)
    return DirectTransport(stream) if isinstance(stream, DirectStream) else StreamTransport(stream)


def remote_address(stream: trio.abc.Stream) -> Address | None:
    """Return the address of the other end of a stream, or None if there is none."""
    if isinstance(stream, DirectStream):
        remote = stream.remote_address
        return None if remote is None else Address(*remote)
    if not isinstance(stream, trio.SocketStream):
        return None
    try:
        return address_of(stream.socket.getpeername())
    except OSError:  # already gone; the task will notice
        return None


_buffer: trio.lowlevel.RunVar[memoryview] = trio.lowlevel.RunVar("peersockets_trio.buffer")


def _shared_buffer() -> memoryview:
    """Return the read buffer that all sockets of one `trio.run` share. A task uses up its data before another
    one reads.
    """
    try:
        return _buffer.get()
    except LookupError:
        buffer = memoryview(bytearray(READ_SIZE))
        _buffer.set(buffer)
        return buffer
