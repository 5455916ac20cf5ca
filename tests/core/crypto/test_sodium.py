from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from ctypes.util import find_library
from pathlib import Path

import _cffi_backend
import nacl._sodium  # type: ignore[import-not-found]
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from peersockets_core.buffer import Buffer
from peersockets_core.crypto.sodium import (
    MAC_SIZE,
    MESSAGE_TAG_SIZE,
    SecretStreamCipher,
    XSalsa20,
    load,
)

KEY = bytes(range(32))
NONCE = bytes(range(100, 124))

# xsalsa20-universal 1.0.0 (sodium-native 3.4.1): the keystream of KEY and NONCE, in updates of these sizes.
# They begin and end within blocks of 64 bytes.
VECTORS = [
    (1, "68"),
    (
        62,
        (
            "7dffe12afa5fef7e0feb195d6cd992f49572d6194281e3c87fbb4e2106932c02b999c93ab6cee9b0fd23943784a3183e"
            "aa38a7e4a64b1ba60c42940a8bc9"
        ),
    ),
    (1, "88"),
    (
        64,
        (
            "a86ff4184f379be4f51617620013dd65c190ae181286395f03e15304dbb29e64438b4c6dc83c488ab98f1ff240c3ed93"
            "54978d07a7ff7b02929b892778e6e5c6"
        ),
    ),
    (5, "fac9e97bef"),
    (
        130,
        (
            "d93ac7037b7f8bbc5c9538782f964ad72b4009408c0ea3e411d63cbe000d1837ce1d094d232b38ddc9e055632bf61f2d"
            "27721cab09a7726638c9f0817f2b28ddd1d36792e0e32659b8e2e7fca2f61df9e1271a457b2c8344591e40b06d824dcf"
            "ae2cd4647af4254e3c5aed79317476d05df510d9589529618bf49012b09cbfb7cded"
        ),
    ),
    (
        60,
        (
            "1d9b1cfe1356fd6c800a57d40006f3149a5db9d091f750bfa27da052157dfd084717ffe6ded4773c47786a521564d2a2"
            "a249b4fc11f9397fca593114"
        ),
    ),
    (7, "aefc7ac7b9f6e3"),
]


def test_it_continues_within_a_block_like_the_reference() -> None:
    stream = XSalsa20(KEY, NONCE)
    assert [bytes(stream.apply(bytes(size))).hex() for size, _ in VECTORS] == [text for _, text in VECTORS]


def test_chunks_are_one_message() -> None:
    whole = "".join(text for _, text in VECTORS)
    assert bytes(XSalsa20(KEY, NONCE).apply(*(bytes(size) for size, _ in VECTORS))).hex() == whole


def test_nothing_encrypts_to_nothing() -> None:
    stream = XSalsa20(KEY, NONCE)
    assert not stream.apply()
    assert bytes(stream.apply(b"\0")).hex() == VECTORS[0][1]
    assert not stream.apply(b"", b"")
    assert bytes(stream.apply(bytes(62))).hex() == VECTORS[1][1]


def test_the_input_stays_unchanged() -> None:
    message = bytes(10)
    XSalsa20(KEY, NONCE).apply(message)
    assert message == bytes(10)


@pytest.mark.parametrize(("key", "nonce"), [(31, 24), (33, 24), (32, 8), (32, 0), (0, 24)])
def test_keys_and_nonces_of_other_sizes_are_refused(key: int, nonce: int) -> None:
    with pytest.raises(ValueError, match="key of 32 bytes and a nonce of 24"):
        XSalsa20(bytes(key), bytes(nonce))


@given(st.lists(st.binary(max_size=200), max_size=6), st.integers(0, 200))
def test_it_decrypts_its_own_output_in_any_chunks(chunks: list[bytes], cut: int) -> None:
    plain = b"".join(chunks)
    sender, receiver = XSalsa20(KEY, NONCE), XSalsa20(KEY, NONCE)
    cipher = b"".join(bytes(sender.apply(chunk)) for chunk in chunks)
    assert bytes(receiver.apply(cipher[:cut])) + bytes(receiver.apply(cipher[cut:])) == plain


