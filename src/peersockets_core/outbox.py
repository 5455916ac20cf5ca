"""`Outbox`: holds the output of a connection before encryption."""

from __future__ import annotations

from typing import Never

from .errors import LocalProtocolError, RemoteProtocolError
from .limits import MESSAGE_COST


class _Sealed(list[bytes]):
    """The chunks of a closed connection. They can still be taken, but no chunk can be added."""

    def append(self, *_: object) -> Never:
        raise LocalProtocolError("the connection is closed")

    __iadd__ = append


class Outbox:
    """Chunks in the order of sending. Senders append to `chunks` directly, because this is the hot path of
    sending.
    """

    __slots__ = ("_protocol_size", "_reply_limit", "_reply_size", "chunks", "limit", "room", "size")

    def __init__(self, *, limit: int, reply_limit: int) -> None:
        self.chunks: list[bytes] = []
        self.size = 0
        """Bytes in `chunks`."""
        self.limit = limit
        """The size in bytes from which messages must wait."""
        self.room = limit
        """The limit for a sender that has not waited: `limit`, or 0 while the room is reserved for waiting
        senders."""
        self._reply_limit = reply_limit
        self._reply_size = 0
        self._protocol_size = 0

    def reserve(self) -> None:
        """Reserve the room for waiting senders, so that no other sender overtakes them."""
        self.room = 0

    def open(self) -> None:
        """Let every sender use the room, because none waits any more."""
        self.room = self.limit

    @property
    def message_size(self) -> int:
        """Bytes of messages, without the protocol's own output."""
        return self.size - self._protocol_size

    @property
    def reply_size(self) -> int:
        """Bytes of memory that waiting answers to the remote take."""
        return self._reply_size

    def extend(self, chunks: tuple[bytes, ...]) -> None:
        """Queue the chunks of a message. The hot path of each wire's sender has a copy of this."""
        self.chunks += chunks
        self.size += sum(map(len, chunks))

    def append(self, chunk: bytes) -> None:
        """Queue a chunk of the protocol's own output."""
        self.extend((chunk,))
        self._protocol_size += len(chunk)

    def append_reply_untrusted(self, chunk: bytes) -> None:
        """Queue an answer to the remote, within the bound of `Limits.replies`.

        Raises only `RemoteProtocolError`.
        """
        self.append(chunk)
        self._reply_size += len(chunk) + MESSAGE_COST
        if self._reply_size > self._reply_limit:
            raise RemoteProtocolError(
                f"the remote asks without reading: waiting answers take {self._reply_size} bytes"
            )

    def seal(self) -> None:
        """Refuse all further chunks with `LocalProtocolError`, because the connection is closed.

        The hot path of sending appends without a check, so the list itself must refuse.
        """
        self.chunks = _Sealed(self.chunks)

    @property
    def sealed(self) -> bool:
        """Whether further chunks are refused."""
        return isinstance(self.chunks, _Sealed)

    def take(self) -> list[bytes]:
        """Remove and return all chunks."""
        chunks, self.chunks = self.chunks, type(self.chunks)()
        self.size = self._reply_size = self._protocol_size = 0
        return chunks
