from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peersockets_core import RemoteProtocolError
from peersockets_core.wires.hypercore9 import varint

# varint 5.0.2
VECTORS = [
    (0, "00"),
    (1, "01"),
    (127, "7f"),
    (128, "8001"),
    (255, "ff01"),
    (300, "ac02"),
    (16383, "ff7f"),
    (16384, "808001"),
    (2097151, "ffff7f"),
    (2097152, "80808001"),
    (4294967295, "ffffffff0f"),
    (4294967296, "8080808010"),
    (9007199254740991, "ffffffffffffff0f"),
]


@pytest.mark.parametrize(("number", "encoded"), VECTORS)
def test_numbers_are_encoded_like_the_reference(number: int, encoded: str) -> None:
    assert varint.encode(number).hex() == encoded


@pytest.mark.parametrize("behind", [b"", b"\0", b"\xff" * 9], ids=["nothing", "a zero", "another"])
@pytest.mark.parametrize(("number", "encoded"), VECTORS)
def test_numbers_of_the_reference_are_decoded(number: int, encoded: str, behind: bytes) -> None:
    data = bytes.fromhex(encoded)
    assert varint.decode_untrusted(b"\xff\xff" + data + behind, 2) == (number, 2 + len(data))


@pytest.mark.parametrize(("number", "encoded"), VECTORS)
def test_a_truncated_number_needs_more_bytes(number: int, encoded: str) -> None:
    data = bytes.fromhex(encoded)
    for size in range(len(data)):
        assert varint.decode_untrusted(data[:size], 0) is None


def test_eight_bytes_are_accepted_and_a_ninth_is_refused() -> None:
    assert varint.decode_untrusted(b"\xff" * 7 + b"\x7f", 0) == (2**56 - 1, 8)
    with pytest.raises(RemoteProtocolError, match="varint of more than 8 bytes"):
        varint.decode_untrusted(b"\xff" * 8, 0)


def test_a_number_may_be_longer_than_necessary() -> None:
    assert varint.decode_untrusted(b"\x81\x80\0", 0) == (1, 3)


@given(st.integers(0, 2**56 - 1), st.binary())
def test_round_trip(number: int, behind: bytes) -> None:
    encoded = varint.encode(number)
    assert varint.decode_untrusted(encoded + behind, 0) == (number, len(encoded))
