"""`Admission`: decides which remotes a connection refuses, and keeps the input of a remote on hold."""

from __future__ import annotations

from .buffer import Buffer
from .errors import RemoteProtocolError, UnexpectedKey
from .events import HandshakeCompleted
from .keys import KeyPair, parse_public_key


class Admission:
    """The admission of a remote, from the proof of its key to the first message."""

    __slots__ = ("_key_pair", "_limit", "expected", "held", "hold")

    def __init__(self, *, key_pair: KeyPair, expected: bytes | None, hold: bool, limit: int) -> None:
        """Refuse our own `key_pair`, and, if a key is `expected`, all others.

        `limit` bounds the bytes of a remote on hold. Raises `ValueError` if `expected` is not a key.
        """
        if expected is not None:
            parse_public_key(expected, "expect")
        self.expected = expected
        self.hold = hold
        """Whether the remote has to wait until it is admitted."""
        self.held = bytearray()
        """The bytes of a remote on hold."""
        self._key_pair = key_pair
        self._limit = limit

    def check_untrusted(self, completed: HandshakeCompleted) -> None:
        """Raise `RemoteProtocolError` for a remote that must not come in."""
        key = completed.remote_public_key
        if key == self._key_pair.public_keys[completed.wire]:
            raise RemoteProtocolError("connected to ourselves")
        if self.expected not in (None, key):
            raise UnexpectedKey(self.expected, key)

    def keep_untrusted(self, data: Buffer) -> None:
        """Keep bytes of a remote on hold. Raises only `RemoteProtocolError`."""
        self.held += data
        if len(self.held) > self._limit:
            raise RemoteProtocolError(f"{len(self.held)} bytes from a remote that is not yet admitted")

    def take(self) -> bytes:
        """Remove and return the kept bytes."""
        held, self.held = bytes(self.held), bytearray()
        return held
