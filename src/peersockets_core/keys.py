"""Keys: a drive's public key in its spellings, and a node's identity on every wire."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeAlias

import attrs
from nacl import bindings

from .events import WireName

Entropy: TypeAlias = Callable[[int], bytes]
"""A source of random bytes: `entropy(n)` returns n of them. Adapters pass `os.urandom`."""

KEY_SIZE = 32
_Z_BASE_32 = "ybndrfg8ejkmcpqxot1uwisza345h769"
_Z_BASE_32_LENGTH = 52  # 32 bytes in groups of 5 bits


def discovery_key(public_key: bytes) -> bytes:
    """Return the 32-byte discovery key of a core (hypercore-crypto 2.3.2, `discoveryKey`)."""
    return hashlib.blake2b(b"hypercore", digest_size=32, key=public_key).digest()


def _key_size(_: object, attribute: attrs.Attribute[bytes], value: bytes) -> None:
    if not isinstance(value, bytes):
        raise TypeError(f"{attribute.name} must be bytes, not {type(value).__name__}")
    if len(value) != KEY_SIZE:
        raise ValueError(f"{attribute.name} must be {KEY_SIZE} bytes, not {len(value)}")


def parse_public_key(key: bytes | str, name: str) -> bytes:
    """Read the key of a remote: 32 bytes or 64 hex digits.

    Raises `ValueError`, naming the argument, for anything else.
    """
    try:
        read = bytes.fromhex(key) if isinstance(key, str) else key
    except ValueError:
        read = b""
    if not isinstance(read, bytes) or len(read) != KEY_SIZE:
        raise ValueError(f"{name} must be a public key of 32 bytes or 64 hex digits, not {key!r:.80}")
    return read


@attrs.frozen
class DriveKey:
    """The key that names a drive: the public key of its metadata core. Who knows it may join."""

    public_key: bytes = attrs.field(validator=_key_size, repr=lambda key: key.hex())
    discovery_key: bytes = attrs.field(init=False, eq=False, repr=False)
    """A hash of the key, safe to show to those who do not know it."""

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "discovery_key", discovery_key(self.public_key))

    @classmethod
    def parse(cls, key: DriveKey | bytes | str) -> DriveKey:
        """Read a key: 32 bytes, 64 hex digits, 52 characters of z-base-32, or a hyper:// URL of either.

        A URL's version (`+5`) and path are ignored: they name a state and a file, not another drive.
        Raises `ValueError` for anything else, `TypeError` for a key that is neither text nor bytes.
        """
        if isinstance(key, DriveKey):
            return key
        if isinstance(key, bytes):
            return cls(key)
        if not isinstance(key, str):
            raise TypeError(f"drive key must be str, bytes or DriveKey, not {type(key).__name__}")
        text = key.strip()
        if text[:8].lower() == "hyper://":
            text = text[8:].partition("/")[0].partition("+")[0]
        if len(text) == 2 * KEY_SIZE:
            try:
                return cls(bytes.fromhex(text))
            except ValueError:
                pass
        elif len(text) == _Z_BASE_32_LENGTH:
            public_key = _decode_z_base_32(text.lower())
            if public_key is not None:
                return cls(public_key)
        raise ValueError(
            f"not a drive key: {key[:80]!r} (wanted 64 hex digits, 52 characters of z-base-32, or hyper://KEY)"
        )

    def __str__(self) -> str:
        return self.public_key.hex()

    @property
    def url(self) -> str:
        """The drive's hyper:// URL."""
        return f"hyper://{self}/"


def _decode_z_base_32(text: str) -> bytes | None:
    number = 0
    for character in text:
        digit = _Z_BASE_32.find(character)
        if digit < 0:
            return None
        number = number << 5 | digit
    number, padding = divmod(number, 16)
    return None if padding else number.to_bytes(KEY_SIZE, "big")


@attrs.frozen
class KeyPair:
    """A node's identity: one 32-byte seed gives its key on every wire."""

    seed: bytes = attrs.field(validator=_key_size, repr=False)
    x25519_secret_key: bytes = attrs.field(init=False, repr=False, eq=False)
    x25519_public_key: bytes = attrs.field(init=False, repr=lambda key: key.hex(), eq=False)
    ed25519_secret_key: bytes = attrs.field(init=False, repr=False, eq=False)
    """64 bytes, libsodium's form: the seed, then the public key."""
    ed25519_public_key: bytes = attrs.field(init=False, repr=lambda key: key.hex(), eq=False)

    def __attrs_post_init__(self) -> None:
        # libsodium's crypto_kx_seed_keypair, which noise-protocol 3.0.1 uses for X25519.
        secret_key = hashlib.blake2b(self.seed, digest_size=32).digest()
        public_key, signing_key = bindings.crypto_sign_seed_keypair(self.seed)
        set_field = object.__setattr__
        set_field(self, "x25519_secret_key", secret_key)
        set_field(self, "x25519_public_key", bindings.crypto_scalarmult_base(secret_key))
        set_field(self, "ed25519_secret_key", signing_key)
        set_field(self, "ed25519_public_key", public_key)

    @classmethod
    def generate(cls, entropy: Entropy) -> KeyPair:
        """Make a new identity from 32 bytes of `entropy`."""
        return cls(entropy(KEY_SIZE))

    @classmethod
    def from_seed(cls, seed: bytes) -> KeyPair:
        """Make the identity of a 32-byte `seed`. Raises `ValueError` for another length."""
        return cls(seed)

    @property
    def public_keys(self) -> dict[WireName, bytes]:
        """The 32-byte public key by which remotes know this identity, for each wire."""
        return {"hypercore9": self.x25519_public_key, "hypercore11": self.ed25519_public_key}
