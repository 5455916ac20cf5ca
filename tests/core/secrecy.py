"""Finds secrets in texts, however they are spelled."""

from __future__ import annotations

import ast
import base64
import re
from collections.abc import Iterable, Iterator
from typing import Final

_WINDOW: Final = 8
"""Bytes of a secret that must not stand anywhere in a row: as many give away a quarter of a key."""
_Z_BASE_32: Final = "ybndrfg8ejkmcpqxot1uwisza345h769"


def shown(secrets: Iterable[bytes], text: str) -> list[str]:
    """The spellings of parts of secrets that a text contains."""
    lower = text.lower()
    return [part for secret in secrets for part in set(_spellings(bytes(secret))) if part.lower() in lower]


def _spellings(secret: bytes) -> Iterator[str]:
    for start in range(len(secret) - _WINDOW + 1):
        part = secret[start : start + _WINDOW]
        yield part.hex()
        yield repr(part)[2:-1]
        yield str(list(part))[1:-1]
    for encoded in (base64.b64encode(secret).decode(), z_base_32(secret)):
        yield from (encoded[start : start + 2 * _WINDOW] for start in range(len(encoded) - 2 * _WINDOW))


def z_base_32(data: bytes) -> str:
    """As z32 1.1.0 writes it."""
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    return "".join(_Z_BASE_32[int(bits[at : at + 5], 2)] for at in range(0, len(bits), 5))


class Witness:
    """Notes every secret that is made and every text of an error, and finds the ones in the others."""

    def __init__(self) -> None:
        self.texts: set[str] = set()
        self._parts: set[bytes] = set()

    def note_secret(self, secret: bytes) -> None:
        if len(set(secret)) >= _WINDOW:  # others may stand in a text by chance
            # The second half of an Ed25519 secret key is the public key.
            self._parts.update(_windows(secret[:32]))

    def note_error(self, error: BaseException) -> None:
        self.texts |= {str(error), repr(error)}

    def note_public(self, public: bytes) -> None:
        """A concatenation with a secret is a secret, and may have something public in it."""
        self._parts -= set(_windows(public))

    def shown(self) -> list[str]:
        """The texts that contain a part of a secret, as hex or as bytes are written."""
        return [text for text in self.texts if any(not self._parts.isdisjoint(p) for p in _read(text))]


def _windows(data: bytes) -> list[bytes]:
    return [data[start : start + _WINDOW] for start in range(len(data) - _WINDOW + 1)]


def _read(text: str) -> Iterator[list[bytes]]:
    for digits in re.findall(r"[0-9a-fA-F]{16,}", text):
        for run in (digits, digits[1:]):
            yield _windows(bytes.fromhex(run[: len(run) // 2 * 2]))
    for literal in re.findall(r"""b'(?:[^'\\]|\\.)*'|b"(?:[^"\\]|\\.)*\"""", text):
        yield _windows(ast.literal_eval(literal))
