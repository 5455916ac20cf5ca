"""The time at which a peer is tried again, and its place among the others."""

from __future__ import annotations

import math

import pytest

from peersockets_core.errors import LocalProtocolError
from peersockets_core.swarm.peers import LASTING, PeerSignal, PeerState, SwarmPeer


def peer(*, proven: bool = False, attempts: int = 0) -> SwarmPeer:
    return SwarmPeer(b"k" * 32, state=PeerState.DIALLING, proven=proven, attempts=attempts)


def waits(proven: bool) -> list[float]:
    """Return the waits after each failure, without their random spread, until the swarm gives up."""
    tried = peer(proven=proven)
    times: list[float] = []
    while True:
        tried.failed(100.0, wanted=True, chance=0.5)
        if tried.state is not PeerState.WAITING:
            return times
        times.append(round((tried.retry_at - 100.0) / 0.99, 6))
        tried.signal(PeerSignal.DIAL)


def test_the_waits_of_the_reference() -> None:
    assert waits(proven=True) == [1, 5, 15]
    assert waits(proven=False) == [5, 15, 15]


def test_the_spread_of_a_wait() -> None:
    earliest, latest = peer(), peer()
    earliest.failed(0.0, wanted=True, chance=0.0)
    latest.failed(0.0, wanted=True, chance=1.0)
    assert earliest.retry_at == pytest.approx(3.3)
    assert latest.retry_at == pytest.approx(6.6)


def test_an_unwanted_peer_is_not_tried_again() -> None:
    tried = peer()
    tried.failed(0.0, wanted=False, chance=0.5)
    assert tried.state is PeerState.IDLE
    assert tried.retry_at == math.inf


def test_a_postponed_dial_is_no_attempt() -> None:
    tried = peer(attempts=2)
    for until in (120.0, 130.0):
        tried.postponed(until)
        assert tried.state is PeerState.WAITING
        assert tried.retry_at == until
        tried.signal(PeerSignal.DIAL)
    assert (tried.attempts, tried.postponements) == (2, 2)
    tried.found_again()
    assert tried.postponements == 0
    tried.postponed(120.0)
    tried.connected(200.0)
    assert tried.postponements == 0


def test_a_connection_that_lasted_resets_the_attempts() -> None:
    for lasted, attempts in ((LASTING, 1), (LASTING - 0.1, 4)):
        tried = peer(attempts=3)
        tried.connected(100.0)
        assert tried.proven
        tried.failed(100.0 + lasted, wanted=True, chance=0.5)
        assert tried.attempts == attempts


def test_a_peer_just_lost_comes_first() -> None:
    priorities = [peer(attempts=attempts).priority for attempts in range(6)]
    assert priorities == [2, 4, 3, 1, 0, 0]


def test_a_peer_that_is_found_again_has_a_new_chance() -> None:
    tried = peer(attempts=4, proven=True)
    tried.found_again()
    assert (tried.attempts, tried.proven) == (0, False)
    tried = peer(attempts=3, proven=True)
    tried.found_again()
    assert tried.attempts == 3


def test_an_idle_peer_cannot_wait() -> None:
    tried = SwarmPeer(b"k" * 32)
    with pytest.raises(LocalProtocolError, match="cannot wait: the peer is idle"):
        tried.signal(PeerSignal.WAIT)
    tried.signal(PeerSignal.GIVE_UP)
