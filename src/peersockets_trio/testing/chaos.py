"""`ChaosStream`: a stream that behaves as badly as real streams do, and repeats that for the same seed."""

from __future__ import annotations

import operator
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Final, Literal, TypeAlias

import attrs
import trio

Fault: TypeAlias = Literal["reset", "eof", "silence"]
"""The way in which one direction of a stream fails.

`"reset"`: the stream breaks in both directions. `"eof"`: this direction ends, and the other one
continues. `"silence"`: all further bytes in this direction are lost without a sign.
"""

FAULTS: Final[tuple[Fault, ...]] = ("reset", "eof", "silence")

_PLENTY: Final = 64 * 1024
"""The number of bytes to receive if the caller does not give one."""

_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on and zero, so that closing the socket resets the connection."""


@attrs.frozen
class Cut:
    """The position and the way in which a direction of a stream fails."""

    after: int = attrs.field(validator=attrs.validators.ge(0))
    """The number of bytes that pass before the fault."""
    fault: Fault = attrs.field(default="reset", validator=attrs.validators.in_(FAULTS))


class _Direction:
    """One direction of a stream: the bytes that have passed, those that may still pass, and its own random
    numbers.

    If the two directions shared random numbers, they would depend on the order in which Trio runs tasks.
    """

    def __init__(self, cut: Cut | None, random: Random, largest_chunk: int | None) -> None:
        self.passed = 0
        self.random = Random(random.getrandbits(64))
        self._busy = False
        self._end = sys.maxsize if cut is None else cut.after
        self._fault = None if cut is None else cut.fault
        self._largest_chunk = largest_chunk

    @property
    def fault(self) -> Fault | None:
        """The fault, once it has occurred."""
        return self._fault if self.passed >= self._end else None

    def chunk(self, size: int) -> int:
        """Return how many of `size` bytes pass at once."""
        if self._largest_chunk is not None:
            size = min(size, self.random.randint(1, self._largest_chunk))
        return min(size, self._end - self.passed)

    @contextmanager
    def use(self) -> Iterator[None]:
        """Let one task at a time use the direction."""
        if self._busy:
            raise trio.BusyResourceError("another task is using this direction of the stream")
        self._busy = True
        try:
            yield
        finally:
            self._busy = False


class ChaosStream(trio.abc.HalfCloseableStream):
    """A wrapper of one end of a stream.

    With `largest_chunk`, bytes pass in chunks of 1 to `largest_chunk` bytes. With `longest_delay`, each
    chunk is late by 0 to `longest_delay` seconds. Both are uniform random numbers from `random`.
    `cut_sending` and `cut_receiving` let a direction fail at a byte, counted at this end. Under a
    `trio.testing.MockClock`, the same seed gives the same behaviour in every run.

    A reset of a TCP stream is a real reset. After the reset of a memory stream, the far end can still read
    the bytes that have passed, but cannot send.

    Raises `ValueError` for a chunk below 1 or a delay below 0.
    """

    def __init__(
        self,
        stream: trio.abc.HalfCloseableStream,
        random: Random | None = None,
        *,
        largest_chunk: int | None = None,
        longest_delay: float = 0.0,
        cut_sending: Cut | None = None,
        cut_receiving: Cut | None = None,
    ) -> None:
        if largest_chunk is not None and largest_chunk < 1:
            raise ValueError(f"largest_chunk must be 1 or more, not {largest_chunk}")
        if not longest_delay >= 0:
            raise ValueError(f"longest_delay must be 0 or more, not {longest_delay}")
        random = Random(0) if random is None else random
        self._stream = stream
        self._longest_delay = longest_delay
        self._sending = _Direction(cut_sending, random, largest_chunk)
        self._receiving = _Direction(cut_receiving, random, largest_chunk)
        self._reset = False
        self._closed = trio.Event()

    @property
    def sent(self) -> int:
        """Bytes that were sent, without those that were lost."""
        return self._sending.passed

    @property
    def received(self) -> int:
        """Bytes that were received, without those that were lost."""
        return self._receiving.passed

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send in chunks and with delays. Raises `trio.BrokenResourceError` after a reset or an end."""
        rest = memoryview(data).cast("B")
        direction = self._sending
        with self._use(direction):
            while direction.fault is None:
                await self._delay(direction)
                size = direction.chunk(len(rest))
                await self._stream.send_all(rest[:size])
                direction.passed += size
                rest = rest[size:]
                if not rest:
                    break
            await self._fail_sending()
            if rest and direction.fault != "silence":
                raise trio.BrokenResourceError(f"sending failed: {direction.fault}")

    async def wait_send_all_might_not_block(self) -> None:
        """Wait as the wrapped stream does."""
        with self._use(self._sending):
            if self._sending.fault is None:
                await self._stream.wait_send_all_might_not_block()
            else:
                await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        """End the sending direction as the wrapped stream does, unless the direction has failed."""
        with self._use(self._sending):
            if self._sending.fault is None:
                await self._stream.send_eof()
            else:
                await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive in chunks and with delays. After an end, it returns no bytes; after silence, it never
        returns.
        """
        with self._use(self._receiving):
            match self._receiving.fault:
                case "reset":
                    await self.reset()
                    self._check()
                case "eof":
                    await trio.lowlevel.checkpoint()
                    return b""
                case "silence":
                    await self._lose()
            await self._delay(self._receiving)
            size = self._receiving.chunk(_PLENTY if max_bytes is None else operator.index(max_bytes))
            data = await self._stream.receive_some(size)
            self._receiving.passed += len(data)
            return data

    async def reset(self) -> None:
        """Break the stream in both directions now."""
        self._reset = True
        if isinstance(self._stream, trio.SocketStream):
            self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        await trio.aclose_forcefully(self._stream)

    async def aclose(self) -> None:
        """Close the stream."""
        self._closed.set()
        await self._stream.aclose()

    async def _delay(self, direction: _Direction) -> None:
        if self._longest_delay:
            await trio.sleep(direction.random.uniform(0, self._longest_delay))

    async def _fail_sending(self) -> None:
        """Carry out the fault, if it has occurred."""
        match self._sending.fault:
            case "eof":
                await self._stream.send_eof()
            case "reset":
                await self.reset()
            case "silence":
                await trio.lowlevel.checkpoint()

    async def _lose(self) -> None:
        """Take all bytes, so that the far end notices nothing, until the stream is closed."""
        while await self._stream.receive_some():
            pass
        await self._closed.wait()

    @contextmanager
    def _use(self, direction: _Direction) -> Iterator[None]:
        self._check()
        with direction.use():
            try:
                yield
            except trio.ClosedResourceError:
                self._check()
                raise

    def _check(self) -> None:
        if self._closed.is_set():
            raise trio.ClosedResourceError("this stream was closed")
        if self._reset:
            raise trio.BrokenResourceError("the stream was reset")
