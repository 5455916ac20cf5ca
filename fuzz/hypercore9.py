"""Invariant: whatever a hypercore9 peer sends, `receive_data` never raises; once closed it is silent.

Run with `make fuzz` or `python fuzz/hypercore9.py [libFuzzer options] [corpus folder]`.
"""

from support import fuzz  # first: it instruments what is imported after it

from peersockets_core import Connection


def encrypt(peer: Connection, garbage: bytes) -> bytes:
    """The garbage as frames, whatever it looks like."""
    peer.outbox.append(garbage)
    return bytes(peer.data_to_send())


if __name__ == "__main__":
    fuzz("hypercore9", encrypt)
