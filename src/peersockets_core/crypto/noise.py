"""The Noise Protocol Framework as both wires use it: ChaChaPoly, BLAKE2b, and the patterns XX and IK.

Source: the Noise specification, revision 34, sections 5 and 7. The Diffie-Hellman function is an
argument, because hypercore9 uses X25519 and hypercore11 uses Ed25519 points.
"""

from __future__ import annotations

import copy
import hashlib
import hmac
from typing import Final, Literal, Protocol

import attrs
from nacl import bindings
from nacl.exceptions import CryptoError

from ..errors import RemoteProtocolError
from ..secret import Secret

HASH_SIZE = 64
CIPHER_KEY_SIZE = 32
AEAD_TAG_SIZE = 16


@attrs.frozen
class DHKeyPair:
    """A key pair of one Diffie-Hellman function; both halves have the form that this function expects."""

    secret_key: Secret = attrs.field(converter=Secret)
    public_key: bytes


class DHFunction(Protocol):
    """A Diffie-Hellman function over 32-byte public keys."""

    name: str
    """The function's name as it appears in a Noise protocol name."""
    checks: bool
    """Whether `dh_untrusted` refuses every key that `check_untrusted` refuses."""

    def generate(self, seed: bytes) -> DHKeyPair:
        """Make an ephemeral key pair from 32 random bytes."""
        ...

    def check_untrusted(self, public_key: bytes) -> None:
        """Check a public key. Raises only `RemoteProtocolError`, if it belongs to no secret key."""

    def dh_untrusted(self, secret_key: bytes, public_key: bytes) -> Secret:
        """Return the 32-byte shared secret. Raises only `RemoteProtocolError`, for a bad point."""
        ...


class X25519:
    """Curve25519, as in noise-protocol 3.0.1."""

    name = "25519"
    checks = False

    def generate(self, seed: bytes) -> DHKeyPair:
        """Make an ephemeral key pair whose secret key is `seed` (libsodium's crypto_kx_keypair)."""
        return DHKeyPair(seed, bindings.crypto_scalarmult_base(seed))

    def check_untrusted(self, public_key: bytes) -> None:
        """Check a public key. Raises only `RemoteProtocolError`, for a point outside the base point's group.

        X25519 itself treats several keys as the same one: keys that differ by a point of small order, by a
        multiple of the prime or by the highest bit. One secret key would prove all of them.
        """
        u = int.from_bytes(public_key, "little")
        if u >= _PRIME - 1:  # -1 has small order, and the conversion below is not defined for it
            raise _weak_point()
        # Convert to the Edwards curve (RFC 7748, section 4.1); either of the two signs will do.
        y = (u - 1) * pow(u + 1, -1, _PRIME) % _PRIME
        _check_point_untrusted(y.to_bytes(32, "little"))

    def dh_untrusted(self, secret_key: bytes, public_key: bytes) -> Secret:
        """Return the shared secret. Raises only `RemoteProtocolError`, for a point of low order."""
        try:
            return Secret(bindings.crypto_scalarmult(secret_key, public_key))
        except CryptoError as error:  # libsodium refuses an all-zero result
            raise _weak_point() from error


class Ed25519:
    """Diffie-Hellman over Ed25519 points, as in noise-curve-ed 2.1.0; secret keys have 64 bytes."""

    name = "Ed25519"

    def __init__(self) -> None:
        self.checks = _CHECKS_ORDER

    def generate(self, seed: bytes) -> DHKeyPair:
        """Make the key pair that belongs to the 32-byte `seed`."""
        public_key, secret_key = bindings.crypto_sign_seed_keypair(seed)
        return DHKeyPair(secret_key, public_key)

    def check_untrusted(self, public_key: bytes) -> None:
        """Check a public key. Raises only `RemoteProtocolError`, for a point outside the base point's
        group.
        """
        _check_point_untrusted(public_key)

    def dh_untrusted(self, secret_key: bytes, public_key: bytes) -> Secret:
        """Return the shared secret. Raises only `RemoteProtocolError`, for a bad point."""
        scalar = bytearray(hashlib.sha512(secret_key[:32]).digest()[:32])
        scalar[0] &= 248
        scalar[31] = scalar[31] & 127 | 64
        try:
            return Secret(bindings.crypto_scalarmult_ed25519_noclamp(bytes(scalar), public_key))
        except CryptoError as error:
            raise _weak_point() from error


