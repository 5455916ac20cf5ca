"""Invariant: whatever a hypercore9 peer sends, `receive_data` never raises; once closed it is silent.

The first byte of the input chooses how far the peer behaves: it sends garbage from the start, or finishes a
proper handshake and sends garbage frames properly encrypted. The second chooses how the bytes are cut.

Run with `make fuzz` or `python fuzz/hypercore9.py [libFuzzer options] [corpus folder]`.
"""

import sys

import atheris

with atheris.instrument_imports(include=["peersockets_core"]):
    from peersockets_core import Connection, ConnectionClosed, DriveKey, Event, KeyPair

KEY = DriveKey(bytes(32))


def connection(*, initiator: bool) -> Connection:
    made = Connection(
        wire="hypercore9",
        initiator=initiator,
        key_pair=KeyPair.from_seed(bytes([initiator] * 32)),
        entropy=lambda size: bytes([initiator + 1] * size),
        now=0.0,
    )
    made.open_drive(KEY)
    made.extensions.register("topic")
    return made


def handshake(ours: Connection, theirs: Connection) -> None:
    while ours.remote_public_key is None or theirs.remote_public_key is None:
        theirs.receive_data(bytes(ours.data_to_send()), 0.0)
        ours.receive_data(bytes(theirs.data_to_send()), 0.0)


def run(data: bytes) -> None:
    """Feed one input."""
    if len(data) < 2:
        return
    ours, theirs = connection(initiator=bool(data[0] & 1)), connection(initiator=not data[0] & 1)
    payload = data[2:]
    if data[0] & 2:
        handshake(ours, theirs)
        theirs.outbox.append(payload)
        payload = bytes(theirs.data_to_send())
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


if __name__ == "__main__":
    atheris.Setup(sys.argv, run)
    atheris.Fuzz()
