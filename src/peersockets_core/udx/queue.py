"""`WriteQueue`: holds references to the written bytes that have not been sent."""

from __future__ import annotations

from collections import deque
from typing import Final

from ..crypto.sodium import Buffer

_LARGE: Final = 8192  # bytes; a chunk of this size is cut into packets, and not copied together with others


class WriteQueue:
    """Chunks in the order in which they were written. A chunk is never copied while it is large."""

    __slots__ = ("_chunks", "size")

    def __init__(self) -> None:
        self._chunks: deque[Buffer] = deque()
        self.size = 0

    def append(self, data: Buffer) -> None:
        """Add a chunk. It must not be empty, and must not change until the remote has acknowledged it."""
        self._chunks.append(data)
        self.size += len(data)

    def take(self, limit: int, packet: int) -> Buffer:
        """Remove and return up to `limit` bytes in one buffer.

        `packet` is the size of a packet's payload, 8192 bytes at most, and `limit` is a multiple of it.

        The size of the buffer is also a multiple of `packet`, unless the buffer holds the rest of the queue.
        """
        chunks = self._chunks
        first = chunks[0]
        available = len(first)
        if available <= limit and len(chunks) == 1:
            chunks.clear()
            self.size = 0
            return first
        if available < _LARGE and available < limit:
            return self._gather(limit, packet)
        taken = min(limit, available - available % packet)
        self.size -= taken
        rest = memoryview(first)
        if taken == available:
            chunks.popleft()
        else:
            chunks[0] = rest[taken:]
        return rest[:taken]

    def _gather(self, limit: int, packet: int) -> bytes:
        """Join small chunks and remove them from the queue, in whole packets if more follows.

        A large chunk only fills up the last packet; its rest is later cut without copies.
        """
        chunks = self._chunks
        pieces: list[Buffer] = []
        total = 0
        while chunks and total < limit:
            chunk = chunks[0]
            room = limit - total
            if len(chunk) >= _LARGE:
                room = min(room, -total % packet)
                if not room:
                    break
            if len(chunk) <= room:
                pieces.append(chunks.popleft())
                total += len(chunk)
            else:
                pieces.append(memoryview(chunk)[:room])
                chunks[0] = memoryview(chunk)[room:]
                total += room
        excess = total % packet
        if chunks and excess:  # impossible: a large chunk that followed has filled the packet
            raise AssertionError("a packet in the middle of a stream is not full")
        self.size -= total
        return b"".join(pieces)
