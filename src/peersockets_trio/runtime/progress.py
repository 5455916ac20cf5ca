"""`Progress`: how far the output of a connection has come: written, acknowledged, or neither."""

from __future__ import annotations

from peersockets_core import Connection

from .transport import Transport


class Progress:
    """The output that the core has handed over. Positions count its bytes from the beginning.

    A size of messages is counted before encryption.
    """

    __slots__ = (
        "_acknowledged", "_answered_at", "_connection", "_end", "_messages", "_messages_end", "_size",
        "_transport", "unwritten",
    )  # fmt: skip

    def __init__(self, connection: Connection, transport: Transport, now: float) -> None:
        self.unwritten: bytes | memoryview = b""
        """What the stream has yet to take; whoever writes some of it removes that."""
        self._connection = connection
        self._transport = transport
        self._size = self._messages = 0  # of what was handed over last, and of the messages in it
        self._end = self._messages_end = 0  # positions: of all that was handed over, and of its last message
        self._acknowledged = 0  # the position when we last looked
        self._answered_at = now  # when there was nothing to acknowledge, or something was

    def take(self, now: float) -> int:
        """Have the core hand over what is queued, to be written next; returns the size of messages in it."""
        messages = self._connection.outbox.message_size
        data = self._connection.data_to_send(now)
        if data:
            self.unwritten = data
            self._size, self._messages = len(data), messages
            self._end += len(data)
            if messages:
                self._messages_end = self._end
        return messages

    @property
    def unsent(self) -> int:
        """Bytes of messages that were accepted and are not written."""
        queued = self._connection.outbox.message_size
        if not self.unwritten:
            return queued
        return queued + self._messages * len(self.unwritten) // self._size

    @property
    def unacknowledged_messages(self) -> int:
        """Bytes that were written up to the last message, and that the remote's side has not acknowledged."""
        written, acknowledged = self._positions()
        return max(min(self._messages_end, written) - acknowledged, 0)

    def silent_since(self) -> float:
        """When the remote's side last acknowledged something, or there was nothing to acknowledge."""
        return self._answered_at

    def look(self, now: float) -> None:
        """See what the remote's side has acknowledged by now."""
        written, acknowledged = self._positions()
        if acknowledged == written or acknowledged > self._acknowledged:
            self._answered_at = now
            if acknowledged > self._acknowledged:
                self._acknowledged = acknowledged
                self._connection.output_taken()

    def _positions(self) -> tuple[int, int]:
        written = self._end - len(self.unwritten)
        return written, written - self._transport.unacknowledged()
