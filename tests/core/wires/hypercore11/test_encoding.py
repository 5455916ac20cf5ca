from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peersockets_core import RemoteProtocolError
from peersockets_core.wires.hypercore11.encoding import (
    decode_buffer_untrusted,
    decode_string_untrusted,
    decode_uint_untrusted,
    encode_buffer,
    encode_uint,
)

# compact-encoding 3.5.2, `uint`
NUMBERS = {
    0: "00",
    1: "01",
    252: "fc",
    253: "fdfd00",
    254: "fdfe00",
    255: "fdff00",
    256: "fd0001",
    65535: "fdffff",
    65536: "fe00000100",
    2**32 - 1: "feffffffff",
    2**32: "ff0000000001000000",
    2**53 - 1: "ffffffffffffff1f00",
}


@pytest.mark.parametrize(("number", "encoded"), NUMBERS.items())
def test_numbers_match_the_reference(number: int, encoded: str) -> None:
    data = bytes.fromhex(encoded)
    assert encode_uint(number) == data
    assert decode_uint_untrusted(data, 0, len(data)) == (number, len(data))
    assert decode_uint_untrusted(b"\xff" + data + b"\xff", 1, len(data) + 2) == (number, len(data) + 1)
    for end in range(len(data)):
        with pytest.raises(RemoteProtocolError, match="ends within a number"):
            decode_uint_untrusted(data, 0, end)


def test_a_number_of_64_bits_and_one_more() -> None:
    assert encode_uint(2**64 - 1) == b"\xff" * 9
    with pytest.raises(ValueError, match="does not fit into 64 bits"):
        encode_uint(2**64)


def test_a_number_may_be_longer_than_necessary() -> None:
    assert decode_uint_untrusted(bytes.fromhex("ff0100000000000000"), 0, 9) == (1, 9)


# compact-encoding 3.5.2, `buffer` and `string`
@pytest.mark.parametrize(
    ("data", "encoded"),
    [
        (b"", "00"),
        (b"abc", "03616263"),
        (bytes(253), "fdfd00" + "00" * 253),
        ("é".encode(), "02c3a9"),
        (b"hypercore/alpha", "0f6879706572636f72652f616c706861"),
    ],
)
def test_buffers_and_strings_match_the_reference(data: bytes, encoded: str) -> None:
    whole = bytes.fromhex(encoded)
    assert encode_buffer(data) == whole
    assert decode_buffer_untrusted(whole, 0, len(whole)) == (data, len(whole))
    assert decode_string_untrusted(b"x" + whole + b"y", 1, len(whole) + 2) == (data.decode(), len(whole) + 1)
    for end in range(len(whole)):
        with pytest.raises(RemoteProtocolError, match="ends within"):
            decode_buffer_untrusted(whole, 0, end)
        with pytest.raises(RemoteProtocolError, match="ends within"):
            decode_string_untrusted(whole, 0, end)


def test_a_buffer_of_an_impossible_size() -> None:
    with pytest.raises(RemoteProtocolError, match="ends within a buffer"):
        decode_buffer_untrusted(b"\xff" * 9, 0, 9)


@pytest.mark.parametrize("encoded", [b"\x01\xff", b"\x01\xc3", b"\x03\xed\xa0\x80", b"\x02\xc0\x80"])
def test_strings_that_are_not_utf_8(encoded: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="not UTF-8"):
        decode_string_untrusted(encoded, 0, len(encoded))


@given(st.integers(0, 2**64 - 1), st.binary(max_size=300))
def test_encoded_values_decode_again(number: int, data: bytes) -> None:
    whole = encode_uint(number) + encode_buffer(data)
    decoded, position = decode_uint_untrusted(whole, 0, len(whole))
    assert decoded == number
    assert decode_buffer_untrusted(whole, position, len(whole)) == (data, len(whole))


@given(st.binary(max_size=40))
def test_any_bytes_decode_or_are_the_remotes_fault(data: bytes) -> None:
    for decode in (decode_uint_untrusted, decode_buffer_untrusted, decode_string_untrusted):
        try:
            _, position = decode(data, 0, len(data))
        except RemoteProtocolError:
            continue
        assert 0 < position <= len(data)
