"""The messages of hole punching as nodes of the DHT relay them: encrypted between the two peers.

Source: hyperdht 6.34.0, `lib/secure-payload.js` and `lib/messages.js` (`holepunchPayload`).
"""

from __future__ import annotations

import hashlib
from typing import Final

from nacl import bindings
from nacl.exceptions import CryptoError

from ..errors import RemoteProtocolError
from ..holepunch.rounds import Round
from ..keys import Entropy
from ..secret import Secret
from ..wires.hypercore11.encoding import encode_uint
from .messages import HyperDhtCommand
from .rpc.address import encode_address
from .rpc.reader import Reader
from .signing import namespace

_TOKEN_SIZE: Final = 32
_NONCE_SIZE: Final = 24
_KEY_SIZE: Final = 32
_NAMESPACE: Final = namespace(HyperDhtCommand.PEER_HOLEPUNCH)


class SecurePayload:
    """Encrypts the messages between the two sides of one handshake, and makes our tokens."""

    def __init__(self, handshake_hash: bytes, entropy: Entropy, most_addresses: int) -> None:
        """Derive the key from the handshake, as the other side does. `most_addresses` are read from a
        message.
        """
        self._key = Secret(hashlib.blake2b(_NAMESPACE, digest_size=_KEY_SIZE, key=handshake_hash).digest())
        self._token_key = Secret(entropy(_KEY_SIZE))
        self._entropy = entropy
        self._most_addresses = most_addresses

    def seal(self, message: Round) -> bytes:
        """Encrypt a message."""
        nonce = self._entropy(_NONCE_SIZE)
        return nonce + bindings.crypto_secretbox(encode_round(message), nonce, bytes(self._key))

    def open_untrusted(self, data: bytes) -> Round:
        """Decrypt the remote's message. Raises only `RemoteProtocolError`."""
        nonce, sealed = data[:_NONCE_SIZE], data[_NONCE_SIZE:]
        if len(sealed) <= bindings.crypto_secretbox_MACBYTES:
            raise RemoteProtocolError("a hole punching message is too short")
        try:
            plain = bindings.crypto_secretbox_open(sealed, nonce, bytes(self._key))
        except CryptoError:
            raise RemoteProtocolError("a hole punching message is not from the peer") from None
        return decode_round_untrusted(plain, self._most_addresses)

    def token(self, host: str) -> bytes:
        """Return our token for a remote's host. Only a remote that receives messages there learns it."""
        return hashlib.blake2b(
            host.encode("ascii"), digest_size=_TOKEN_SIZE, key=bytes(self._token_key)
        ).digest()


def encode_round(message: Round) -> bytes:
    """Return the encoded bytes of a message."""
    flags = (
        message.connected
        | message.punching << 1
        | bool(message.addresses) << 2
        | (message.remote_address is not None) << 3
        | (message.token is not None) << 4
        | (message.remote_token is not None) << 5
    )
    parts = [encode_uint(number) for number in (flags, message.error, message.firewall, message.round)]
    if message.addresses:
        parts += (encode_uint(len(message.addresses)), *map(encode_address, message.addresses))
    if message.remote_address is not None:
        parts.append(encode_address(message.remote_address))
    return b"".join((*parts, message.token or b"", message.remote_token or b""))


def decode_round_untrusted(data: bytes, most_addresses: int) -> Round:
    """Read a message; addresses past the first `most_addresses` are left out. Raises only
    `RemoteProtocolError`.
    """
    reader = Reader(data)
    flags, error, firewall, number = (reader.uint_untrusted() for _ in range(4))
    return Round(
        error,
        firewall,
        number,
        bool(flags & 1),
        bool(flags & 2),
        reader.addresses_untrusted(most_addresses) if flags & 4 else (),
        reader.address_untrusted() if flags & 8 else None,
        reader.fixed_untrusted(_TOKEN_SIZE) if flags & 16 else None,
        reader.fixed_untrusted(_TOKEN_SIZE) if flags & 32 else None,
    )
