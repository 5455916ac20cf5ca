"""The ways of a dial, and their states. `test_dialing.py` and `test_relaying.py` take each way."""

from __future__ import annotations

import pytest

from peersockets_core import LocalProtocolError
from peersockets_core.dht.ways import TRANSITIONS, Way, Ways, WaySignal, WayState


def test_a_way_that_failed_stays_so() -> None:
    ways = Ways()
    ways.signal(Way.RELAY, WaySignal.TRY)
    assert ways.pending
    ways.fail(Way.RELAY, "no relay")
    with pytest.raises(LocalProtocolError, match="cannot try: the way is failed"):
        ways.signal(Way.RELAY, WaySignal.TRY)
    assert not ways.pending


def test_the_reasons_come_in_the_order_of_the_ways() -> None:
    ways = Ways()
    for way, reason in ((Way.RELAY, "no relay"), (Way.LOCAL, ""), (Way.PUNCH, "no punch")):
        ways.signal(way, WaySignal.TRY)
        ways.fail(way, reason)
    assert ways.reasons == "no punch; no relay"


def test_every_state_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(WayState)
