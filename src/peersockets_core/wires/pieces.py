"""The pieces of something large that is still coming in, put together once when the last is there."""

from __future__ import annotations

from typing import Final

_LARGE: Final = 4096


class Pieces:
    """Bytes in the order they came, and how many are missing."""

    __slots__ = ("_pieces", "begun", "missing", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes | bytearray] = []
        self.missing = 0
        """Bytes that have to come before the whole is worth a look."""
        self.size = 0
        """Bytes that are kept."""
        self.begun = 0
        """How often something has been begun: as long as that stays, it is the same."""

    def __bool__(self) -> bool:
        """Whether anything has been begun."""
        return bool(self._pieces)

    def begin(self, piece: bytes, *, missing: int) -> None:
        """Keep the first piece, which may be empty."""
        self._pieces.append(piece)
        self.missing = missing
        self.size += len(piece)
        self.begun += 1

    def add(self, piece: bytes) -> None:
        """Keep one more, which does not complete it."""
        self.missing -= len(piece)
        self.size += len(piece)
        last = self._pieces[-1]
        # Small pieces share an object, lest a remote that sends single bytes have fifty kept for each.
        if len(piece) >= _LARGE:
            self._pieces.append(piece)
        elif isinstance(last, bytearray):
            last += piece
        else:
            self._pieces.append(bytearray(piece))

    def take(self) -> list[bytes | bytearray]:
        """Hand over the pieces, for joining."""
        pieces, self._pieces = self._pieces, []
        self.size = 0
        return pieces
