"""The handshake: Noise XX over X25519. A length precedes each message, and the cipher's nonce is its payload.

Source: simple-hypercore-protocol 2.1.2 (lib/handshake.js) and simple-handshake 3.0.0.
"""

from __future__ import annotations

from ...crypto.noise import X25519, DHKeyPair, NoiseHandshake
from ...errors import RemoteProtocolError
from ...keys import Entropy, KeyPair
from ...secret import Secret
from . import messages, varint

NONCE_SIZE = 24
_EPHEMERAL_SIZE = 32
_MAX_MESSAGE = 256
"""The largest message in bytes. A real peer's messages have 58, 122 and 90 bytes, so a larger one is not
worth keeping."""

_X25519 = X25519()


class Handshake:
    """One side of the handshake."""

    def __init__(self, *, initiator: bool, key_pair: KeyPair, entropy: Entropy) -> None:
        """Begin; draws 32 bytes of `entropy` for the ephemeral secret, then 24 for the nonce."""
        self._noise = NoiseHandshake(
            initiator=initiator,
            dh=_X25519,
            static=DHKeyPair(key_pair.x25519_secret_key, key_pair.x25519_public_key),
            ephemeral=_X25519.generate(entropy(_EPHEMERAL_SIZE)),
        )
        self.nonce = entropy(NONCE_SIZE)
        """The nonce of our sending stream."""
        self.remote_nonce = b""
        """The nonce of the remote's sending stream; the last non-empty payload counts."""
        self._payload = messages.encode(messages.NoisePayload(self.nonce))
        self._buffer = b""
        self.output: list[bytes] = []
        """The chunks to send, in order; the owner empties the list."""
        self._write()

    @property
    def finished(self) -> bool:
        """Whether all messages have passed, so that the keys are known."""
        return self._noise.finished

    @property
    def remote_public_key(self) -> bytes:
        """The 32-byte X25519 key that the remote proved."""
        return self._noise.remote_static

    @property
    def handshake_hash(self) -> bytes:
        """64 bytes that identify the connection, the same on both sides."""
        return self._noise.handshake_hash

    @property
    def kept(self) -> int:
        """Bytes of an incomplete message."""
        return len(self._buffer)

    def split(self) -> tuple[Secret, Secret]:
        """Return our sending and our receiving key, 32 bytes each."""
        return self._noise.split()

    def receive_data_untrusted(self, data: bytes) -> bytes:
        """Take in bytes of the stream; returns those that follow the handshake. Raises only
        `RemoteProtocolError`.
        """
        self._buffer += data
        while not self._noise.finished:
            decoded = varint.decode_untrusted(self._buffer, 0)
            if decoded is None:
                return b""
            size, start = decoded
            if size > _MAX_MESSAGE:
                raise RemoteProtocolError(
                    f"handshake: a message of {size} bytes; the remote does not speak hypercore9"
                )
            if len(self._buffer) - start < size:
                return b""
            message, self._buffer = self._buffer[start : start + size], self._buffer[start + size :]
            payload = self._noise.read_message_untrusted(message)
            if payload:
                self.remote_nonce = messages.decode_untrusted(messages.NoisePayload, payload).nonce
            self._write()
        if len(self.remote_nonce) != NONCE_SIZE:
            raise RemoteProtocolError(f"handshake: a nonce of {len(self.remote_nonce)} bytes")
        return self._buffer

    def _write(self) -> None:
        if self._noise.writing:
            message = self._noise.write_message(self._payload)
            self.output.append(varint.encode(len(message)) + message)
