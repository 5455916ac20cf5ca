"""Keys: `DriveKey` parses and shows the key of a drive, and `KeyPair` is a node's identity on every wire."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

import attrs

from .events import WireName
from .secret import Secret, as_secret

Entropy: TypeAlias = Callable[[int], bytes]
"""A source of random bytes: `entropy(n)` returns n of them. Adapters pass `os.urandom`."""

KEY_SIZE = 32
_Z_BASE_32 = "ybndrfg8ejkmcpqxot1uwisza345h769"
_Z_BASE_32_LENGTH = 52  # 32 bytes in groups of 5 bits
_NAME_SIZE = 8  # bytes of the discovery key that stand for a drive in texts


def discovery_key(public_key: bytes) -> bytes:
    """Return the 32-byte discovery key of a core (hypercore-crypto 2.3.2, `discoveryKey`)."""
    return _hash(b"hypercore", key=public_key)


def _hash(data: bytes, *, key: bytes = b"") -> bytes:
    import hashlib  # loads OpenSSL: with the first key instead of with the package

    return hashlib.blake2b(data, digest_size=32, key=key).digest()


def _key_size(_: object, attribute: attrs.Attribute[Secret], value: Secret) -> None:
    if not isinstance(value, bytes):
        raise TypeError(f"{attribute.name} must be bytes, not {type(value).__name__}")
    if len(value) != KEY_SIZE:
        raise ValueError(f"{attribute.name} must be {KEY_SIZE} bytes, not {len(value)}")


def parse_public_key(key: bytes | str, name: str) -> bytes:
    """Parse the key of a remote: 32 bytes or 64 hex digits.

    Raises `ValueError`, which names the argument, for anything else.
    """
    try:
        read = bytes.fromhex(key) if isinstance(key, str) else key
    except ValueError:
        read = b""
    if not isinstance(read, bytes) or len(read) != KEY_SIZE:
        raise ValueError(f"{name} must be a public key of 32 bytes or 64 hex digits, not {key!r:.80}")
    return read


@attrs.frozen(repr=False)
class DriveKey:
    """The key of a drive: the public key of its metadata core. Everyone who knows it can join.

    It is a secret of the drive's members, so `str` and `repr` show the beginning of the discovery key
    instead. `url`, `public_key.hex()` and `bytes(public_key)` return the key itself.
    """

    public_key: Secret = attrs.field(converter=as_secret, validator=_key_size)
    """The key itself, 32 bytes."""
    discovery_key: bytes = attrs.field(init=False, eq=False)
    """A hash of the key, safe to show to those who do not know it."""

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "discovery_key", discovery_key(self.public_key))

    @classmethod
    def parse(cls, key: DriveKey | bytes | str) -> DriveKey:
        """Parse a key: 32 bytes, 64 hex digits, 52 characters of z-base-32, or a URL with one of the latter
        two.

        A URL begins with hyper:// or pear://. Its version (`hyper://KEY+5`, `pear://FORK.LENGTH.KEY`) and its
        path are ignored, because they name a state or a file of the same drive.

        Raises `ValueError`, which does not repeat the key, for anything else, and `TypeError` for a key that
        is neither text nor bytes.
        """
        if isinstance(key, DriveKey):
            return key
        if isinstance(key, bytes):
            return cls(key)
        if not isinstance(key, str):
            raise TypeError(f"drive key must be str, bytes or DriveKey, not {type(key).__name__}")
        text = _key_of_url(key.strip())
        if len(text) == 2 * KEY_SIZE:
            try:
                return cls(bytes.fromhex(text))
            except ValueError:
                pass
        elif len(text) == _Z_BASE_32_LENGTH:
            public_key = _decode_z_base_32(text.lower())
            if public_key is not None:
                return cls(public_key)
        # Do not repeat the text: a mistyped key is almost the secret.
        raise ValueError(
            f"not a drive key: {len(text)} characters (wanted 64 hex digits, 52 characters of z-base-32, "
            "hyper://KEY or pear://KEY)"
        )

    def __str__(self) -> str:
        return self.discovery_key[:_NAME_SIZE].hex()

    def __repr__(self) -> str:
        return f"<DriveKey {self}>"

    @property
    def url(self) -> str:
        """The drive's hyper:// URL. It contains the key, so everyone who reads it can join."""
        return f"hyper://{self.public_key.hex()}/"


def _key_of_url(text: str) -> str:
    """Return the key in a URL, without a version; return any other text unchanged."""
    scheme, separator, rest = text.partition("://")
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    match scheme.lower(), host.split("."):
        case "hyper", _ if separator:
            return host.partition("+")[0]
        case "pear", [fork, length, key, *hash_] if separator and len(hash_) < 2:  # pear-link 4, `parse`
            return key if _is_number(fork) and _is_number(length) else text
        case "pear", [key] if separator:
            return key
    return text


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


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
    """A node's identity: one 32-byte seed, from which its keys on every wire are derived."""

    seed: Secret = attrs.field(converter=as_secret, validator=_key_size, repr=False)
    """The secret from which the rest follows, 32 bytes."""
    x25519_secret_key: Secret = attrs.field(init=False, repr=False, eq=False)
    """The secret key on hypercore9, 32 bytes."""
    x25519_public_key: bytes = attrs.field(init=False, repr=lambda key: key.hex(), eq=False)
    """The public key on hypercore9, 32 bytes."""
    ed25519_secret_key: Secret = attrs.field(init=False, repr=False, eq=False)
    """The secret key on hypercore11, 64 bytes in libsodium's form: the seed, then the public key."""
    ed25519_public_key: bytes = attrs.field(init=False, repr=lambda key: key.hex(), eq=False)
    """The public key on hypercore11, 32 bytes."""

    def __attrs_post_init__(self) -> None:
        from nacl import bindings  # loads 15 modules: with the first identity instead of with the package

        # libsodium's crypto_kx_seed_keypair, which noise-protocol 3.0.1 uses for X25519.
        secret_key = Secret(_hash(self.seed))
        public_key, signing_key = bindings.crypto_sign_seed_keypair(self.seed)
        set_field = object.__setattr__
        set_field(self, "x25519_secret_key", secret_key)
        set_field(self, "x25519_public_key", bindings.crypto_scalarmult_base(secret_key))
        set_field(self, "ed25519_secret_key", Secret(signing_key))
        set_field(self, "ed25519_public_key", public_key)

    @classmethod
    def generate(cls, entropy: Entropy) -> KeyPair:
        """Make a new identity from 32 bytes of `entropy`."""
        return cls(entropy(KEY_SIZE))

    @classmethod
    def from_seed(cls, seed: bytes) -> KeyPair:
        """Make the identity of a 32-byte `seed`. Raises `ValueError` for a different length."""
        return cls(seed)

    @property
    def public_keys(self) -> dict[WireName, bytes]:
        """The identity's 32-byte public key on each wire."""
        return {"hypercore9": self.x25519_public_key, "hypercore11": self.ed25519_public_key}
