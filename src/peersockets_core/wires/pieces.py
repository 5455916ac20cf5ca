"""`Pieces`: collects the pieces of a large message, which are joined only once, when the last one is
there.
"""

from __future__ import annotations

from typing import Final

_LARGE: Final = 4096


class Pieces:
    """The bytes received so far, and the number of missing bytes."""

    __slots__ = ("_pieces", "begun", "missing", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes | bytearray] = []
        self.missing = 0
        """Bytes that must arrive before it is worth looking at the whole."""
        self.size = 0
        """Bytes that are kept."""
        self.begun = 0
        """The number of messages begun so far. As long as it stays the same, so does the message."""

    def __bool__(self) -> bool:
        """Whether a message is incomplete."""
        return bool(self._pieces)

    def begin(self, piece: bytes, *, missing: int, again: bool = False) -> None:
        """Keep the first piece, which may be empty. `again` if the message that was taken last is still
        incomplete.
        """
        self._pieces.append(piece)
        self.missing = missing
        self.size += len(piece)
        self.begun += not again

    def add(self, piece: bytes) -> None:
        """Keep one more piece, which does not complete the message."""
        self.missing -= len(piece)
        self.size += len(piece)
        last = self._pieces[-1]
        # Small pieces share an object. Otherwise, a remote that sends single bytes could take fifty bytes of
        # memory for each.
        if len(piece) >= _LARGE:
            self._pieces.append(piece)
        elif isinstance(last, bytearray):
            last += piece
        else:
            self._pieces.append(bytearray(piece))

    def take(self) -> list[bytes | bytearray]:
        """Remove and return the pieces, for joining."""
        pieces, self._pieces = self._pieces, []
        self.size = 0
        return pieces
