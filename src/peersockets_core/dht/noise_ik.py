"""The handshake of HyperDHT: Noise IK over Ed25519. Its payloads carry the parameters of the stream's
connection.

Source: hyperdht 6.34.0, `lib/noise-wrap.js`.
"""

from __future__ import annotations

from typing import Final

from ..crypto.noise import DHKeyPair, Ed25519, NoiseHandshake
from ..errors import RemoteProtocolError
from ..keys import Entropy, KeyPair
from ..wires.keys import Keys
from .messages import HandshakePayload, HyperDhtCommand, decode_payload_untrusted
from .signing import namespace

_ED25519: Final = Ed25519()
_SEED_SIZE: Final = 32
_PROLOGUE: Final = namespace(HyperDhtCommand.PEER_HANDSHAKE)


class HandshakeNoise:
    """One side of a handshake."""

    def __init__(self, key_pair: KeyPair, entropy: Entropy, remote_public_key: bytes | None = None) -> None:
        """Begin; the dialler passes the key that it dials, and the other side passes None."""
        self._noise = NoiseHandshake(
            pattern="IK",
            initiator=remote_public_key is not None,
            dh=_ED25519,
            static=DHKeyPair(key_pair.ed25519_secret_key, key_pair.ed25519_public_key),
            ephemeral=_ED25519.generate(entropy(_SEED_SIZE)),
            prologue=_PROLOGUE,
            remote_static=remote_public_key or b"",
        )

    @property
    def remote_public_key(self) -> bytes:
        """The remote's 32-byte key, which is proved once one of its messages has been read."""
        return self._noise.remote_static

    def write(self, payload: HandshakePayload) -> bytes:
        """Return our next message."""
        return self._noise.write_message(payload.encode())

    def read_untrusted(self, message: bytes) -> HandshakePayload:
        """Read the remote's message; an invalid message leaves the state unchanged.

        Raises only `RemoteProtocolError`.
        """
        noise = self._noise.fork()
        payload = decode_payload_untrusted(noise.read_message_untrusted(message))
        self._noise = noise
        return payload

    def keys(self) -> Keys:
        """Return the keys of the stream. Raises `RemoteProtocolError` before both messages have passed."""
        if not self._noise.finished:
            raise RemoteProtocolError("handshake: not finished")
        sending, receiving = self._noise.split()
        return Keys(sending, receiving, self._noise.handshake_hash, self._noise.remote_static)
