"""`WriteQueue`: holds references to the written bytes that have not been sent."""

from __future__ import annotations

from collections import deque

from ..buffer import Buffer


class WriteQueue:
    """Chunks in the order in which they were written."""

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

        `packet` is the size of a packet's payload, and `limit` is a multiple of it. The size of the buffer
        is also a multiple of `packet`, unless the buffer holds the rest of the queue.

        The buffer is a view if the first chunk fills it. Otherwise, chunks are joined: a copy of 64 KiB takes
        a fraction of the time of the system call that a run of its own would cost.
        """
        chunks = self._chunks
        first = chunks[0]
        available = len(first)
        if available <= limit and len(chunks) == 1:
            chunks.clear()
            self.size = 0
            return first
        if available < limit:
            return self._join(limit)
        self.size -= limit
        rest = memoryview(first)
        if available == limit:
            chunks.popleft()
        else:
            chunks[0] = rest[limit:]
        return rest[:limit]

    def _join(self, limit: int) -> bytes:
        """Join chunks and remove them from the queue, up to `limit` bytes."""
        chunks = self._chunks
        pieces: list[Buffer] = []
        room = limit
        while chunks and room:
            chunk = chunks[0]
            if len(chunk) <= room:
                pieces.append(chunks.popleft())
                room -= len(chunk)
            else:
                view = memoryview(chunk)
                pieces.append(view[:room])
                chunks[0] = view[room:]
                room = 0
        self.size -= limit - room
        return b"".join(pieces)
