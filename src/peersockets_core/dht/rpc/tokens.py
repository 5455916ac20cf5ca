"""Round-trip tokens: a remote that repeats a token proves that it receives datagrams at its address.

Source: dht-rpc 6.27.0, `lib/io.js` (`token`, `_drain`): a keyed hash of the remote's host, under one of two
secrets that take turns.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from ...keys import Entropy

ROTATION: Final = 7.5
"""Seconds between changes of the secret. A token is valid for one to two such periods."""

_SECRET_SIZE: Final = 32
_REMEMBERED: Final = 4096  # tokens that are not made again each time


class Tokens:
    """Makes tokens and recognizes those of the last 7.5 to 15 seconds."""

    def __init__(self, entropy: Entropy, now: float) -> None:
        self._entropy = entropy
        self._current = entropy(_SECRET_SIZE)
        self._previous = entropy(_SECRET_SIZE)
        self._rotated = now
        self.remembered: dict[str, bytes] = {}
        """Tokens of the current secret, by host: a query comes back with others."""

    def make(self, host: str, now: float) -> bytes:
        """Return the 32-byte token of a host."""
        self._rotate(now)
        token = self.remembered.get(host)
        if token is None:
            if len(self.remembered) >= _REMEMBERED:
                self.remembered.clear()
            token = self.remembered[host] = _token(host, self._current)
        return token

    def recognize(self, token: bytes, host: str, now: float) -> bool:
        """Return whether we gave this token to a host recently."""
        self._rotate(now)
        return any(
            hmac.compare_digest(token, _token(host, secret)) for secret in (self._current, self._previous)
        )

    def _rotate(self, now: float) -> None:
        elapsed = int((now - self._rotated) // ROTATION)
        if elapsed > 0:
            self._rotated += elapsed * ROTATION
            self.remembered.clear()
            self._previous = self._current if elapsed == 1 else self._entropy(_SECRET_SIZE)
            self._current = self._entropy(_SECRET_SIZE)


def _token(host: str, secret: bytes) -> bytes:
    return hashlib.blake2b(host.encode(), digest_size=32, key=secret).digest()
