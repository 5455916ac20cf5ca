"""The cipher of frames, in plain Python as rule H11-8 describes it, against libsodium's."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from peersockets_core.crypto.sodium import MAC_SIZE, MESSAGE_TAG_SIZE, SecretStreamCipher

CONSTANTS: Final = struct.unpack("<4I", b"expand 32-byte k")
COLUMNS: Final = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
DIAGONALS: Final = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
KEY: Final = bytes(range(32))
HEADER: Final = bytes(range(100, 124))


def rounds(state: list[int]) -> list[int]:
    """Run ChaCha20's twenty rounds (RFC 8439, section 2.3)."""
    x = list(state)
    for a, b, c, d in 10 * (COLUMNS + DIAGONALS):
        for i, j, k, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[i] = (x[i] + x[j]) & 0xFFFFFFFF
            x[k] ^= x[i]
            x[k] = (x[k] << bits | x[k] >> 32 - bits) & 0xFFFFFFFF
    return x


def keystream(key: bytes, nonce: bytes, block: int) -> bytes:
    state = [*CONSTANTS, *struct.unpack("<8I", key), block, *struct.unpack("<3I", nonce)]
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(state, rounds(state), strict=True)))


def hchacha20(key: bytes, nonce: bytes) -> bytes:
    state = rounds([*CONSTANTS, *struct.unpack("<8I", key), *struct.unpack("<4I", nonce)])
    return struct.pack("<8I", *state[:4], *state[12:])


def poly1305(key: bytes, data: bytes) -> bytes:
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for start in range(0, len(data), 16):
        total = (total + int.from_bytes(data[start : start + 16] + b"\1", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def xored(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=False))


def frames(messages: list[bytes]) -> Iterator[bytes]:
    key = hchacha20(KEY, HEADER[:16])
    last = HEADER[16:]
    for counter, message in enumerate(messages, 1):
        nonce = counter.to_bytes(4, "little") + last
        stream = b"".join(keystream(key, nonce, block) for block in range(2, 3 + len(message) // 64))
        tag = xored(bytes(64), keystream(key, nonce, 1))  # MESSAGE, which is 0
        text = xored(message, stream)
        lengths = struct.pack("<QQ", 0, len(tag) + len(text))
        mac = poly1305(keystream(key, nonce, 0)[:32], tag + text + bytes(len(text) % 16) + lengths)
        yield tag[:1] + text + mac
        last = xored(last, mac[:8])


def test_the_written_cipher_equals_that_of_libsodium() -> None:
    messages = [b"", b"a", bytes(range(15)), bytes(16), bytes(range(63)), bytes(64), bytes(range(200))]
    cipher = SecretStreamCipher(KEY, HEADER)
    for message, frame in zip(messages, frames(messages), strict=True):
        buffer = bytearray(MESSAGE_TAG_SIZE) + message + bytes(MAC_SIZE)
        cipher.seal(buffer, [(0, len(buffer))])
        assert frame == buffer