_PRIME: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
"""The order of the base point, which is the size of the group that keys belong to."""
_MINUS_ONE: Final = (_ORDER - 1).to_bytes(32, "little")
_MIXED: Final = b"\x95" + b"\x99" * 31
"""The sum of the base point and the point of order 2."""


def checks_order() -> bool:
    """Return whether libsodium refuses every point outside the base point's group.

    Older releases accept the sum of a good point and the point of order 2 (CVE-2025-69277).
    """
    return not bindings.crypto_core_ed25519_is_valid_point(_MIXED)


_CHECKS_ORDER: Final = checks_order()


def _check_point_untrusted(point: bytes) -> None:
    """Check a point of the Edwards curve. Raises only `RemoteProtocolError`, for one outside the base point's
    group.
    """
    if not bindings.crypto_core_ed25519_is_valid_point(point) or not (_CHECKS_ORDER or has_order(point)):
        raise _weak_point()


def has_order(point: bytes) -> bool:
    """Return whether a point that libsodium accepts has the order of the base point's group.

    This costs three times the check of libsodium: (order - 1) * point = -point.
    """
    product = bindings.crypto_scalarmult_ed25519_noclamp(_MINUS_ONE, point)
    return product == point[:31] + bytes((point[31] ^ 0x80,))


def _weak_point() -> RemoteProtocolError:
    return RemoteProtocolError("handshake: the remote's public key is a weak point")


def _hkdf(chaining_key: bytes, material: bytes) -> tuple[Secret, Secret]:
    secret = hmac.digest(chaining_key, material, hashlib.blake2b)
    first = hmac.digest(secret, b"\x01", hashlib.blake2b)
    return Secret(first), Secret(hmac.digest(secret, first + b"\x02", hashlib.blake2b))


class SymmetricState:
    """The running hash, chaining key and cipher key of a handshake."""

    def __init__(self, protocol_name: bytes, prologue: bytes = b"") -> None:
        self.hash = protocol_name.ljust(HASH_SIZE, b"\0")
        self._chaining_key = Secret(self.hash)
        self._key: Secret | None = None
        self._nonce = 0
        self.mix_hash(prologue)

    def mix_hash(self, data: bytes) -> None:
        """Mix `data` into the hash, which authenticates everything that follows."""
        self.hash = hashlib.blake2b(self.hash + data).digest()

    def mix_key(self, material: bytes) -> None:
        """Derive the next cipher key from `material`."""
        self._chaining_key, key = _hkdf(self._chaining_key, material)
        self._key, self._nonce = key[:CIPHER_KEY_SIZE], 0

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """Encrypt `plaintext` if a cipher key is known yet, and mix the result into the hash."""
        ciphertext = plaintext
        if self._key is not None:
            ciphertext = bindings.crypto_aead_chacha20poly1305_ietf_encrypt(
                plaintext, self.hash, self._next_nonce(), self._key
            )
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash_untrusted(self, ciphertext: bytes) -> bytes:
        """Undo `encrypt_and_hash`. Raises only `RemoteProtocolError`."""
        plaintext = ciphertext
        if self._key is not None:
            if len(ciphertext) < AEAD_TAG_SIZE:
                raise RemoteProtocolError(f"handshake: {len(ciphertext)} encrypted bytes are too short")
            try:
                plaintext = bindings.crypto_aead_chacha20poly1305_ietf_decrypt(
                    ciphertext, self.hash, self._next_nonce(), self._key
                )
            except CryptoError as error:
                raise RemoteProtocolError("handshake: a message does not decrypt") from error
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[Secret, Secret]:
        """Return the initiator's and the responder's sending key, 32 bytes each."""
        first, second = _hkdf(self._chaining_key, b"")
        return first[:CIPHER_KEY_SIZE], second[:CIPHER_KEY_SIZE]

    def _next_nonce(self) -> bytes:
        nonce = bytes(4) + self._nonce.to_bytes(8, "little")
        self._nonce += 1
        return nonce


_PATTERNS = {
    "XX": (("e",), ("e", "ee", "s", "es"), ("s", "se")),
    "IK": (("e", "es", "s", "ss"), ("e", "ee", "se")),
}
_KEY_SIZE = 32


