"""Unsigned LEB128 varints, which count everything on this wire."""

from __future__ import annotations

from ...errors import RemoteProtocolError

MAX_SIZE = 8
"""Bytes: simple-message-channels 1.2.1 takes no more, since 56 bits are what a JavaScript number holds."""


def encode(number: int) -> bytes:
    """Return the shortest encoding of a number from 0."""
    if number < 0x80:
        return bytes((number,))
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def decode_untrusted(data: bytes | bytearray, start: int) -> tuple[int, int] | None:
    """Read the number at `start`: returns it and where it ends, or None where `data` ends within it.

    Raises only `RemoteProtocolError`, for one longer than `MAX_SIZE`.
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
