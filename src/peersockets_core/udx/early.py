"""`EarlyPackets`: keeps packets that arrive before their stream is opened or connected."""

from __future__ import annotations

from typing import TypeAlias

from .events import Address
from .limits import UdxLimits

_Kept: TypeAlias = tuple[bytes, int, Address]  # packets, the size of each, and their source address


class EarlyPackets:
    """Keeps as many packets as the limits allow. The stream whose first packet is oldest loses its packets
    first.
    """

    def __init__(self, limits: UdxLimits) -> None:
        self.dropped = 0
        """The number of packets that were dropped for lack of room or for their age."""
        self._limits = limits
        self._size = 0
        self._kept: dict[int, tuple[float, list[_Kept]]] = {}  # with the arrival time of the first packet

    def __contains__(self, local_id: int) -> bool:
        return local_id in self._kept

    def keep(self, local_id: int, packets: memoryview, size: int, source: Address, now: float) -> None:
        """Keep packets for a stream id; `size` is the size in bytes of each."""
        self._kept.setdefault(local_id, (now, []))[1].append((bytes(packets), size, source))
        self._size += len(packets)
        while self._size > self._limits.early_bytes or self._oldest() < now - self._limits.early_time:
            first = next(iter(self._kept))
            self.dropped += sum(-(-len(old) // old_size) for old, old_size, _ in self._kept[first][1])
            self.discard(first)

    def _oldest(self) -> float:
        return next(iter(self._kept.values()))[0] if self._kept else float("inf")

    def take(self, local_id: int) -> list[_Kept]:
        """Remove and return the packets for a stream id."""
        taken = self._kept[local_id][1] if local_id in self._kept else []
        self.discard(local_id)
        return taken

    def discard(self, local_id: int) -> None:
        """Drop the packets for a stream id."""
        if local_id in self._kept:
            self._size -= sum(len(packets) for packets, _, _ in self._kept.pop(local_id)[1])
