from __future__ import annotations

import pytest

from core.udx.support import ALICE, BOB, Pair, packet
from peersockets_core import LocalProtocolError
from peersockets_core.udx import DataReceived, EarlyPacket
from peersockets_core.udx.packet import Flag


@pytest.mark.parametrize("local_id", [2, -1, 1 << 32])
def test_an_id_that_is_taken_or_none(local_id: int) -> None:
    endpoint = Pair().endpoints[BOB]
    with pytest.raises(LocalProtocolError):
        endpoint.open_stream(local_id, 0.0)


def test_what_comes_before_a_stream_is_connected_waits_for_it() -> None:
    pair = Pair(connect=False)
    endpoint = pair.endpoints[BOB]
    events = endpoint.receive_datagrams(packet(Flag.DATA, 0, 0, body=b"early"), 0, ALICE, 0.0)
    assert events == [EarlyPacket(pair.bob, ALICE)]
    endpoint.receive_datagrams(packet(Flag.DATA, 0, 0, to=9, body=b"earlier"), 0, ALICE, 0.0)
    pair.bob.connect(1, ALICE, 1.0)
    assert endpoint.next_deadline() <= 1.0
    assert endpoint.handle_deadline(1.0) == [DataReceived(pair.bob, bytearray(b"early"))]
    other = endpoint.open_stream(9, 1.0)
    other.connect(1, ALICE, 1.0)
    assert endpoint.handle_deadline(1.0) == [DataReceived(other, bytearray(b"earlier"))]
