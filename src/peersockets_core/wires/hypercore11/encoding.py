"""The encodings of this wire. Source: compact-encoding 3.5.2."""

from __future__ import annotations

from ...errors import RemoteProtocolError

_SIZES = {0xFD: 2, 0xFE: 4, 0xFF: 8}


def encode_uint(number: int) -> bytes:
    """Encode a number of 0 or more: one byte up to 252, otherwise a marker byte and 2, 4 or 8 bytes,
    little-endian.
    """
    if number <= 0xFC:
        return bytes((number,))
    for mark, size in _SIZES.items():
        if number < 1 << 8 * size:
            return bytes((mark,)) + number.to_bytes(size, "little")
    raise ValueError(f"{number} does not fit into 64 bits")


def encode_buffer(data: bytes) -> bytes:
    """Encode bytes: their length, then the bytes. A string is encoded as UTF-8, and an absent optional buffer
    as empty.
    """
    return encode_uint(len(data)) + data


def decode_uint_untrusted(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Decode a number; returns it and its end position. Raises only `RemoteProtocolError`."""
    if position < end:
        first = data[position]
        if first <= 0xFC:
            return first, position + 1
        stop = position + 1 + _SIZES[first]
        if stop <= end:
            return int.from_bytes(data[position + 1 : stop], "little"), stop
    raise RemoteProtocolError("a message ends within a number")


def decode_buffer_untrusted(data: bytes, position: int, end: int) -> tuple[bytes, int]:
    """Decode a length and as many bytes; returns the bytes and their end position. Raises only
    `RemoteProtocolError`.
    """
    size, position = decode_uint_untrusted(data, position, end)
    stop = position + size
    if stop > end:
        raise RemoteProtocolError("a message ends within a buffer")
    return data[position:stop], stop


def decode_string_untrusted(data: bytes, position: int, end: int) -> tuple[str, int]:
    """Decode text; returns it and its end position. Raises only `RemoteProtocolError`."""
    encoded, position = decode_buffer_untrusted(data, position, end)
    try:
        return encoded.decode(), position
    except UnicodeDecodeError as error:
        raise RemoteProtocolError("a string is not UTF-8") from error
