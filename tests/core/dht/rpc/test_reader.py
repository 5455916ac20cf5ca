"""Reading the fields of a datagram one after the other."""

from __future__ import annotations

import pytest

from peersockets_core import RemoteProtocolError
from peersockets_core.dht.rpc.reader import Reader


def test_fields_in_a_row() -> None:
    reader = Reader(b"x\x05\xfd\x00\x01ab\x02cd\x01\x02\x03\x04\x05\x06", 1)
    assert reader.uint_untrusted() == 5
    assert reader.uint_untrusted() == 256
    assert reader.fixed_untrusted(2) == b"ab"
    assert reader.buffer_untrusted() == b"cd"
    assert reader.left == 6
    assert reader.address_untrusted() == ("1.2.3.4", 0x0605)
    assert reader.left == 0


def test_a_list_of_addresses() -> None:
    reader = Reader(b"\x03" + bytes(range(18)) + b"z")
    assert reader.addresses_untrusted(2) == (("0.1.2.3", 0x0504), ("6.7.8.9", 0x0B0A))
    assert reader.fixed_untrusted(1) == b"z"


@pytest.mark.parametrize("data", [b"\x03" + bytes(17), b"\xff" + b"\xff" * 8, b""])
def test_a_list_that_is_cut_short_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        Reader(data).addresses_untrusted(20)
