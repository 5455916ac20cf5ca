"""`EarlyPackets`: packets that have come before their stream was opened, or connected."""

from __future__ import annotations

from collections import deque

from .events import Address
from .limits import UdxLimits


class EarlyPackets:
    """As much as the limits allow, of the newest."""

    def __init__(self, limits: UdxLimits) -> None:
        self.dropped = 0
        """Packets that gave way."""
        self._limits = limits
        self._size = 0
        self._kept: deque[tuple[float, int, bytes, int, Address]] = deque()

    def __contains__(self, local_id: int) -> bool:
        return any(kept[1] == local_id for kept in self._kept)

    def keep(self, local_id: int, packets: memoryview, size: int, source: Address, now: float) -> None:
        """Keep packets for an id."""
        self._kept.append((now, local_id, bytes(packets), size, source))
        self._size += len(packets)
        while self._kept and (
            self._size > self._limits.early_bytes or self._kept[0][0] < now - self._limits.early_time
        ):
            _, _, old, old_size, _ = self._kept.popleft()
            self._size -= len(old)
            self.dropped += -(-len(old) // old_size)

    def take(self, local_id: int) -> list[tuple[bytes, int, Address]]:
        """Hand over what has come for an id: packets, their size, and where they came from."""
        taken = [(packets, size, source) for _, key, packets, size, source in self._kept if key == local_id]
        self.discard(local_id)
        return taken

    def discard(self, local_id: int) -> None:
        """Nobody is going to receive what has come for an id."""
        if local_id in self:
            self._kept = deque(kept for kept in self._kept if kept[1] != local_id)
            self._size = sum(len(kept[2]) for kept in self._kept)
