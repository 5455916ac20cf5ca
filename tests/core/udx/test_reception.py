from __future__ import annotations

from core.udx.support import ALICE, BOB, Pair, packet
from peersockets_core.udx import AddressChanged, DataReceived
from peersockets_core.udx.packet import Flag


def test_what_cannot_be_of_the_remote_changes_nothing() -> None:
    pair = Pair()
    endpoint = pair.endpoints[BOB]
    for data in (
        packet(Flag.DATA, 0, 1, body=b"acknowledges what was not sent"),
        packet(Flag.DATA, 1 << 20, 0, body=b"far away"),
        packet(Flag.DESTROY, 0, 7),
        b"\xff\x02" + packet(Flag.DATA, 0, 0, body=b"another version")[2:],
    ):
        assert endpoint.receive_datagrams(data, 0, ("203.0.113.9", 9), 0.0) == []
    assert list(endpoint.datagrams_to_send(0.0)) == []
    assert endpoint.statistics().refused == 4


def test_an_address_that_changes_is_reported_once() -> None:
    pair = Pair()
    endpoint, elsewhere = pair.endpoints[BOB], ("203.0.113.9", 9)
    events = endpoint.receive_datagrams(packet(Flag.DATA, 0, 0, body=b"a"), 0, elsewhere, 0.0)
    assert events == [DataReceived(pair.bob, bytearray(b"a")), AddressChanged(pair.bob, elsewhere)]
    assert len(endpoint.receive_datagrams(packet(Flag.DATA, 1, 0, body=b"b"), 0, elsewhere, 0.0)) == 1
    assert pair.bob.remote_address == ALICE
