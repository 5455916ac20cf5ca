"""Invariant: no hypercore11 handshake, valid, spoilt or made up, raises or completes with an unproved key.

An input is as `fuzz.handshakes` describes.
"""

from __future__ import annotations

from fuzz.handshakes import play
from peersockets_core import KeyPair
from peersockets_core.crypto.noise import DHKeyPair, Ed25519


def _static(key_pair: KeyPair) -> DHKeyPair:
    return DHKeyPair(key_pair.ed25519_secret_key, key_pair.ed25519_public_key)


def _frame(message: bytes) -> bytes:
    return len(message).to_bytes(3, "little") + message


def _unframe(data: bytes) -> tuple[bytes, bytes]:
    stop = 3 + int.from_bytes(data[:3], "little")
    return data[3:stop], data[stop:]


def run(data: bytes) -> None:
    """Play an input."""
    play("hypercore11", data, dh=Ed25519(), static=_static, frame=_frame, unframe=_unframe)
