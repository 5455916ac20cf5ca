"""The methods that a machine needs to live on the virtual network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeAlias

import attrs

Address: TypeAlias = tuple[str, int]
"""A host and a port."""

Buffer: TypeAlias = bytes | bytearray | memoryview


class DatagramMachine(Protocol):
    """A state machine that speaks the datagram pattern of the core."""

    def receive_datagrams(
        self, buffer: Buffer, segment_size: int, source: Address, now: float, /
    ) -> Iterable[Any]:
        """Take datagrams of `segment_size` bytes that follow each other; the last may be shorter."""
        ...

    def datagrams_to_send(self, now: float, /) -> Iterable[tuple[Any, Sequence[Buffer], int]]:
        """Return the datagrams that are due: a destination, the gathered bytes, and the size at which to cut
        them.
        """
        ...

    def next_deadline(self) -> float:
        """Return when `handle_deadline` is due, or infinity."""
        ...

    def handle_deadline(self, now: float, /) -> Iterable[Any]:
        """Handle the events that are due."""
        ...


@attrs.frozen
class Datagram:
    """One datagram in flight."""

    source: Address
    destination: Address
    payload: bytes
    may_fragment: bool = False
    """Whether a router may fragment it if it does not fit a path: IP's DF bit is not set."""
    ttl: int = 64
    """The number of hops that it may take."""

    @property
    def size(self) -> int:
        """Bytes of the IPv4 packet, with IP and UDP headers: the size that an MTU counts."""
        return len(self.payload) + 28
