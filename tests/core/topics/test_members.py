from __future__ import annotations

from peersockets_core import PeerJoined
from peersockets_core.topics.members import KnownPeer, Member


def test_the_event_of_a_members_joining() -> None:
    peer = KnownPeer("hypercore9", bytes(32))
    assert Member(peer, 5, None).joined == PeerJoined(5, bytes(32), "hypercore9")
