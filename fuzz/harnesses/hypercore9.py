"""Invariant: whatever a hypercore9 peer encrypts and sends, `Connection` never raises and keeps its bounds.

The first byte of an input chooses the role; the rest is a script (`fuzz.connections`).
"""

from __future__ import annotations

from typing import Final

from fuzz.connections import Observer, connection, play
from fuzz.support import Script, fixed_entropy
from peersockets_core import Connection, DriveKey, KeyPair
from peersockets_core.crypto.sodium import XSalsa20
from peersockets_core.wires.hypercore9 import frames, messages
from peersockets_core.wires.hypercore9.channels import capability
from peersockets_core.wires.hypercore9.handshake import Handshake

_OPEN: Final = frames.encode(5, 0, messages.encode(messages.Open(b"unknown!")))

KEPT: Final = [bytes((role, 0)) + (len(_OPEN) * 60).to_bytes(2, "little") + _OPEN * 60 for role in (0, 1)]
"""Opens of a drive that is not open here, in one read: more than the number of refusals that may wait."""


class Remote:
    def __init__(self, ours: Connection, observer: Observer) -> None:
        shake = Handshake(
            initiator=not ours.initiator, key_pair=KeyPair.from_seed(bytes(32)), entropy=fixed_entropy(0)
        )
        while True:
            shake.receive_data_untrusted(bytes(ours.data_to_send()))
            data = b"".join(shake.output)
            shake.output.clear()
            if shake.finished:
                break
            observer.see(ours.receive_data(data, 0.0))
        self._sending_key, self._receiving_key = shake.split()
        self._transmit = XSalsa20(self._sending_key, shake.nonce)
        observer.see(ours.receive_data(data, 0.0))

    def encrypt(self, plain: bytes) -> bytes:
        return bytes(self._transmit.apply(plain))

    def offer(self, key: DriveKey, number: int) -> bytes:
        proof = capability(key, self._sending_key, self._receiving_key)
        return frames.encode(number, 0, messages.encode(messages.Open(key.discovery_key, proof)))


def run(data: bytes) -> None:
    """Play an input."""
    script = Script(data)
    ours = connection("hypercore9", initiator=bool(script.byte() & 1))
    observer = Observer(ours)
    play(ours, Remote(ours, observer), observer, script)
