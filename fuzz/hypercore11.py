"""Invariant: whatever a hypercore11 peer sends, `receive_data` never raises; once closed it is silent.

Run with `make fuzz` or `python fuzz/hypercore11.py [libFuzzer options] [corpus folder]`.
"""

from support import fuzz  # first: it instruments what is imported after it

from peersockets_core import Connection
from peersockets_core.hypercore11.wire import Hypercore11


def encrypt(peer: Connection, garbage: bytes) -> bytes:
    """The garbage as messages of protomux, each behind its length in one byte."""
    assert isinstance(peer._wire, Hypercore11)
    frames = []
    while garbage:
        size = garbage[0] + 1
        frames.append(peer._wire._stream.encrypt(garbage[1 : 1 + size]))
        garbage = garbage[1 + size :]
    return b"".join(frames)


if __name__ == "__main__":
    fuzz("hypercore11", encrypt)
