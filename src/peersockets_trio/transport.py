"""How a pump reads from a stream and writes to it: by way of Trio, or past it where that is faster.

A socket that Trio has reported readable is read here, into a buffer that all connections share: no
memory is asked for, and the attempt that only finds nothing yet is saved. It is written to at once, too, if
that takes no waiting.
"""

from __future__ import annotations

import ipaddress
import os
from typing import Final, Protocol

import trio

from peersockets_core import Address

from .udp.streams import UdxStream

READ_SIZE: Final = 256 * 1024
"""Bytes asked of a stream at a time: one decryption, one parse and one wake for all of them."""


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


class StreamTransport:
    """For any stream."""

    immediate = False

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.read_size = READ_SIZE
        self._stream = stream
        self._data: bytes | bytearray | None = None

    async def wait(self) -> None:
        if self._data is None:
            self._data = await self._stream.receive_some(self.read_size)

    def take(self) -> bytes | None:
        data, self._data = self._data, None
        return None if data is None else bytes(data)

    def write(self, data: bytes | memoryview) -> int:
        return 0


class SocketTransport:
    """For a socket."""

    immediate = True

    def __init__(self, stream: trio.SocketStream) -> None:
        self.read_size = READ_SIZE
        self._socket = stream.socket
        self._buffer = _shared_buffer()
        self._more = False  # whether the last read did not exhaust it

    async def wait(self) -> None:
        if self._more:
            await trio.lowlevel.checkpoint()
        elif self._socket.fileno() < 0:
            raise trio.ClosedResourceError("the socket was closed")
        else:
            await trio.lowlevel.wait_readable(self._socket)

    def take(self) -> memoryview | None:
        buffer = self._buffer[: self.read_size]
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


def transport(stream: trio.abc.Stream) -> Transport:
    """Return the fastest way there is for a stream."""
    if isinstance(stream, trio.SocketStream):
        return SocketTransport(stream)
    return UdxTransport(stream) if isinstance(stream, UdxStream) else StreamTransport(stream)


_buffer: trio.lowlevel.RunVar[memoryview] = trio.lowlevel.RunVar("peersockets_trio.buffer")


def _shared_buffer() -> memoryview:
    """What all sockets of one `trio.run` are read into: who has read uses it up before another reads."""
    try:
        return _buffer.get()
    except LookupError:
        buffer = memoryview(bytearray(READ_SIZE))
        _buffer.set(buffer)
        return buffer
