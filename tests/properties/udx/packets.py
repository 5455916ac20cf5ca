"""UDX packets for tests, built from libudx's description and not with our codec."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import attrs

DATA, END, SACK, MESSAGE, DESTROY, HEARTBEAT = 1, 2, 4, 8, 16, 32
WINDOW = 4 << 20
MODULUS = 1 << 32

_HEADER = struct.Struct("<BBBBIIII")


@attrs.frozen
class Packet:
    """One packet. `to` is the id that its receiver chose."""

    to: int
    flags: int = 0
    window: int = WINDOW
    seq: int = 0
    ack: int = 0
    body: bytes = b""
    offset: int = 0
    """The number of bytes in the body before the payload."""
    magic: int = 0xFF
    version: int = 1

    def encode(self) -> bytes:
        numbers = (number % MODULUS for number in (self.to, self.window, self.seq, self.ack))
        return _HEADER.pack(self.magic, self.version, self.flags, self.offset, *numbers) + self.body

    @property
    def payload(self) -> bytes:
        return self.body[self.offset :] if not self.flags & SACK else b""

    @property
    def ranges(self) -> list[tuple[int, int]]:
        size = self.offset or len(self.body)
        return list(struct.iter_unpack("<II", self.body[:size])) if self.flags & SACK else []


def decode(data: bytes) -> Packet:
    magic, version, flags, offset, to, window, seq, ack = _HEADER.unpack_from(data)
    return Packet(to, flags, window, seq, ack, data[_HEADER.size :], offset, magic, version)


def sack(to: int, ack: int, *ranges: tuple[int, int], **fields: int) -> Packet:
    """Return a state packet with ranges of packets that have arrived above `ack`."""
    body = b"".join(struct.pack("<II", start % MODULUS, end % MODULUS) for start, end in ranges)
    return Packet(to, SACK, ack=ack, body=body, **fields)


def run(packets: Sequence[Packet]) -> tuple[bytes, int]:
    """Join packets of one size, and a last one that may be shorter, as one GRO read. Return the buffer and
    the size.
    """
    encoded = [packet.encode() for packet in packets]
    return b"".join(encoded), len(encoded[0])
