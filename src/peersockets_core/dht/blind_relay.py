"""`BlindRelayClient`: asks a blind relay, over an encrypted stream, to forward one UDX stream to a peer's.

Source: blind-relay 1.6.1, `index.js` (`BlindRelayClient`).
"""

from __future__ import annotations

from typing import Final

import attrs

from ..errors import RemoteProtocolError
from ..keys import Entropy
from ..limits import Limits
from ..outbox import Outbox
from ..wires.hypercore11.encoding import encode_uint
from ..wires.hypercore11.protomux import Mux
from ..wires.hypercore11.secret_stream import SecretStream
from ..wires.keys import Keys
from .limits import HyperDhtLimits
from .rpc.reader import Reader

PROTOCOL: Final = "blind-relay"
"""The name of the protocol on protomux. The channel's id is the client's public key."""

PAIR: Final = 0
PAIRING_TOKEN_SIZE: Final = 32
_INITIATOR: Final = 1
_LARGEST_ID: Final = 0xFFFF_FFFF


@attrs.frozen
class Pair:
    """The message PAIR. Each side sends its own to the relay, and receives one once both are there."""

    initiator: bool
    """Whether the side that receives or sends it has chosen the token."""
    token: bytes
    stream_id: int
    """The sender's stream: that of the client, or the relay's own that leads to the client."""

    def encode(self) -> bytes:
        """Return the encoded bytes."""
        return bytes((self.initiator,)) + self.token + encode_uint(self.stream_id) + encode_uint(0)


def decode_pair_untrusted(data: bytes) -> Pair:
    """Read a PAIR. Raises only `RemoteProtocolError`."""
    reader = Reader(data)
    flags = reader.fixed_untrusted(1)[0]
    pair = Pair(bool(flags & _INITIATOR), reader.fixed_untrusted(PAIRING_TOKEN_SIZE), reader.uint_untrusted())
    reader.uint_untrusted()  # the first sequence number, which the reference ignores as well
    if pair.stream_id > _LARGEST_ID:
        raise RemoteProtocolError("the blind relay names a stream whose id has more than 32 bits")
    return pair


class BlindRelayClient:
    """Our end of the connection to a blind relay."""

    def __init__(
        self,
        keys: Keys,
        public_key: bytes,
        pair: Pair,
        *,
        entropy: Entropy,
        limits: HyperDhtLimits,
    ) -> None:
        """Ask for a pairing. `keys` are those of the stream to the relay, and `public_key` is ours."""
        frame = limits.relay_frame
        bounds = Limits(channels=limits.relay_channels, early_messages=frame, replies=16 * frame)
        outbox = Outbox(limit=frame, reply_limit=bounds.replies)
        self.remote_id: int | None = None
        """The relay's stream that leads to the peer's, once the two are paired."""
        self._pair = pair
        self._closed = False
        self._stream = SecretStream(initiator=True, entropy=entropy, keys=keys, max_frame=frame)
        self._mux = Mux(limits=bounds, outbox=outbox)
        self._mux.send(self._mux.open(PROTOCOL, public_key, b"", self), PAIR, pair.encode())

    def receive_data_untrusted(self, data: bytes) -> None:
        """Take in bytes from the relay. Raises only `RemoteProtocolError`, also once the relay has closed the
        channel.
        """
        messages: list[bytes] = []
        self._stream.receive_data_untrusted(data, messages)
        for message in messages:
            self._mux.receive_untrusted(message)
        if self._closed:
            raise RemoteProtocolError("the blind relay has refused or ended the pairing")

    def data_to_send(self) -> bytes:
        """Return the bytes to send to the relay."""
        stream = self._stream
        plain, stream.output = b"".join(stream.output), []
        messages = self._mux.take_messages()
        return plain + stream.encrypt_all(messages) if messages else plain

    # The methods of `Handler`

    def opened_untrusted(self, handshake: bytes) -> None:
        """Do nothing: the PAIR is already on its way."""

    def message_untrusted(self, message_type: int, data: bytes, start: int, end: int) -> None:
        """Take in the relay's PAIR. Others, such as those of another token, mean nothing to us."""
        if message_type != PAIR:
            return
        answer = decode_pair_untrusted(data[start:end])
        ours = (answer.initiator, answer.token) == (self._pair.initiator, self._pair.token)
        if ours and self.remote_id is None:
            self.remote_id = answer.stream_id

    def closed(self) -> None:
        """Note that the relay has rejected or closed the channel."""
        self._closed = True
