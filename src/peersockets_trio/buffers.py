"""The bytes-like objects that are taken where bytes are asked for."""

from __future__ import annotations

from typing import TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview


def as_bytes(value: object, name: str) -> bytes:
    """Return an immutable copy, or `value` itself if it is one. Raises `TypeError`, naming it."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"{name} must be bytes, not {type(value).__name__}")
