"""Packets of UDX on the wire: a header of twenty bytes, ranges of received packets, padding, payload.

A run is the content of one system call: packets of one size back to back, of which only the last may
be shorter. Source of the format: libudx a9af5de, `udx_write_header` and `process_packet` in src/udx.c.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from ..buffer import Buffer
from ..errors import RemoteProtocolError

HEADER_SIZE: Final = 20
MASK: Final = 0xFFFFFFFF
"""Stream ids, windows and packet numbers have 32 bits."""

MAX_RANGES: Final = 50
"""The most ranges in one packet (UDX_MAX_SACKS in libudx)."""

MAX_PADDING: Final = 255
"""The most bytes of padding: the data offset is one byte."""

_VERSION_1: Final = 0x01FF  # the magic byte and the version, as they stand in the header's first word


class Flag:
    """The content of a packet. A packet without a flag only carries the state of its sender.

    These are plain numbers because every packet is tested for them, and an `enum.IntFlag` is ten times as
    slow.
    """

    DATA: Final = 1
    END: Final = 2
    SACK: Final = 4
    MESSAGE: Final = 8
    DESTROY: Final = 16
    HEARTBEAT: Final = 32


class Columns(NamedTuple):
    """The headers of a run, field by field, a value for each packet."""

    words: tuple[int, ...]
    """Magic byte, version, flags and data offset as one number, as `word` makes it."""
    ids: tuple[int, ...]
    """The receiver's stream id."""
    windows: tuple[int, ...]
    """The number of bytes that the sender of the packet can receive."""
    sequences: tuple[int, ...]
    """The packet's number."""
    acks: tuple[int, ...]
    """The number of the packet that the sender expects next."""


Fields: TypeAlias = tuple[int, int, int, int, int]
"""The header of one packet: the values of `Columns`."""


def word(flags: int, offset: int = 0) -> int:
    """Return the first word of a header."""
    return _VERSION_1 | flags << 16 | offset << 24


DATA_WORD: Final = word(Flag.DATA)
STATE_WORD: Final = word(0)

_header = Struct("<5I")


@lru_cache(maxsize=256)  # bounded, because strangers choose the sizes
def _row(segment_size: int) -> Struct:
    return Struct(f"<5I{segment_size - HEADER_SIZE}x")


def parse_run_untrusted(buffer: Buffer, segment_size: int) -> Columns:
    """Return the headers of a run. A last packet that is too short for a header is left out.

    Raises only `RemoteProtocolError`.
    """
    if segment_size < HEADER_SIZE:
        raise RemoteProtocolError(f"udx: {segment_size} bytes are too few for a header")
    if len(buffer) == segment_size:
        first, stream_id, window, sequence, ack = _header.unpack_from(buffer)
        return Columns((first,), (stream_id,), (window,), (sequence,), (ack,))
    count, rest = divmod(len(buffer), segment_size)
    whole = count * segment_size
    rows = list(_row(segment_size).iter_unpack(memoryview(buffer)[:whole]))
    if rest >= HEADER_SIZE:
        rows.append(_header.unpack_from(buffer, whole))
    if not rows:
        raise RemoteProtocolError(f"udx: {len(buffer)} bytes are too few for a header")
    return Columns(*zip(*rows, strict=True))


def parse_header_untrusted(packet: Buffer) -> Fields | None:
    """Return the header of a packet, or None if the packet is too short. Raises nothing."""
    return _header.unpack_from(packet) if len(packet) >= HEADER_SIZE else None


def flags_untrusted(first_word: int) -> int | None:
    """Return the flags in the first word of a header, or None if it is not a header of UDX version 1."""
    return (first_word >> 16) & 0xFF if first_word & 0xFFFF == _VERSION_1 else None


def parse_ranges_untrusted(body: Buffer, offset: int) -> list[tuple[int, int]]:
    """Return the ranges in the body of a packet with `Flag.SACK`, each as (first number, number after the
    last).

    The ranges take up the bytes before the data offset, or the whole body if there is no offset.
    """
    size = offset if 0 < offset < len(body) else len(body)
    count = min(size // 8, MAX_RANGES)
    numbers = Struct(f"<{2 * count}I").unpack_from(body)
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def header(first_word: int, stream_id: int, window: int, sequence: int, ack: int) -> bytes:
    """Return one header."""
    return _header.pack(first_word, stream_id, window, sequence & MASK, ack & MASK)


def headers(count: int, stream_id: int, window: int, sequence: int, ack: int) -> memoryview:
    """Return the headers of `count` consecutive data packets, numbered from `sequence`.

    They share one buffer, so that no Python code runs for each packet.
    """
    first = _header.pack(DATA_WORD, stream_id, window, 0, ack & MASK)
    rows = memoryview(bytearray(first * count))
    sequence &= MASK
    if sequence + count <= MASK:
        numbers = array("I", range(sequence, sequence + count))
    else:
        numbers = array("I", [(sequence + index) & MASK for index in range(count)])
    if sys.byteorder == "big":
        numbers.byteswap()
    rows.cast("I")[3::5] = memoryview(numbers)
    return rows


def pack_ranges(ranges: Sequence[tuple[int, int]]) -> bytes:
    """Return the body of a packet with `Flag.SACK`."""
    return Struct(f"<{2 * len(ranges)}I").pack(*[number & MASK for both in ranges for number in both])


def unwrap(number: int, near: int) -> int:
    """Return the number closest to `near` whose last 32 bits are `number`."""
    return near + ((number - near + 0x80000000) & MASK) - 0x80000000
