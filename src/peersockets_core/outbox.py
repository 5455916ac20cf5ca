"""What a connection has queued to send, before encryption."""

from __future__ import annotations

from typing import Never

from .errors import LocalProtocolError, RemoteProtocolError
from .limits import MESSAGE_COST


class _Sealed(list[bytes]):
    """The chunks of a closed connection: the last of them can still be taken, and none follows."""

    def append(self, *_: object) -> Never:
        raise LocalProtocolError("the connection is closed")

    __iadd__ = append


class Outbox:
    """Chunks in the order they go out. Senders append to it directly: this is the hot path of sending."""

    __slots__ = ("_protocol_size", "_reply_limit", "_reply_size", "chunks", "limit", "room", "size")

    def __init__(self, *, limit: int, reply_limit: int) -> None:
        self.chunks: list[bytes] = []
        self.size = 0
        """Bytes in `chunks`."""
        self.limit = limit
        """The size from which messages have to wait."""
        self.room = limit
        """The same for a newcomer: `limit`, or 0 while the room is reserved for senders that wait."""
        self._reply_limit = reply_limit
        self._reply_size = 0
        self._protocol_size = 0

    def reserve(self) -> None:
        """Keep what room there is for senders that wait, so that no newcomer overtakes them."""
        self.room = 0

    def open(self) -> None:
        """Nobody waits any more: let everybody send."""
        self.room = self.limit

    @property
    def message_size(self) -> int:
        """The bytes that are messages, and not the protocol's own."""
        return self.size - self._protocol_size

    @property
    def reply_size(self) -> int:
        """Bytes of memory that answers to the remote take."""
        return self._reply_size

    def extend(self, chunks: tuple[bytes, ...]) -> None:
        """Queue the chunks of a message. The hot path of each wire's sender has a copy of this."""
        self.chunks += chunks
        self.size += sum(map(len, chunks))

    def append(self, chunk: bytes) -> None:
        """Queue a chunk that is the protocol's own."""
        self.extend((chunk,))
        self._protocol_size += len(chunk)

    def append_reply_untrusted(self, chunk: bytes) -> None:
        """Queue an answer to the remote, within the bound that it can push against.

        Raises only `RemoteProtocolError`.
        """
        self.append(chunk)
        self._reply_size += len(chunk) + MESSAGE_COST
        if self._reply_size > self._reply_limit:
            raise RemoteProtocolError(
                f"the remote asks without reading: waiting answers take {self._reply_size} bytes"
            )

    def seal(self) -> None:
        """Refuse all further chunks with `LocalProtocolError`: the connection is closed.

        The hot path of sending appends without a check, so the list itself has to refuse.
        """
        self.chunks = _Sealed(self.chunks)

    @property
    def sealed(self) -> bool:
        """Whether further chunks are refused."""
        return isinstance(self.chunks, _Sealed)

    def take(self) -> list[bytes]:
        """Hand over everything and start anew."""
        chunks, self.chunks = self.chunks, type(self.chunks)()
        self.size = self._reply_size = self._protocol_size = 0
        return chunks
