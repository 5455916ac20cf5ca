"""`DirectStream`: a stream that reads and writes without waiting, so that a connection can bypass its tasks.

UDX streams are such streams. This module knows only their interface, so that programs without a swarm do not
load UDX.
"""

from __future__ import annotations

from abc import abstractmethod

import trio


class DirectStream(trio.abc.HalfCloseableStream):
    """A stream that keeps received data itself, and takes written data by reference."""

    @property
    @abstractmethod
    def remote_address(self) -> tuple[str, int] | None:
        """The host and port of the other end, or None if there is none yet."""

    @property
    @abstractmethod
    def has_received(self) -> bool:
        """Whether there is something to take."""

    @property
    @abstractmethod
    def writable(self) -> bool:
        """Whether the caller should `write` more."""

    @property
    @abstractmethod
    def unacknowledged(self) -> int:
        """The number of written bytes that the remote has not acknowledged."""

    @abstractmethod
    async def wait_received(self) -> bool:
        """Wait until there is something to take, or the end; returns whether this had to wait."""

    @abstractmethod
    def take_all(self, about: int) -> bytearray | bytes:
        """Return received bytes without waiting: all of them, or slightly more than `about` bytes."""

    @abstractmethod
    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send data without waiting; the data must not change any more."""
