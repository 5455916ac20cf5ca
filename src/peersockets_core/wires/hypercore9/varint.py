"""Unsigned LEB128 varints, the encoding of every number on this wire."""

from __future__ import annotations

from ...errors import RemoteProtocolError

MAX_SIZE = 8
"""The most bytes of a varint, as in simple-message-channels 1.2.1: their 56 bits cover every integer that
JavaScript can hold."""


def encode(number: int) -> bytes:
    """Return the shortest encoding of a number, which must not be negative."""
    if number < 0x80:
        return bytes((number,))
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def decode_untrusted(data: bytes | bytearray, start: int) -> tuple[int, int] | None:
    """Read the number at `start`; returns the number and its end, or None if `data` ends within it.

    Raises only `RemoteProtocolError`, for a number longer than `MAX_SIZE`.
    """
    number = shift = 0
    position = start
    for byte in data[start : start + MAX_SIZE]:
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
    if position - start == MAX_SIZE:
        raise RemoteProtocolError(f"varint of more than {MAX_SIZE} bytes")
    return None
