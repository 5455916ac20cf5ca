"""Invariant: no hypercore9 handshake, valid, spoilt or made up, raises or completes with an unproved key.

An input is as `fuzz.handshakes` describes.
"""

from __future__ import annotations

from fuzz.handshakes import play
from peersockets_core import KeyPair
from peersockets_core.crypto.noise import X25519, DHKeyPair
from peersockets_core.wires.hypercore9 import varint


def _static(key_pair: KeyPair) -> DHKeyPair:
    return DHKeyPair(key_pair.x25519_secret_key, key_pair.x25519_public_key)


def _frame(message: bytes) -> bytes:
    return varint.encode(len(message)) + message


def _unframe(data: bytes) -> tuple[bytes, bytes]:
    decoded = varint.decode_untrusted(data, 0)
    assert decoded is not None
    size, start = decoded
    return data[start : start + size], data[start + size :]


def run(data: bytes) -> None:
    """Play an input."""
    play("hypercore9", data, dh=X25519(), static=_static, frame=_frame, unframe=_unframe)
