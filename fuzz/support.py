"""What the harnesses of both wires share: a connection of ours, and a peer that misbehaves to order.

The first byte of an input chooses how far the peer behaves: it sends garbage from the start, or finishes a
proper handshake and sends garbage properly encrypted. The second chooses how the bytes are cut.
"""

import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["peersockets_core"]):
    from peersockets_core import Connection, ConnectionClosed, DriveKey, Event, KeyPair, WireName

KEY = DriveKey(bytes(32))


def connection(wire: WireName, *, initiator: bool) -> Connection:
    made = Connection(
        wire=wire,
        initiator=initiator,
        key_pair=KeyPair.from_seed(bytes([initiator] * 32)),
        entropy=lambda size: bytes([initiator + 1] * size),
        now=0.0,
    )
    made.open_drive(KEY)
    made.extensions.register("topic")
    return made


def exchange(ours: Connection, theirs: Connection) -> None:
    """Pass everything queued to and fro until both are silent."""
    while ours.has_output or theirs.has_output:
        theirs.receive_data(bytes(ours.data_to_send()), 0.0)
        ours.receive_data(bytes(theirs.data_to_send()), 0.0)


def fuzz(wire: WireName, encrypt: Callable[[Connection, bytes], bytes]) -> None:
    """Fuzz our connection; `encrypt` wraps garbage as the peer's next bytes after the handshake."""

    def run(data: bytes) -> None:
        if len(data) < 2:
            return
        initiator = bool(data[0] & 1)
        ours, theirs = connection(wire, initiator=initiator), connection(wire, initiator=not initiator)
        payload = data[2:]
        if data[0] & 2:
            exchange(ours, theirs)
            payload = encrypt(theirs, payload)
        size = data[1] + 1
        events: list[Event] = []
        for start in range(0, len(payload), size):
            events += ours.receive_data(payload[start : start + size], 0.0)
            ours.data_to_send()
        closed = [isinstance(event, ConnectionClosed) for event in events]
        assert ours.closed == any(closed)
        assert not any(closed[:-1])
        if ours.closed:
            assert ours.error is not None
            assert not ours.data_to_send()

    atheris.Setup(sys.argv, run)
    atheris.Fuzz()
