"""The blind relay's end of a connection, for tests of the core: it reads PAIR messages, and answers on
demand.
"""

from __future__ import annotations

from core.dht.support import entropy
from peersockets_core.dht.blind_relay import PAIR, PROTOCOL, Pair, decode_pair_untrusted
from peersockets_core.limits import DEFAULT_LIMITS
from peersockets_core.outbox import Outbox
from peersockets_core.wires.hypercore11.protomux import Channel, Mux
from peersockets_core.wires.hypercore11.secret_stream import SecretStream
from peersockets_core.wires.keys import Keys


def relay_keys() -> tuple[Keys, Keys]:
    """Return the keys of both ends of a stream."""
    one, other, hash = b"1" * 32, b"2" * 32, b"h" * 64
    return Keys(one, other, hash, b"r" * 32), Keys(other, one, hash, b"c" * 32)


class BlindRelay:
    """The relay's end of one connection."""

    def __init__(self, keys: Keys, public_key: bytes, *, accepts: bool = True) -> None:
        self.pairs: list[Pair] = []
        self._stream = SecretStream(initiator=False, entropy=entropy("relay"), keys=keys)
        self._mux = Mux(limits=DEFAULT_LIMITS, outbox=Outbox(limit=1 << 20, reply_limit=1 << 20))
        self._channel: Channel | None = None
        if accepts:
            self._channel = self._mux.open(PROTOCOL, public_key, b"", self)

    def receive(self, data: bytes) -> None:
        """Receive bytes of the client."""
        messages: list[bytes] = []
        self._stream.receive_data_untrusted(data, messages)
        for message in messages:
            self._mux.receive_untrusted(message)

    def answer(self, pair: Pair) -> bytes:
        """Return the bytes of a PAIR message."""
        return self.say(PAIR, pair.encode())

    def say(self, kind: int, body: bytes) -> bytes:
        """Return the bytes that carry any message."""
        assert self._channel is not None
        self._mux.send(self._channel, kind, body)
        return self._take()

    def open(self, protocol: str) -> bytes:
        """Return the bytes that open another channel."""
        self._mux.open(protocol, b"", b"", self)
        return self._take()

    def refuse(self) -> bytes:
        """Return the bytes of a relay that rejects the channel."""
        return self._take()

    def close(self) -> bytes:
        """Return the bytes that close the channel."""
        assert self._channel is not None
        self._mux.close(self._channel)
        return self._take()

    def _take(self) -> bytes:
        plain, self._stream.output = b"".join(self._stream.output), []
        messages = self._mux.take_messages()
        return plain + (self._stream.encrypt_all(messages) if messages else b"")

    # The methods of `Handler`

    def opened_untrusted(self, handshake: bytes) -> None:
        assert handshake == b""

    def message_untrusted(self, message_type: int, data: bytes, start: int, end: int) -> None:
        assert message_type == PAIR
        self.pairs.append(decode_pair_untrusted(data[start:end]))

    def closed(self) -> None:
        self._channel = None
