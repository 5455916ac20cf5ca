"""Invariant: a run of packets parses to the fields of each packet, and ranges and numbers survive encoding.

The first byte of an input chooses the function under test. This module reads the fields of packets with
`struct`.
"""

from __future__ import annotations

import contextlib
import struct
from typing import Final

from fuzz.support import Script, bounded_work
from peersockets_core import RemoteProtocolError
from peersockets_core.udx import packet

CALLS: Final = 50
CALLS_PER_BYTE: Final = 2


def _run(script: Script) -> None:
    """Check one read of the socket, with any size of its datagrams."""
    size = script.byte() | script.byte() << 8
    data = script.rest()
    columns = packet.parse_run_untrusted(data, size)
    rows = list(zip(*columns, strict=True))
    datagrams = [data[start : start + size] for start in range(0, len(data), size)]
    assert len(datagrams) - len(rows) in (0, 1)
    assert len(rows) == len(datagrams) or len(datagrams[-1]) < packet.HEADER_SIZE
    for row, datagram in zip(rows, datagrams, strict=False):
        assert row == struct.unpack_from("<5I", datagram)
        flags = packet.flags_untrusted(row[0])
        assert (flags is None) == (datagram[:2] != b"\xff\x01")
        if flags is not None:
            assert flags == datagram[2]
            assert packet.word(flags, datagram[3]) == row[0]
            assert packet.header(*row) == datagram[: packet.HEADER_SIZE]


def _ranges(script: Script) -> None:
    """Check the body of a packet that reports received packets."""
    offset, body = script.byte(), script.rest()
    ranges = packet.parse_ranges_untrusted(body, offset)
    assert len(ranges) <= 50  # the maximum of libudx
    encoded = packet.pack_ranges(ranges)
    assert body.startswith(encoded)
    if 0 < offset <= len(body):
        assert len(encoded) <= offset
    assert packet.parse_ranges_untrusted(encoded, 0) == ranges


def _headers(script: Script) -> None:
    """Check the headers of a run, which are made at once."""
    count = 1 + script.choose(64)
    fields = [int.from_bytes(script.take(4), "little") for _ in range(4)]
    stream_id, window, sequence, ack = fields
    made = bytes(packet.headers(count, stream_id, window, sequence, ack))
    single = [
        packet.header(packet.DATA_WORD, stream_id, window, sequence + index, ack) for index in range(count)
    ]
    assert made == b"".join(single)


def _numbers(script: Script) -> None:
    """Check that 32 bits stand for the nearest number that ends in them."""
    number = int.from_bytes(script.take(4), "little")
    near = int.from_bytes(script.take(6), "little")
    found = packet.unwrap(number, near)
    assert found & packet.MASK == number
    assert abs(found - near) <= 1 << 31


_TRIED: Final = (_run, _ranges, _headers, _numbers)


KEPT: Final = (bytes((1, 0)) + bytes(8 * 51), bytes((3, 1, 2, 3, 4)) + b"\xff" * 6)
"""An input with one range too many, and one with a number far beyond 32 bits."""


def run(data: bytes) -> None:
    """Play an input."""
    script = Script(data)
    tried = _TRIED[script.choose(len(_TRIED))]
    allowed = CALLS + CALLS_PER_BYTE * len(data) + 2 * packet.HEADER_SIZE * 64
    with bounded_work(lambda: allowed), contextlib.suppress(RemoteProtocolError):
        tried(script)
