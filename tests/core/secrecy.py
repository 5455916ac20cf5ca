"""Find secrets in texts, in every encoding."""

from __future__ import annotations

import ast
import base64
import re
from collections.abc import Iterable, Iterator
from typing import Final

_WINDOW: Final = 8
"""A text must not show so many bytes of a secret in a row: they reveal a quarter of a key."""
_Z_BASE_32: Final = "ybndrfg8ejkmcpqxot1uwisza345h769"


def shown(secrets: Iterable[bytes], text: str) -> list[str]:
    """Return the parts of secrets that a text contains, as they are written there."""
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
    """Encode like z32 1.1.0."""
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    return "".join(_Z_BASE_32[int(bits[at : at + 5], 2)] for at in range(0, len(bits), 5))


class Witness:
    """Notes every secret that is made and the text of every error, and finds secrets in those texts."""

    def __init__(self) -> None:
        self.texts: set[str] = set()
        self._parts: set[bytes] = set()

    def note_secret(self, secret: bytes) -> None:
        if len(set(secret)) >= _WINDOW:  # a simpler secret may stand in a text by chance
            # The second half of an Ed25519 secret key is the public key.
            self._parts.update(_windows(secret[:32]))

    def note_error(self, error: BaseException) -> None:
        self.texts |= {str(error), repr(error)}

    def note_public(self, public: bytes) -> None:
        """Forget the public parts of a secret: a secret may be joined with public bytes."""
        self._parts -= set(_windows(public))

    def shown(self) -> list[str]:
        """Return the texts that contain a part of a secret, in hex or as a bytes literal."""
        return [text for text in self.texts if any(not self._parts.isdisjoint(p) for p in _read(text))]


def _windows(data: bytes) -> list[bytes]:
    return [data[start : start + _WINDOW] for start in range(len(data) - _WINDOW + 1)]


def _read(text: str) -> Iterator[list[bytes]]:
    for digits in re.findall(r"[0-9a-fA-F]{16,}", text):
        for run in (digits, digits[1:]):
            yield _windows(bytes.fromhex(run[: len(run) // 2 * 2]))
    for literal in re.findall(r"""b'(?:[^'\\]|\\.)*'|b"(?:[^"\\]|\\.)*\"""", text):
        yield _windows(ast.literal_eval(literal))
