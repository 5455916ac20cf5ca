from __future__ import annotations

import pytest

from peersockets_core import RemoteProtocolError
from peersockets_core.udx.packet import (
    DATA_WORD,
    Flag,
    flags_untrusted,
    header,
    headers,
    pack_ranges,
    parse_ranges_untrusted,
    parse_run_untrusted,
    unwrap,
    word,
)


def test_a_header() -> None:
    packed = header(word(Flag.DATA | Flag.END, 7), 0x01020304, 5, 6, 7)
    assert packed.hex() == "ff01030704030201050000000600000007000000"


def test_headers_of_a_run() -> None:
    run = bytes(headers(3, 9, 100, 0xFFFFFFFE, 5))
    expected = b"".join(header(DATA_WORD, 9, 100, number, 5) for number in (0xFFFFFFFE, 0xFFFFFFFF, 0))
    assert run == expected
    assert bytes(headers(2, 9, 100, 3, 5)) == header(DATA_WORD, 9, 100, 3, 5) + header(
        DATA_WORD, 9, 100, 4, 5
    )


@pytest.mark.parametrize(("rest", "expected"), [(b"", 2), (b"x" * 19, 2), (header(DATA_WORD, 1, 2, 3, 4), 3)])
def test_a_whole_run_is_read(rest: bytes, expected: int) -> None:
    one = header(DATA_WORD, 1, 2, 3, 4) + b"abcd"
    columns = parse_run_untrusted(one * 2 + rest, len(one))
    assert columns.words == (DATA_WORD,) * expected
    assert (columns.ids[0], columns.windows[0], columns.sequences[0], columns.acks[0]) == (1, 2, 3, 4)


@pytest.mark.parametrize(("data", "size"), [(b"", 0), (b"x" * 19, 19), (b"x" * 40, 19), (b"x" * 19, 20)])
def test_packets_that_are_too_short_are_refused(data: bytes, size: int) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_run_untrusted(data, size)


def test_flags() -> None:
    assert flags_untrusted(word(Flag.SACK, 9)) == Flag.SACK
    assert flags_untrusted(0x01FE) is None
    assert flags_untrusted(0x02FF) is None


def test_ranges() -> None:
    ranges = [(3, 5), (0xFFFFFFFF, 0)]
    body = pack_ranges(ranges)
    assert parse_ranges_untrusted(body, 0) == ranges
    assert parse_ranges_untrusted(body + b"xyz", 0) == ranges
    assert parse_ranges_untrusted(body + b"payload", 16) == ranges
    assert parse_ranges_untrusted(body, 8) == ranges[:1]
    assert parse_ranges_untrusted(b"", 0) == []
    assert len(parse_ranges_untrusted(bytes(1000), 0)) == 50


@pytest.mark.parametrize("near", [0, 5, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, (1 << 40) + 3])
@pytest.mark.parametrize("away", [0, 1, -1, 1000, -1000, 0x7FFFFFFF, -0x80000000])
def test_wrapped_numbers_are_extended(near: int, away: int) -> None:
    assert unwrap((near + away) & 0xFFFFFFFF, near) == near + away


def test_on_a_machine_of_the_other_byte_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.byteorder", "big")
    assert int.from_bytes(bytes(headers(1, 9, 100, 1, 5))[12:16], "big") == 1
