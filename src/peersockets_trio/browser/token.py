"""The token with which a browser logs in, and the cookie that it is exchanged for."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from peersockets_core import DriveKey, KeyPair

_PERSON: Final = b"peersockets.v1"
"""Keeps this hash apart from all other hashes under the seed."""


def token_of(key_pair: KeyPair, key: DriveKey) -> str:
    """Return the token of an identity and a drive: 64 hex digits.

    It follows from the identity's seed, so that it is the same after a restart, and nobody else can compute
    it.
    """
    return hashlib.blake2b(
        key.discovery_key, digest_size=32, key=bytes(key_pair.seed), person=_PERSON
    ).hexdigest()


def same(given: str, token: str) -> bool:
    """Compare a text from the network with the token, in a time that does not depend on the text."""
    return hmac.compare_digest(given.encode(errors="replace"), token.encode())


def cookie_name(port: int) -> str:
    """Return the cookie's name. Browsers send cookies to all ports of a host, so the name has the port."""
    return f"peersockets-{port}"


def has_cookie(headers: list[str], name: str, token: str) -> bool:
    """Return whether one of the cookies in these headers is ours. Others may have the same name."""
    found = False
    for header in headers:
        for cookie in header.split(";"):
            given, _, value = cookie.strip().partition("=")
            found |= given == name and same(value, token)
    return found