@pytest.mark.parametrize("kind", [bytes, bytearray, lambda data: memoryview(bytearray(data))])
@pytest.mark.parametrize("sizes", [(4096,), (1, 5000, 64, 4095, 63, 70_001), (0, 4096 + 63, 4096, 1)])
def test_it_decrypts_in_place_from_any_position(kind: Callable[[bytes], Buffer], sizes: list[int]) -> None:
    stream, reference = XSalsa20(KEY, NONCE), XSalsa20(KEY, NONCE)
    for size in sizes:
        cipher = bytes(range(256)) * (size // 256 + 1)
        data = kind(cipher[:size])
        plain = stream.decrypt(data)
        assert type(plain) is bytes
        assert plain == bytes(reference.apply(cipher[:size]))
        # It may overwrite writable input to save a copy. It never overwrites any other input.
        assert bytes(data) in (plain, cipher[:size])
        assert isinstance(data, bytearray | memoryview) or data == cipher[:size]


def test_read_only_input_stays_unchanged() -> None:
    cipher = bytes(10_000)
    assert XSalsa20(KEY, NONCE).decrypt(memoryview(cipher)) != bytes(10_000)
    assert cipher == bytes(10_000)


# The cipher of @hyperswarm/secret-stream, compared with PyNaCl's binding of the same libsodium function.


def test_secret_stream_agrees_with_the_binding_of_pynacl() -> None:
    ours, theirs = SecretStreamCipher(KEY, NONCE), bindings.crypto_secretstream_xchacha20poly1305_state()
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(theirs, NONCE, KEY)
    messages = [b"", b"one", bytes(70_000), b"three"]
    buffer, frames = bytearray(b"before"), []
    for message in messages:
        start = len(buffer)
        buffer += bytes(MESSAGE_TAG_SIZE) + message + bytes(MAC_SIZE)
        frames.append((start, len(buffer)))
    ours.seal(buffer, frames)
    assert buffer.startswith(b"before")
    for message, (start, stop) in zip(messages, frames, strict=True):
        opened, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(theirs, bytes(buffer[start:stop]))
        assert (opened, tag) == (message, bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE)


def test_secret_stream_opens_frames_sealed_by_the_binding_of_pynacl() -> None:
    ours, theirs = SecretStreamCipher(KEY, NONCE), bindings.crypto_secretstream_xchacha20poly1305_state()
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(theirs, NONCE, KEY)
    for message in (b"", b"one", bytes(70_000)):
        frame = bindings.crypto_secretstream_xchacha20poly1305_push(theirs, message)
        buffer = bytearray(b"before" + frame + b"behind")
        assert list(ours.open(buffer, [(6, 6 + len(frame))])) == [message]


@pytest.mark.parametrize("size", [0, 16, 17, 40])
def test_a_forged_frame_is_not_opened(size: int) -> None:
    sealing, opening = SecretStreamCipher(KEY, NONCE), SecretStreamCipher(KEY, NONCE)
    buffer = bytearray(30)
    sealing.seal(buffer, [(0, 30)])
    opened = opening.open(buffer + bytes(size), [(0, 30), (30, 30 + size)])
    assert next(opened) == bytes(13)
    with pytest.raises(ValueError, match=f"a frame of {size} bytes does not decrypt"):
        next(opened)


@pytest.mark.parametrize(("key", "header"), [(KEY[1:], NONCE), (KEY, NONCE[1:])])
def test_secret_stream_checks_its_arguments(key: bytes, header: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes and a header of 24"):
        SecretStreamCipher(key, header)


@pytest.mark.parametrize("path", [math.__file__, _cffi_backend.__file__, "/nonexistent/library.so"])
def test_a_libsodium_without_the_functions_is_reported_in_one_sentence(path: str) -> None:
    with pytest.raises(ImportError, match=r"needs functions of libsodium that PyNaCl 1\.\S+ does not offer"):
        load(path)


# Debian's python3-nacl uses the libsodium of the system.

LIBRARIES = {"PyNaCl's": nacl._sodium.__file__, "the system's": find_library("sodium")}
"""Every libsodium on this machine; the system may have none."""

WITH_LIBRARY = """
import sys
import nacl._sodium
nacl._sodium.__file__ = sys.argv[1]
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[2:]]))
"""


@pytest.mark.parametrize("name", [name for name, path in LIBRARIES.items() if path])
def test_the_core_works_with_every_installed_libsodium(name: str) -> None:
    tests = Path(__file__).parents[1]
    chosen = [f"{__file__}::test_it_continues_within_a_block_like_the_reference"]
    chosen += [str(tests / "wires" / "hypercore11" / "test_secret_stream.py")]
    command = [sys.executable, "-c", WITH_LIBRARY, str(LIBRARIES[name]), *chosen]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tests.parents[1])
    assert done.returncode == 0, done.stdout
