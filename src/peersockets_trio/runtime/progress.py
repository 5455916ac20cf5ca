"""`Progress`: tracks how much of a connection's output is written and acknowledged."""

from __future__ import annotations

from peersockets_core import Connection

from .transport import Transport


class Progress:
    """The output that the core has returned. Positions count its bytes from the beginning.

    Sizes of messages are sizes before encryption.
    """

    __slots__ = (
        "_acknowledged", "_answered_at", "_connection", "_end", "_messages", "_messages_end", "_size",
        "_transport", "unwritten",
    )  # fmt: skip

    def __init__(self, connection: Connection, transport: Transport, now: float) -> None:
        self.unwritten: bytes | memoryview = b""
        """The bytes that are not written yet. The writer removes the bytes that it writes."""
        self._connection = connection
        self._transport = transport
        self._size = self._messages = 0  # sizes of the last output, and of the messages in it
        self._end = self._messages_end = 0  # positions of the end of all output, and of its last message
        self._acknowledged = 0  # the acknowledged position at the last look
        self._answered_at = now  # the last time at which something was acknowledged, or nothing was due

    def take(self, now: float) -> int:
        """Take the queued output from the core to write it next; returns the size of the messages in it."""
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
        """Bytes of messages that were accepted but are not written."""
        queued = self._connection.outbox.message_size
        if not self.unwritten:
            return queued
        return queued + self._messages * len(self.unwritten) // self._size

    @property
    def unacknowledged_messages(self) -> int:
        """Bytes up to the last message that were written but not acknowledged by the remote's side."""
        written, acknowledged = self._positions()
        return max(min(self._messages_end, written) - acknowledged, 0)

    def silent_since(self) -> float:
        """Return the last time at which the remote's side acknowledged something, or had nothing to
        acknowledge.
        """
        return self._answered_at

    def look(self, now: float) -> None:
        """Update the acknowledged position."""
        written, acknowledged = self._positions()
        if acknowledged == written or acknowledged > self._acknowledged:
            self._answered_at = now
            if acknowledged > self._acknowledged:
                self._acknowledged = acknowledged
                self._connection.output_taken()

    def _positions(self) -> tuple[int, int]:
        written = self._end - len(self.unwritten)
        return written, written - self._transport.unacknowledged()
