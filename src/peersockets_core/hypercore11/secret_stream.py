"""secret-stream: Noise XX over Ed25519, then frames of libsodium's secretstream.

Every frame stands behind its length, three bytes, little-endian. Source: @hyperswarm/secret-stream 6.9.2,
noise-handshake 4.2.0, noise-curve-ed 2.1.0.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

import attrs
from nacl import bindings
from nacl.exceptions import CryptoError

from ..errors import RemoteProtocolError
from ..keys import Entropy, KeyPair
from ..noise import DHKeyPair, Ed25519, XXHandshake

MAX_FRAME: Final = 0xFFFFFF
OVERHEAD: Final = bindings.crypto_secretstream_xchacha20poly1305_ABYTES
MAX_PLAINTEXT: Final = MAX_FRAME - OVERHEAD
"""Bytes of one message of the layer above."""

_LENGTH = 3
_SEED_SIZE = 32
_HEADER_SIZE = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
_ID_SIZE = 32
_TAG = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_HANDSHAKE_SIZES = {True: (96,), False: (32, 64)}
"""What an initiator and a responder are sent."""

_ED25519 = Ed25519()


def namespace(name: bytes, count: int) -> list[bytes]:
    """The constants of a protocol (hypercore-crypto 3, `namespace`): 32 bytes each."""
    root = _hash(name)
    return [_hash(root + bytes((index,))) for index in range(count)]


def _hash(data: bytes, key: bytes = b"") -> bytes:
    return hashlib.blake2b(data, digest_size=32, key=key).digest()


_INITIATOR, _RESPONDER, _SEND = namespace(b"hyperswarm/secret-stream", 3)


@attrs.frozen
class Keys:
    """What a finished handshake leaves, whichever it was."""

    sending_key: bytes = attrs.field(repr=False)
    receiving_key: bytes = attrs.field(repr=False)
    handshake_hash: bytes
    remote_public_key: bytes


class SecretStream:
    """One side of a secured stream of messages."""

    def __init__(
        self, *, initiator: bool, entropy: Entropy, key_pair: KeyPair | None = None, keys: Keys | None = None
    ) -> None:
        """Begin a handshake for `key_pair`, or start with the `keys` of one that is finished.

        Takes from `entropy` 32 bytes for the ephemeral seed if there is a handshake, then 24 for the
        header of our direction.
        """
        self.output: list[bytes] = []
        """What to send, in order; the owner empties it."""
        self.keys: Keys | None = None
        self._initiator = initiator
        self._entropy = entropy
        self._buffer = bytearray()
        self._wanted = _LENGTH
        self._push = bindings.crypto_secretstream_xchacha20poly1305_state()
        self._pull = bindings.crypto_secretstream_xchacha20poly1305_state()
        self._pulling = False
        self._noise: XXHandshake | None = None
        self._sizes = list(_HANDSHAKE_SIZES[initiator])
        if keys is not None:
            self._start(keys)
            return
        assert key_pair is not None
        self._noise = XXHandshake(
            initiator=initiator,
            dh=_ED25519,
            static=DHKeyPair(key_pair.ed25519_secret_key, key_pair.ed25519_public_key),
            ephemeral=_ED25519.generate(entropy(_SEED_SIZE)),
        )
        self._write_handshake(self._noise)

    @property
    def between_frames(self) -> bool:
        """Whether the stream stands between two frames."""
        return not self._buffer

    def encrypt(self, plaintext: bytes) -> bytes:
        """Return the frame of one message of at most `MAX_PLAINTEXT` bytes."""
        ciphertext = bindings.crypto_secretstream_xchacha20poly1305_push(self._push, plaintext, None, _TAG)
        return len(ciphertext).to_bytes(_LENGTH, "little") + ciphertext

    def forget_input(self) -> None:
        """Let go of what has come of a frame."""
        self._buffer.clear()

    def receive_data_untrusted(self, data: bytes, messages: list[bytes]) -> None:
        """Append the messages that `data` completes, keepalives left out.

        Nothing behind the handshake is looked at before the next call. Raises only `RemoteProtocolError`.
        """
        buffer = self._buffer
        if buffer:
            buffer += data
            if len(buffer) < self._wanted:
                return
            data = bytes(buffer)
            buffer.clear()
        position, end = 0, len(data)
        self._wanted = _LENGTH
        while end - position >= _LENGTH:
            start = position + _LENGTH
            size = int.from_bytes(data[position:start], "little")
            stop = start + size
            if self._noise is not None:
                self._check_handshake_untrusted(size)
            if stop > end:
                self._wanted = stop - position
                break
            message = self._frame_untrusted(data[start:stop])
            if message:
                messages.append(message)
            position = stop
            if not self._pulling and self._noise is None:  # the handshake has just been finished
                break
        if position < end:
            buffer += data[position:]

    def keep_untrusted(self, data: bytes) -> None:
        """Keep `data`, which stands behind a handshake, for the next `receive_data_untrusted`."""
        self._buffer += data

    def _frame_untrusted(self, frame: bytes) -> bytes:
        if self._noise is not None:
            self._noise.read_message_untrusted(frame)  # its size leaves no room for a payload
            del self._sizes[0]
            self._write_handshake(self._noise)
            return b""
        if not self._pulling:
            self._header_untrusted(frame)
            return b""
        if len(frame) < OVERHEAD:
            raise RemoteProtocolError(f"a frame of {len(frame)} bytes is too short")
        try:
            message, _ = bindings.crypto_secretstream_xchacha20poly1305_pull(self._pull, frame, None)
        except CryptoError as error:
            raise RemoteProtocolError("a frame does not decrypt") from error
        return message

    def _check_handshake_untrusted(self, size: int) -> None:
        if size != self._sizes[0]:
            raise RemoteProtocolError(
                f"handshake: a message of {size} bytes, not {self._sizes[0]}; "
                "the remote does not speak hypercore11"
            )

    def _header_untrusted(self, frame: bytes) -> None:
        assert self.keys is not None
        if len(frame) != _ID_SIZE + _HEADER_SIZE:
            raise RemoteProtocolError(f"a header frame of {len(frame)} bytes")
        expected = _stream_id(self.keys.handshake_hash, initiator=not self._initiator)
        if not hmac.compare_digest(frame[:_ID_SIZE], expected):
            raise RemoteProtocolError("the header frame names another stream")
        self._init(self._pull, frame[_ID_SIZE:], self.keys.receiving_key)
        self._pulling = True

    def _write_handshake(self, noise: XXHandshake) -> None:
        if noise.writing:
            self._write_plain(noise.write_message(b""))
        if noise.finished:
            self._noise = None
            sending_key, receiving_key = noise.split()
            self._start(Keys(sending_key, receiving_key, noise.handshake_hash, noise.remote_static))

    def _start(self, keys: Keys) -> None:
        self.keys = keys
        header = self._entropy(_HEADER_SIZE)
        self._init(self._push, header, keys.sending_key)
        self._write_plain(_stream_id(keys.handshake_hash, initiator=self._initiator) + header)

    def _write_plain(self, frame: bytes) -> None:
        self.output.append(len(frame).to_bytes(_LENGTH, "little") + frame)

    @staticmethod
    def _init(state: bindings.crypto_secretstream_xchacha20poly1305_state, header: bytes, key: bytes) -> None:
        # libsodium's init_push draws the header itself and then does just this.
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, header, key)


def _stream_id(handshake_hash: bytes, *, initiator: bool) -> bytes:
    return _hash(_INITIATOR if initiator else _RESPONDER, key=handshake_hash)
