from __future__ import annotations

import pytest

from peersockets_core import UnknownPeer, WireName
from peersockets_core.topics.members import KnownPeer
from peersockets_core.topics.peers import Peers

WIRE: WireName = "hypercore9"


def key(number: int) -> bytes:
    return bytes([number]) * 32


def met(peers: Peers, number: int, *, member: bool = False) -> KnownPeer:
    peer = peers.arrive(WIRE, key(number))
    assert peers.identify(peer) is not None
    peer.was_member = member
    return peer


def test_ids_count_from_one_and_stay() -> None:
    peers = Peers(limit=10)
    first, second = met(peers, 1), met(peers, 2)
    assert (first.id, second.id) == (1, 2)
    peers.depart(first)
    assert peers.arrive(WIRE, key(1)) is first
    assert peers.identify(first) == 1
    assert peers.by_id(2) is second
    assert list(peers) == [first, second]
    assert len(peers) == peers.identified == 2


def test_a_peer_without_an_id_is_not_remembered() -> None:
    peers = Peers(limit=10)
    peers.depart(peers.arrive(WIRE, key(1)))
    assert peers.get(WIRE, key(1)) is None
    assert len(peers) == peers.identified == 0


def test_an_id_that_was_never_given_is_unknown() -> None:
    with pytest.raises(UnknownPeer):
        Peers(limit=10).by_id(1)


def test_peers_that_never_were_members_are_forgotten_first_and_the_longest_gone_before_others() -> None:
    peers = Peers(limit=4)
    everybody = {number: met(peers, number, member=number in (1, 3)) for number in (1, 2, 3, 4)}
    for number in (1, 4, 3, 2):
        peers.depart(everybody[number])
    for newcomer, forgotten in ((5, 4), (6, 2), (7, 1), (8, 3)):
        assert met(peers, newcomer, member=True).id == newcomer
        assert peers.get(WIRE, key(forgotten)) is None
        with pytest.raises(UnknownPeer):
            peers.by_id(forgotten)
    assert peers.identified == 4


def test_a_present_peer_is_not_forgotten() -> None:
    peers = Peers(limit=2)
    back, here = met(peers, 1), met(peers, 2)
    peers.depart(back)
    peers.arrive(WIRE, key(1))
    assert peers.identify(peers.arrive(WIRE, key(3))) is None
    peers.depart(here)
    assert peers.identify(peers.arrive(WIRE, key(3))) == 3
    assert peers.by_id(1) is back


def test_a_forgotten_key_gets_another_id() -> None:
    peers = Peers(limit=1)
    peers.depart(met(peers, 1))
    peers.depart(met(peers, 2))
    assert met(peers, 1).id == 3
