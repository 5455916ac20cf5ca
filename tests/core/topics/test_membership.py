from __future__ import annotations

import math

import pytest

from core.support import KEY, NOW, Network, Node
from peersockets_core import DEFAULT_LIMITS, PeerGone, PeerJoined, PeerLeft, UnknownPeer

FOLD_TIME = DEFAULT_LIMITS.fold_time


class Meeting:
    """Two nodes with one drive, and our memberships in it."""

    def __init__(self) -> None:
        self.network = Network()
        self.ours, self.theirs = Node("ours"), Node("theirs")
        self.drive = self.ours.open()
        self.theirs.open()
        self.watch = self.ours.machine.watch(self.drive)
        self.near, _ = self.network.connect(self.ours, self.theirs)
        self.network.settle()
        self.memberships = self.ours.machine.memberships
        self.link = self.ours.machine.registry.links[self.near]
        (self.member,) = self.drive.members.values()

    def events(self) -> list[type]:
        return [type(self.watch.take()) for _ in range(len(self.watch))]


def test_a_member_is_reached_on_its_link() -> None:
    meeting = Meeting()
    topic = meeting.ours.machine.join(meeting.drive, "chat")
    assert meeting.member.link is meeting.link
    assert topic.reaches(meeting.member.peer_id)
    assert meeting.events() == [PeerJoined]
    assert meeting.memberships.next_deadline() == math.inf


def test_a_member_that_leaves_is_no_longer_found_but_still_known() -> None:
    meeting = Meeting()
    topic = meeting.ours.machine.join(meeting.drive, "chat")
    meeting.memberships.leave(meeting.drive, meeting.member)
    assert meeting.events() == [PeerJoined, PeerLeft]
    with pytest.raises(PeerGone):
        topic.send(meeting.member.peer_id, b"hello")
    with pytest.raises(UnknownPeer):
        topic.send(99, b"hello")
    assert meeting.ours.machine.peer(meeting.member.peer_id).memberships == 0


def test_a_membership_waits_for_another_connection_and_no_longer() -> None:
    meeting = Meeting()
    second, _ = meeting.network.connect(meeting.ours, meeting.theirs)
    meeting.network.settle()
    machine = meeting.ours.machine
    machine.registry.unshare(machine.registry.links[second], KEY.discovery_key)
    machine.remove_connection(meeting.near, NOW, reason="gone", unsent=3)
    assert meeting.memberships.replacing == {(meeting.drive, meeting.member)}
    assert meeting.memberships.next_deadline() == NOW + FOLD_TIME
    assert meeting.member.link is None
    meeting.memberships.postpone(NOW + 1)
    assert meeting.memberships.next_deadline() == NOW + 1 + FOLD_TIME
    meeting.memberships.handle_deadline(NOW + FOLD_TIME)
    assert meeting.events() == [PeerJoined]
    meeting.memberships.handle_deadline(NOW + 1 + FOLD_TIME)
    left = meeting.watch.take()
    assert isinstance(left, PeerLeft)
    assert (left.reason, left.unsent) == ("gone", 3)
    assert not meeting.memberships.replacing


def test_the_memberships_of_a_drive_end_with_it() -> None:
    meeting = Meeting()
    peer = meeting.member.peer
    meeting.ours.machine.close_drive(meeting.drive)
    assert meeting.memberships.drives == {}
    assert peer.memberships == 0
    assert KEY.discovery_key not in meeting.link.drives
