"""Invariant: whatever a hypercore11 peer encrypts and sends, `Connection` never raises and keeps its bounds.

The first byte of an input chooses the role; the rest is a script (`fuzz.connections`), in which each output
of the remote is a message of protomux, in a valid frame.
"""

from __future__ import annotations

from fuzz.connections import Observer, connection, play
from fuzz.support import Script, fixed_entropy
from peersockets_core import Connection, DriveKey, KeyPair
from peersockets_core.wires.hypercore11 import alpha
from peersockets_core.wires.hypercore11.encoding import encode_buffer, encode_uint
from peersockets_core.wires.hypercore11.secret_stream import SecretStream
from peersockets_core.wires.keys import Keys


class Remote:
    def __init__(self, ours: Connection, observer: Observer) -> None:
        self._initiator = not ours.initiator
        self._stream = SecretStream(
            initiator=self._initiator, key_pair=KeyPair.from_seed(bytes(32)), entropy=fixed_entropy(0)
        )
        while ours.remote_public_key is None or self._stream.output:
            observer.see(ours.receive_data(b"".join(self._stream.output), 0.0))
            self._stream.output.clear()
            self._stream.receive_data_untrusted(bytes(ours.data_to_send()), [])
        assert self._stream.keys is not None
        self._keys: Keys = self._stream.keys

    def encrypt(self, plain: bytes) -> bytes:
        return self._stream.encrypt(plain)

    def offer(self, key: DriveKey, number: int) -> bytes:
        proof = alpha.capability(self._keys, key.public_key, initiator=self._initiator)
        names = encode_buffer(alpha.PROTOCOL.encode()) + encode_buffer(key.discovery_key)
        return b"\0\x01" + encode_uint(number) + names + b"\0" + proof


def run(data: bytes) -> None:
    """Play an input."""
    script = Script(data)
    ours = connection("hypercore11", initiator=bool(script.byte() & 1))
    observer = Observer(ours)
    play(ours, Remote(ours, observer), observer, script)
