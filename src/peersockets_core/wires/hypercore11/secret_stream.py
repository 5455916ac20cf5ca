"""secret-stream: Noise XX over Ed25519, then frames of libsodium's secretstream.

A length of three bytes, little-endian, precedes every frame. Source: @hyperswarm/secret-stream 6.9.2,
noise-handshake 4.2.0, noise-curve-ed 2.1.0.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import MutableSequence, Sequence
from typing import Final

from ...buffer import Buffer
from ...crypto.noise import DHKeyPair, Ed25519, NoiseHandshake
from ...crypto.sodium import MAC_SIZE, MESSAGE_TAG_SIZE, SecretStreamCipher
from ...errors import RemoteProtocolError
from ...keys import Entropy, KeyPair
from ...limits import HYPERCORE11_FRAME
from ...work import BYTES_PER_ITEM, RECORD, Work
from ..keys import Keys
from ..pieces import Pieces

OVERHEAD: Final = MESSAGE_TAG_SIZE + MAC_SIZE
MAX_PLAINTEXT: Final = HYPERCORE11_FRAME - OVERHEAD
"""The most bytes in one message of the layer above."""

LENGTH_SIZE: Final = 3
"""Bytes of the length before a frame."""

_SEED_SIZE = 32
_HEADER_SIZE = 24
_ID_SIZE = 32
_NOTHING = memoryview(b"")
_TAG_ROOM, _MAC_ROOM = bytes(MESSAGE_TAG_SIZE), bytes(MAC_SIZE)
_HANDSHAKE_SIZES = {True: (96,), False: (32, 64)}
"""The sizes of the handshake messages that an initiator (True) and a responder (False) receive."""

_ED25519 = Ed25519()


def namespace(name: bytes, count: int) -> list[bytes]:
    """Return the constants of a protocol, 32 bytes each (hypercore-crypto 3, `namespace`)."""
    root = _hash(name)
    return [_hash(root + bytes((index,))) for index in range(count)]


def _hash(data: bytes, key: bytes = b"") -> bytes:
    return hashlib.blake2b(data, digest_size=32, key=key).digest()


_INITIATOR, _RESPONDER, _SEND = namespace(b"hyperswarm/secret-stream", 3)


class SecretStream:
    """One side of an encrypted stream of messages."""

    def __init__(
        self,
        *,
        initiator: bool,
        entropy: Entropy,
        key_pair: KeyPair | None = None,
        keys: Keys | None = None,
        work: Work | None = None,
        max_frame: int = HYPERCORE11_FRAME,
    ) -> None:
        """Begin a handshake for `key_pair`, or start with the `keys` of one that is finished.

        Draws 32 bytes of `entropy` for the ephemeral seed if there is a handshake, then 24 for the
        header of our direction.
        """
        self.output: list[bytes] = []
        """The chunks to send, in order; the owner empties the list."""
        self.keys: Keys | None = None
        self.keepalive_received = False
        """Whether the remote has sent a keepalive, after which it keeps sending them (`setKeepAlive`)."""
        self._initiator = initiator
        self._entropy = entropy
        self._work = work or Work()
        self._max_frame = max_frame
        self.unfinished = Pieces()
        """The received pieces of an incomplete frame."""
        self._waiting = _NOTHING  # input for the next slice of work, in a buffer of our own
        self._transmit: SecretStreamCipher | None = None
        self._receive: SecretStreamCipher | None = None
        self._noise: NoiseHandshake | None = None
        self._sizes = list(_HANDSHAKE_SIZES[initiator])
        if keys is not None:
            self._start(keys)
            return
        assert key_pair is not None
        self._noise = NoiseHandshake(
            initiator=initiator,
            dh=_ED25519,
            static=DHKeyPair(key_pair.ed25519_secret_key, key_pair.ed25519_public_key),
            ephemeral=_ED25519.generate(entropy(_SEED_SIZE)),
        )
        self._write_handshake(self._noise)

    @property
    def has_input(self) -> bool:
        """Whether input waits for the next slice of work."""
        return bool(self._waiting)

    @property
    def kept(self) -> int:
        """Bytes that are kept: an unfinished frame, and input for the next slice of work."""
        return self.unfinished.size + len(self._waiting)

    @property
    def between_frames(self) -> bool:
        """Whether the input so far ends between two frames."""
        return not (self.unfinished or self._waiting)

    def encrypt(self, plaintext: bytes) -> bytes:
        """Return the frame of one message of at most `MAX_PLAINTEXT` bytes."""
        return bytes(self.encrypt_all([(len(plaintext), (plaintext,))]))

    def forget_input(self) -> None:
        """Drop the unfinished frame and all waiting input."""
        self.unfinished.take()
        self._waiting = _NOTHING

    def encrypt_all(self, messages: Sequence[tuple[int, Sequence[bytes]]]) -> bytearray:
        """Return the frames of messages, each given as its size, up to `MAX_PLAINTEXT`, and its chunks.

        The frames are laid out in one buffer and encrypted in place, so that a message is copied only once.
        """
        assert self._transmit is not None
        parts: list[bytes] = []
        frames = []
        position = 0
        for length, chunks in messages:
            size = length + OVERHEAD
            parts += (size.to_bytes(LENGTH_SIZE, "little"), _TAG_ROOM, *chunks, _MAC_ROOM)
            start = position + LENGTH_SIZE
            position = start + size
            frames.append((start, position))
        buffer = bytearray().join(parts)
        self._transmit.seal(buffer, frames)
        return buffer

    def receive_data_untrusted(self, received: Buffer, messages: MutableSequence[bytes]) -> None:
        """Append the messages that `received` completes, without keepalives, as far as the work allows.

        A writable buffer is decrypted in place, and the rest is copied. As long as `has_input`, call it
        again, even without data. Bytes that follow the handshake are kept for the next call. Raises only
        `RemoteProtocolError`.
        """
        data = memoryview(received)
        if self._waiting:
            waiting, self._waiting = self._waiting, _NOTHING
            self._parse_untrusted(
                memoryview(bytearray().join((waiting, data))) if data else waiting, messages
            )
            return
        if self.unfinished:
            missing = self.unfinished.missing
            if len(data) < missing:
                self.unfinished.add(bytes(data))
                return
            pieces = self.unfinished.take()
            if missing and self._receive is not None and sum(map(len, pieces)) >= LENGTH_SIZE:
                self._parse_untrusted(memoryview(bytearray().join((*pieces, data[:missing]))), messages)
                data = data[missing:]
            else:
                data = memoryview(bytearray().join((*pieces, data)))
        self._parse_untrusted(data, messages)
        if self._waiting:  # copy it out of the caller's buffer
            self._waiting = memoryview(bytearray(self._waiting))

    def _parse_untrusted(self, data: memoryview, messages: MutableSequence[bytes]) -> None:
        frames: list[tuple[int, int]] = []
        position, end = 0, len(data)
        left = self._work.left
        while end - position >= LENGTH_SIZE and (left > 0 or self._receive is None):
            start = position + LENGTH_SIZE
            stop = start + int.from_bytes(data[position:start], "little")
            if self._noise is not None:
                self._check_handshake_untrusted(stop - start)
            if stop - start > self._max_frame:
                raise RemoteProtocolError(
                    f"a frame of {stop - start} bytes is over the limit of {self._max_frame}"
                )
            if stop > end:
                break
            if self._receive is not None:
                left -= RECORD + (stop - start) // BYTES_PER_ITEM
                frames.append((start, stop))
            else:
                self._begin_untrusted(bytes(data[start:stop]))
            position = stop
            if self._receive is None and self._noise is None:  # the handshake has just been finished
                break
        self._work.left = left
        if position < end:
            self._keep(data[position:])
        if frames:
            self._open_untrusted(bytearray(data[:position]) if data.readonly else data, frames, messages)

    def _keep(self, rest: memoryview) -> None:
        """Keep the beginning of a frame, bytes that follow the handshake, or input that the work did not
        reach.
        """
        missing = LENGTH_SIZE - len(rest)
        if missing <= 0:
            missing += int.from_bytes(rest[:LENGTH_SIZE], "little")
        if missing > 0 or self._receive is None:
            self.unfinished.begin(bytes(rest), missing=missing)
        else:
            self._waiting = rest

    def keep_untrusted(self, data: bytes) -> None:
        """Keep `data`, the first bytes after a handshake that took place elsewhere, for the next
        `receive_data_untrusted`.
        """
        self.unfinished.begin(data, missing=0)

    def _open_untrusted(
        self, buffer: bytearray | memoryview, frames: list[tuple[int, int]], messages: MutableSequence[bytes]
    ) -> None:
        assert self._receive is not None
        before = len(messages)
        try:
            messages.extend(filter(None, self._receive.open(buffer, frames)))
            if len(messages) - before < len(frames):
                self.keepalive_received = True
        except ValueError as error:
            raise RemoteProtocolError(str(error)) from None

    def _begin_untrusted(self, frame: bytes) -> None:
        """Take in a frame of the handshake, or the header frame that follows it."""
        if self._noise is None:
            self._header_untrusted(frame)
            return
        self._noise.read_message_untrusted(frame)  # its size leaves no room for a payload
        del self._sizes[0]
        self._write_handshake(self._noise)

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
        self._receive = SecretStreamCipher(self.keys.receiving_key, frame[_ID_SIZE:])

    def _write_handshake(self, noise: NoiseHandshake) -> None:
        if noise.writing:
            self._write_plain(noise.write_message(b""))
        if noise.finished:
            self._noise = None
            sending_key, receiving_key = noise.split()
            self._start(Keys(sending_key, receiving_key, noise.handshake_hash, noise.remote_static))

    def _start(self, keys: Keys) -> None:
        self.keys = keys
        header = self._entropy(_HEADER_SIZE)
        self._transmit = SecretStreamCipher(keys.sending_key, header)
        self._write_plain(_stream_id(keys.handshake_hash, initiator=self._initiator) + header)

    def _write_plain(self, frame: bytes) -> None:
        self.output.append(len(frame).to_bytes(LENGTH_SIZE, "little") + frame)


def _stream_id(handshake_hash: bytes, *, initiator: bool) -> bytes:
    return _hash(_INITIATOR if initiator else _RESPONDER, key=handshake_hash)
