from __future__ import annotations

from core.udx.support import ALICE
from peersockets_core.udx import UdxLimits
from peersockets_core.udx.early import EarlyPackets


def test_the_newest_packets_are_kept_within_bounds() -> None:
    early = EarlyPackets(UdxLimits(early_bytes=100, early_time=1.0))
    early.keep(1, memoryview(bytes(60)), 30, ALICE, 0.0)
    early.keep(2, memoryview(bytes(60)), 60, ALICE, 0.5)
    assert early.dropped == 2
    assert 1 not in early
    assert early.take(2) == [(bytes(60), 60, ALICE)]
    assert 2 not in early
    early.keep(3, memoryview(bytes(20)), 20, ALICE, 0.0)
    early.keep(4, memoryview(bytes(20)), 20, ALICE, 2.0)
    assert 3 not in early
    early.discard(4)
    assert early.take(4) == []
    early.keep(5, memoryview(bytes(200)), 20, ALICE, 2.0)
    assert early.dropped == 2 + 1 + 10
    assert 5 not in early