class NoiseHandshake:
    """One side of a Noise handshake in which both sides prove their static keys.

    Pattern XX: each side learns the other's key. Pattern IK: the initiator knows the responder's key
    beforehand, and the first message already carries an encrypted payload.
    """

    def __init__(
        self,
        *,
        initiator: bool,
        dh: DHFunction,
        static: DHKeyPair,
        ephemeral: DHKeyPair,
        prologue: bytes = b"",
        pattern: Literal["XX", "IK"] = "XX",
        remote_static: bytes = b"",
    ) -> None:
        """Begin; the initiator of an IK handshake passes the responder's 32-byte key as `remote_static`."""
        self._messages = _PATTERNS[pattern]
        self._initiator = initiator
        self._dh = dh
        self._static = static
        self._ephemeral = ephemeral
        self._symmetric = SymmetricState(f"Noise_{pattern}_{dh.name}_ChaChaPoly_BLAKE2b".encode(), prologue)
        self._messages_done = 0
        self._remote_ephemeral = b""
        self.remote_static = remote_static
        """The remote's proved public key, once the handshake is finished."""
        if pattern == "IK":
            self._symmetric.mix_hash(remote_static if initiator else static.public_key)

    def fork(self) -> NoiseHandshake:
        """Return a handshake in the same state, which goes on by itself."""
        other = copy.copy(self)
        other._symmetric = copy.copy(self._symmetric)  # its fields are never changed in place
        return other

    @property
    def finished(self) -> bool:
        """Whether all messages have passed."""
        return self._messages_done == len(self._messages)

    @property
    def writing(self) -> bool:
        """Whether the next message is ours to write."""
        return not self.finished and (self._messages_done % 2 == 0) == self._initiator

    @property
    def handshake_hash(self) -> bytes:
        """64 bytes that identify this connection, the same on both sides. They are a hash of bytes that
        went over the wire, so they are not secret.
        """
        return self._symmetric.hash

    def split(self) -> tuple[Secret, Secret]:
        """Return our sending and our receiving key, 32 bytes each."""
        initiator_key, responder_key = self._symmetric.split()
        return (initiator_key, responder_key) if self._initiator else (responder_key, initiator_key)

    def write_message(self, payload: bytes) -> bytes:
        """Return the next message with its `payload`, which the first message of XX does not encrypt."""
        symmetric = self._symmetric
        message = b""
        for token in self._messages[self._messages_done]:
            if token == "e":
                symmetric.mix_hash(self._ephemeral.public_key)
                message += self._ephemeral.public_key
            elif token == "s":
                message += symmetric.encrypt_and_hash(self._static.public_key)
            else:
                self._mix_dh_untrusted(token)
        message += symmetric.encrypt_and_hash(payload)
        self._messages_done += 1
        return message

    def read_message_untrusted(self, message: bytes) -> bytes:
        """Return the payload of the remote's next message. Raises only `RemoteProtocolError`."""
        symmetric = self._symmetric
        tokens = self._messages[self._messages_done]
        for token in tokens:
            if token == "e":
                self._remote_ephemeral, message = _take_untrusted(message, _KEY_SIZE)
                self._check_untrusted(self._remote_ephemeral, token, tokens)
                symmetric.mix_hash(self._remote_ephemeral)
            elif token == "s":
                encrypted, message = _take_untrusted(message, _KEY_SIZE + AEAD_TAG_SIZE)
                self.remote_static = symmetric.decrypt_and_hash_untrusted(encrypted)
                self._check_untrusted(self.remote_static, token, tokens)
            else:
                self._mix_dh_untrusted(token)
        payload = symmetric.decrypt_and_hash_untrusted(message)
        self._messages_done += 1
        return payload

    def _check_untrusted(self, public_key: bytes, token: str, tokens: tuple[str, ...]) -> None:
        """Check a key of the remote, unless a Diffie-Hellman operation of the same message does that.

        Raises only `RemoteProtocolError`.
        """
        theirs = 1 if self._initiator else 0  # the position of the remote's letter in "es" and the like
        multiplied = any(len(other) == 2 and other[theirs] == token for other in tokens)
        if not (multiplied and self._dh.checks):
            self._dh.check_untrusted(public_key)

    def _mix_dh_untrusted(self, token: str) -> None:
        # The first letter names the initiator's key, the second the responder's.
        ours, theirs = tuple(token if self._initiator else token[::-1])
        secret_key = (self._ephemeral if ours == "e" else self._static).secret_key
        public_key = self._remote_ephemeral if theirs == "e" else self.remote_static
        self._symmetric.mix_key(self._dh.dh_untrusted(secret_key, public_key))


def _take_untrusted(message: bytes, size: int) -> tuple[bytes, bytes]:
    if len(message) < size:
        raise RemoteProtocolError(f"handshake: a message of {len(message)} bytes is too short")
    return message[:size], message[size:]
