"""The ciphers of the two wires, from the libsodium that ships with PyNaCl.

PyNaCl's Python API has no bare XSalsa20. Its secretstream copies every frame several times and keeps a
buffer the size of the largest frame for each connection. PyNaCl's extension module does contain the
functions, so this module binds them through cffi, on which PyNaCl depends anyway. `bindings` is generated,
because cffi's parser of C takes 30 ms and 2 MiB at each start. The alternative, PyCryptodome's Salsa20 behind
an HSalsa20 step, would be one more dependency and has about half the throughput (`python -m timeit`, 64 KiB
at a time).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeGuard

import nacl._sodium  # type: ignore[import-not-found]

from ..buffer import Buffer
from .bindings import ffi as _ffi

_BLOCK = 64
_LARGE = 4096  # bytes; from this size on, copying costs more than a second call

DECLARATIONS: Final = """
int sodium_init(void);
int crypto_stream_xsalsa20_xor_ic(unsigned char *c, const unsigned char *m, unsigned long long mlen,
                                  const unsigned char *n, uint64_t ic, const unsigned char *k);
int crypto_secretstream_xchacha20poly1305_init_pull(unsigned char *state, const unsigned char *header,
                                                    const unsigned char *k);
int crypto_secretstream_xchacha20poly1305_push(unsigned char *state, unsigned char *c,
    unsigned long long *clen, const unsigned char *m, unsigned long long mlen,
    const unsigned char *ad, unsigned long long adlen, unsigned char tag);
int crypto_secretstream_xchacha20poly1305_pull(unsigned char *state, unsigned char *m,
    unsigned long long *mlen, unsigned char *tag, const unsigned char *c, unsigned long long clen,
    const unsigned char *ad, unsigned long long adlen);
size_t crypto_secretstream_xchacha20poly1305_statebytes(void);
"""
"""The functions of libsodium in C, from which `bindings` is generated."""

_FUNCTIONS: Final = (
    "sodium_init",
    "crypto_stream_xsalsa20_xor_ic",
    "crypto_secretstream_xchacha20poly1305_init_pull",
    "crypto_secretstream_xchacha20poly1305_push",
    "crypto_secretstream_xchacha20poly1305_pull",
    "crypto_secretstream_xchacha20poly1305_statebytes",
)


def load(path: str) -> Any:
    """Load libsodium from a shared object. Raises `ImportError`, whose message names the missing function."""
    try:
        library = _ffi.dlopen(path)
        for name in _FUNCTIONS:
            getattr(library, name)
    except (OSError, AttributeError, _ffi.error) as error:
        raise ImportError(
            f"peersockets needs functions of libsodium that PyNaCl {nacl.__version__} does not offer here "
            f"({error}): install a wheel of PyNaCl, as pip does, of a version that pyproject.toml allows"
        ) from None
    return library


_library: Any = load(nacl._sodium.__file__)
_library.sodium_init()
_xor = _library.crypto_stream_xsalsa20_xor_ic
_push = _library.crypto_secretstream_xchacha20poly1305_push
_pull = _library.crypto_secretstream_xchacha20poly1305_pull
_start = _library.crypto_secretstream_xchacha20poly1305_init_pull
_STATE_SIZE = _library.crypto_secretstream_xchacha20poly1305_statebytes()
_NULL = _ffi.NULL
_BYTES = _ffi.typeof("unsigned char[]")

MESSAGE_TAG_SIZE = 1
MAC_SIZE = 16


def is_writable(data: Buffer) -> TypeGuard[bytearray | memoryview]:
    """Return whether `data` can be decrypted in place."""
    return isinstance(data, bytearray) or (isinstance(data, memoryview) and not data.readonly)


class XSalsa20:
    """One direction's continuous keystream. It hides the data but does not authenticate it."""

    __slots__ = ("_key", "_nonce", "_position")

    def __init__(self, key: bytes, nonce: bytes) -> None:
        """Start at the first byte, for a 32-byte key and a 24-byte nonce."""
        if len(key) != 32 or len(nonce) != 24:
            raise ValueError("XSalsa20 takes a key of 32 bytes and a nonce of 24")
        self._key = key
        self._nonce = nonce
        self._position = 0

    def apply(self, *chunks: Buffer) -> memoryview:
        """Encrypt or decrypt `chunks` as the next bytes of the stream, in one pass."""
        block, offset = divmod(self._position, _BLOCK)
        # The function starts at a block boundary, so pad with the bytes of this block that have passed.
        buffer = bytearray().join((bytes(offset), *chunks))
        pointer = _ffi.from_buffer(buffer)
        _xor(pointer, pointer, len(buffer), self._nonce, block, self._key)
        self._position += len(buffer) - offset
        return memoryview(buffer)[offset:]

    def decrypt(self, data: Buffer) -> bytes:
        """Decrypt the next bytes of the stream, in place if `data` is writable."""
        if len(data) < _LARGE or not is_writable(data):
            return bytes(self.apply(data))
        # Complete the current block separately, because the function starts at a block boundary.
        first = -self._position % _BLOCK
        data[:first] = self.apply(data[:first])
        pointer = _ffi.from_buffer(data)
        _xor(
            pointer + first,
            pointer + first,
            len(data) - first,
            self._nonce,
            self._position // _BLOCK,
            self._key,
        )
        self._position += len(data) - first
        return bytes(data)


class SecretStreamCipher:
    """One direction of a secretstream (XChaCha20-Poly1305): frames in order, each with its tag and MAC."""

    __slots__ = ("_state",)

    def __init__(self, key: bytes, header: bytes) -> None:
        """Start with a 32-byte key and a 24-byte header, the same on both sides."""
        if len(key) != 32 or len(header) != 24:
            raise ValueError("a secretstream takes a key of 32 bytes and a header of 24")
        self._state = _ffi.new("unsigned char[]", _STATE_SIZE)
        # libsodium's init_push draws the header itself and then makes this same call.
        _start(self._state, header, key)

    def seal(self, buffer: bytearray | memoryview, frames: list[tuple[int, int]]) -> None:
        """Encrypt frames in place, each from `start` to `stop` of `buffer`.

        Each frame has `MESSAGE_TAG_SIZE` free bytes before its plaintext, and `MAC_SIZE` free bytes after it.
        """
        pointer = _ffi.from_buffer(_BYTES, buffer)
        for start, stop in frames:
            frame = pointer + start
            size = stop - start - MESSAGE_TAG_SIZE - MAC_SIZE
            _push(self._state, frame, _NULL, frame + MESSAGE_TAG_SIZE, size, _NULL, 0, 0)

    def open(self, buffer: bytearray | memoryview, frames: list[tuple[int, int]]) -> Iterator[bytes]:
        """Decrypt frames in place, with the same layout as in `seal`; yields the plaintexts.

        Raises `ValueError` at a frame that is not genuine.
        """
        pointer = _ffi.from_buffer(_BYTES, buffer)
        for start, stop in frames:
            frame = pointer + start
            plaintext = frame + MESSAGE_TAG_SIZE
            size = stop - start - MESSAGE_TAG_SIZE - MAC_SIZE
            if size < 0 or _pull(self._state, plaintext, _NULL, _NULL, frame, stop - start, _NULL, 0):
                raise ValueError(f"a frame of {stop - start} bytes does not decrypt")
            yield _ffi.buffer(plaintext, size)[:]
