from __future__ import annotations

import pytest

from core.support import NOW, RecordingDriver, entropy, key_pair
from peersockets_core import Connection, KeyPair, PeerJoined, WireName
from peersockets_core.members import Link, Member, Peer


def link(wire: WireName, ours: KeyPair, theirs: KeyPair, *, dialled: bool) -> Link:
    connection = Connection(wire=wire, initiator=dialled, key_pair=ours, entropy=entropy("x"), now=NOW)
    return Link(connection, Peer(wire, theirs.public_keys[wire]), RecordingDriver())


def by_key(wire: WireName) -> tuple[KeyPair, KeyPair]:
    """Two identities, that with the smaller key first."""
    one, two = key_pair("one"), key_pair("two")
    return (one, two) if one.public_keys[wire] < two.public_keys[wire] else (two, one)


# hyperswarm 2.15.3 keeps what the smaller key dialled, hyperswarm 4.17.2 what the larger did.
@pytest.mark.parametrize(("wire", "survivor"), [("hypercore9", 0), ("hypercore11", 1)])
@pytest.mark.parametrize("here", [0, 1], ids=["our key is smaller", "our key is larger"])
@pytest.mark.parametrize("dialled", [False, True], ids=["the newer was answered", "the newer was dialled"])
def test_of_two_connections_both_sides_keep_the_same(
    wire: WireName, survivor: int, here: int, dialled: bool
) -> None:
    keys = by_key(wire)
    newer = link(wire, keys[here], keys[1 - here], dialled=dialled)
    older = link(wire, keys[here], keys[1 - here], dialled=not dialled)
    dialler_of_newer = here if dialled else 1 - here
    assert newer.survives(older) == (dialler_of_newer == survivor)


@pytest.mark.parametrize("wire", ["hypercore9", "hypercore11"])
@pytest.mark.parametrize("here", [0, 1])
@pytest.mark.parametrize("dialled", [False, True])
def test_of_two_that_one_side_dialled_the_newer_stays(wire: WireName, here: int, dialled: bool) -> None:
    """But not where we dialled both on hypercore9, and ours is the larger key."""
    keys = by_key(wire)
    newer, older = (link(wire, keys[here], keys[1 - here], dialled=dialled) for _ in range(2))
    assert newer.survives(older) == (not (dialled and here == 1) or wire == "hypercore11")


def test_the_event_of_a_members_joining() -> None:
    peer = Peer("hypercore9", bytes(32))
    assert Member(peer, 5, None).joined == PeerJoined(5, bytes(32), "hypercore9")
