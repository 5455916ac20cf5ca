"""Signatures of a key's owner: nodes store announcements and mutable values only with these.

Source: hyperdht 6.34.0, `lib/persistent.js` (`annSignable`, `signMutable`); hypercore-crypto 3, `namespace`.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

from nacl import bindings
from nacl.exceptions import BadSignatureError

from ..keys import KeyPair
from ..wires.hypercore11.encoding import encode_buffer, encode_uint
from .messages import Announcement, HyperDhtCommand, MutableValue, Peer

_ROOT: Final = hashlib.blake2b(b"hyperswarm/dht", digest_size=32).digest()
_SIGNATURE_SIZE: Final = 64
_REMEMBERED: Final = 4096  # keys whose validity is cached: a topic's nodes name the same ones in every search


def key_hash(data: bytes) -> bytes:
    """Return the 32-byte hash under which the DHT stores a key or an immutable value."""
    return hashlib.blake2b(data, digest_size=32).digest()


@lru_cache(_REMEMBERED)
def is_key(public_key: bytes) -> bool:
    """Return whether 32 bytes are a valid public key: a point of the curve's large group."""
    return bool(bindings.crypto_core_ed25519_is_valid_point(public_key))


def namespace(command: HyperDhtCommand) -> bytes:
    """Return the 32-byte constant of a command, which keeps signatures for different purposes apart."""
    return key_hash(_ROOT + bytes((command,)))


def sign_announcement(
    command: HyperDhtCommand,
    key_pair: KeyPair,
    target: bytes,
    node: bytes,
    token: bytes,
    relays: tuple[tuple[str, int], ...],
) -> Announcement:
    """Make the value of an ANNOUNCE or UNANNOUNCE for the node with the id `node`, which has given us
    `token`.
    """
    peer = Peer(key_pair.ed25519_public_key, relays)
    signable = _announcement(command, target, node, token, peer, None)
    return Announcement(peer, _sign(signable, key_pair))


def verify_announcement(
    command: HyperDhtCommand, announcement: Announcement, target: bytes, node: bytes, token: bytes
) -> bool:
    """Return whether the owner of the announced key has signed the announcement for this node and token."""
    peer, signature = announcement.peer, announcement.signature
    if peer is None or signature is None:
        return False
    signable = _announcement(command, target, node, token, peer, announcement.refresh)
    return _verify(signature, signable, peer.public_key)


def sign_mutable(key_pair: KeyPair, seq: int, value: bytes) -> MutableValue:
    """Make a signed value that replaces values with a smaller `seq`."""
    return MutableValue(seq, value, _sign(_mutable(seq, value), key_pair))


def verify_mutable(mutable: MutableValue, public_key: bytes) -> bool:
    """Return whether the owner of a key has signed a value."""
    return _verify(mutable.signature, _mutable(mutable.seq, mutable.value), public_key)


def _announcement(
    command: HyperDhtCommand, target: bytes, node: bytes, token: bytes, peer: Peer, refresh: bytes | None
) -> bytes:
    return namespace(command) + key_hash(target + node + token + peer.encode() + (refresh or b""))


def _mutable(seq: int, value: bytes) -> bytes:
    return namespace(HyperDhtCommand.MUTABLE_PUT) + key_hash(encode_uint(seq) + encode_buffer(value))


def _sign(signable: bytes, key_pair: KeyPair) -> bytes:
    return bindings.crypto_sign(signable, key_pair.ed25519_secret_key)[:_SIGNATURE_SIZE]


def _verify(signature: bytes, signable: bytes, public_key: bytes) -> bool:
    try:
        bindings.crypto_sign_open(signature + signable, public_key)
    except BadSignatureError:
        return False
    return True
