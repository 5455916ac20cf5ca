"""`Batcher`: puts small messages of protomux into batches, and sends large ones alone. Source: protomux
3.12.1.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from ...bounds import KIB
from ...errors import LocalProtocolError
from ...outbox import Outbox
from .encoding import encode_uint

MAX_BATCH: Final = 64 * KIB
"""The most bytes in a batch: enough to make the cost of a frame small, and few enough not to delay the first
message. The reference accepts up to 8 MiB."""

ROOM: Final = 16
"""The most bytes that surround a message in a batch."""

BATCH_HEAD: Final = b"\0\0"
"""The number of the control channel, and the type of a batch."""

_SWITCH: Final = b"\0"


class Batcher:
    """Records where each message of the stream below begins in an outbox."""

    __slots__ = ("_cuts", "_outbox", "channel", "end", "sender")

    def __init__(self, outbox: Outbox) -> None:
        self.channel = -1
        """The channel of the last message in the current batch, or -1 if the batch is empty."""
        self.end = 0
        """The size of the outbox up to which the batch may grow."""
        self.sender: object = None
        """The sender that entered the batch last, if nothing else has followed. It may add its next
        message without calling `enter`."""
        self._outbox = outbox
        # The beginning of each message, in chunks and in bytes of the outbox, and whether the message is a
        # batch.
        self._cuts: list[tuple[int, int, bool]] = []

    def place(self, local: int, message: bytes, payload: bytes = b"") -> tuple[bytes, ...]:
        """Return the chunks to add to the outbox for a message on the channel with the number `local`.

        `message` is its type and body; the end of the body may be in `payload`.
        """
        size = len(message) + len(payload)
        if size + ROOM > MAX_BATCH:
            self._cut(batch=False)
            self.channel, self.end, self.sender = -1, 0, None
            return encode_uint(local), message, payload
        return *self.enter(local, size), encode_uint(size), message, payload

    def take_messages(self) -> list[tuple[int, list[bytes]]]:
        """Remove and return the messages for the stream below, in order: the size of each, and its chunks."""
        if not self._cuts:
            return []
        end = (len(self._outbox.chunks), self._outbox.size, False)
        cuts, self._cuts = self._cuts, []
        self.channel, self.end, self.sender = -1, 0, None
        chunks = self._outbox.take()
        messages = []
        for (start, before, batch), (stop, after, _) in pairwise((*cuts, end)):
            message = chunks[start:stop]
            if batch:
                message.insert(0, BATCH_HEAD)
            messages.append((after - before + len(BATCH_HEAD) * batch, message))
        return messages

    def interrupt(self) -> None:
        """Make the last sender call `enter` again for its next message."""
        self.sender = None

    def enter(self, local: int, size: int, sender: object = None) -> tuple[bytes, ...]:
        """Return the chunks that precede the size of a message of `size` bytes in a batch.

        A `sender` may add more of its messages as long as it is still the batcher's `sender`.
        """
        self.sender = sender
        fits = self._outbox.size + size + ROOM <= self.end
        if self.channel == local and fits:
            return ()
        number = encode_uint(local)
        switch: tuple[bytes, ...] = (_SWITCH, number)
        if self.channel < 0 or not fits:
            self._cut(batch=True)
            self.end = self._outbox.size + MAX_BATCH
            switch = (number,)
        self.channel = local
        return switch

    def _cut(self, *, batch: bool) -> None:
        if self._outbox.sealed:
            raise LocalProtocolError("the connection is closed")
        self._cuts.append((len(self._outbox.chunks), self._outbox.size, batch))
