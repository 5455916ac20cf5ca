"""`peersockets_core.topics.machine`: two connections of one peer, and replacements."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeAlias

import pytest

from core.support import (
    NOW,
    Network,
    Node,
    RawPeer,
    key_pair,
)
from core.topics.support import FOLD_TIME, events, received
from peersockets_core import (
    Connection,
    KeyPair,
    PeerGone,
    PeerJoined,
    PeerLeft,
    TopicHandle,
    TopicScope,
    Watch,
)

Sides: TypeAlias = tuple[Connection, Connection]


class Duplicates:
    """Two connections between the same nodes. A's key is the smaller one, and the first carries the drive."""

    def __init__(self, first_by_a: bool, second_by_a: bool, scope: TopicScope = "drive") -> None:
        self.network = Network()
        pairs = sorted((key_pair("one"), key_pair("two")), key=lambda pair: pair.x25519_public_key)
        self.a, self.b = (node(label, pair) for label, pair in zip("ab", pairs, strict=True))
        self.drive = self.a.open()
        self.far_drive = self.b.open()
        self.watch = self.a.machine.watch(self.drive)
        self.far_watch = self.b.machine.watch(self.far_drive)
        self.topic = self.a.machine.join(self.drive, "chat", scope=scope)
        self.far_topic = self.b.machine.join(self.far_drive, "chat", scope=scope)
        self.first = self.dial(first_by_a)
        self.network.settle()
        events(self.watch)
        events(self.far_watch)
        self.network.now += 1
        self.second = self.dial(second_by_a)

    def wait(self) -> None:
        """Let everything arrive, and pass half the time that a remote has for folding."""
        self.network.now += 0.1
        self.network.settle()
        for machine in (self.a.machine, self.b.machine):
            machine.handle_deadline(self.network.now + FOLD_TIME / 2)

    def dial(self, by_a: bool) -> Sides:
        """Dial. Return A's side of the new connection, and B's."""
        near, far = self.network.connect(*((self.a, self.b) if by_a else (self.b, self.a)))
        return (near, far) if by_a else (far, near)


def node(label: str, pair: KeyPair) -> Node:
    made = Node(label)
    made.key_pair = pair
    return made


# On hypercore9, the connection that the smaller key dialled survives, and of two such connections the newer
# (hyperswarm 2.15.3, `deduplicate`).
CASES = [(True, True, True), (True, False, False), (False, True, True), (False, False, False)]


@pytest.mark.parametrize(("first_by_a", "second_by_a", "second_survives"), CASES)
def test_duplicates_are_folded_without_a_leave_or_a_join(
    first_by_a: bool, second_by_a: bool, second_survives: bool
) -> None:
    case = Duplicates(first_by_a, second_by_a)
    case.wait()
    loser, survivor = (case.first, case.second) if second_survives else (case.second, case.first)
    # If the larger key dialled the newer connection, that side decides alone.
    assert case.a.host.retired == [loser[0]] * second_by_a
    assert case.b.host.retired == [loser[1]]
    case.network.end(loser[0])
    assert case.topic.send(1, b"afterwards") is survivor[0]
    assert case.far_topic.send(1, b"and back") is survivor[1]
    case.network.settle()
    assert received(case.far_topic) == [b"afterwards"]
    assert received(case.topic) == [b"and back"]
    assert events(case.watch) == events(case.far_watch) == []
    assert len(case.drive.members) == 1


def test_a_newcomer_does_not_give_way_to_a_connection_that_will_end() -> None:
    case = Duplicates(first_by_a=False, second_by_a=False)
    case.wait()
    assert case.b.host.retired == [case.second[1]]
    case.network.end(case.first[0])
    case.dial(by_a=False)
    case.network.settle()
    assert case.b.host.retired == [case.second[1]]


@pytest.mark.parametrize(
    ("first_by_a", "second_by_a", "second_survives"),
    CASES,
)
def test_messages_keep_their_order_while_connections_are_folded(
    first_by_a: bool, second_by_a: bool, second_survives: bool
) -> None:
    case = Duplicates(first_by_a, second_by_a)
    sent = []
    for number in range(30):
        if case.topic.send(1, b"%d" % number) is not None:
            sent.append(b"%d" % number)
        if number == 15:
            case.network.settle()
            case.network.end((case.first if second_survives else case.second)[0])
        elif number % 2:  # the new connection is faster than the old one, which has much to send
            case.network.settle(*case.second)
    case.network.settle()
    assert received(case.far_topic) == sent
    assert len(sent) >= 15


def test_the_remote_closes_the_loser_first() -> None:
    case = Duplicates(True, True)
    near, far = case.second
    while near.remote_public_key is None or far.remote_public_key is None:  # but has not closed the drive yet
        case.network.carry(near)
        case.network.carry(far)
    case.network.end(case.first[0], reason="folded there")
    assert case.topic.send(1, b"x") is None or case.drive.members[1].link is not None
    case.network.settle()
    assert case.topic.send(1, b"x") is near
    assert events(case.watch) == events(case.far_watch) == []
    assert case.a.machine.next_deadline() == math.inf


def test_we_fold_connections_that_the_remote_dialled_and_does_not_fold() -> None:
    case = Duplicates(False, False)
    case.network.settle()
    machine, host = case.a.machine, case.a.host
    assert machine.next_deadline() == case.network.now + FOLD_TIME
    machine.handle_deadline(case.network.now + FOLD_TIME - 0.001)
    assert host.retired == []
    machine.handle_deadline(case.network.now + FOLD_TIME)
    assert host.retired == [case.first[0]]
    assert machine.next_deadline() == math.inf
    assert case.topic.send(1, b"x") is None, "what was sent on the retired one comes first"


def test_one_of_three_connections_ends_while_the_remote_has_to_fold_them() -> None:
    case = Duplicates(False, False)
    third = case.dial(False)
    case.network.settle()
    assert case.a.machine.next_deadline() == case.network.now + FOLD_TIME
    case.network.end(third[1])
    assert case.a.machine.next_deadline() == case.network.now + FOLD_TIME, "two are left"
    case.network.end(case.second[1])
    assert case.a.machine.next_deadline() == math.inf
    assert case.topic.send(1, b"x") is case.first[0]


@pytest.fixture
def replaced() -> Iterator[tuple[Node, Watch, TopicHandle, RawPeer]]:
    """A member whose first connection has ended before the second has opened the drive."""
    ours = Node("ours")
    drive = ours.open()
    watch, topic = ours.machine.watch(drive), ours.machine.join(drive, "chat")
    first, second = (ours.connection(initiator=True) for _ in range(2))
    remotes = [RawPeer(side, label="member") for side in (first, second)]
    ours.machine.receive_events(first, [*remotes[0].events, *remotes[0].send(1, remotes[0].offer())], NOW)
    ours.machine.receive_events(second, remotes[1].events, NOW)
    assert events(watch) == [PeerJoined(1, remotes[0].key_pair.x25519_public_key, "hypercore9")]
    topic.send(1, b"before")
    first.close()
    ours.machine.remove_connection(first, NOW, reason="reset", unsent=6)
    yield ours, watch, topic, remotes[1]
    assert not ours.machine.memberships.replacing


Replaced: TypeAlias = tuple[Node, Watch, TopicHandle, RawPeer]


def test_sends_find_no_room_while_a_connection_is_replaced(replaced: Replaced) -> None:
    ours, watch, topic, remote = replaced
    assert topic.send(1, b"x") is None
    assert topic.route(1) is None
    assert topic.reaches(1)
    assert topic.statistics().sent_messages == 1
    reroutings = ours.host.reroutings
    ours.machine.receive_events(remote.ours, remote.send(1, remote.offer()), NOW)
    assert ours.host.reroutings > reroutings
    assert topic.send(1, b"x") is remote.ours
    assert events(watch) == []
    assert ours.machine.next_deadline() == math.inf


def test_a_replacement_that_takes_too_long(replaced: Replaced) -> None:
    ours, watch, topic, remote = replaced
    assert ours.machine.next_deadline() == NOW + FOLD_TIME
    ours.machine.handle_deadline(NOW + FOLD_TIME - 0.001)
    assert events(watch) == []
    reroutings = ours.host.reroutings
    ours.machine.handle_deadline(NOW + FOLD_TIME)
    public_key = remote.key_pair.x25519_public_key
    assert events(watch) == [PeerLeft(1, public_key, "hypercore9", "reset", 6)]
    assert ours.host.reroutings > reroutings  # a sender that waits for the member gets an error
    with pytest.raises(PeerGone):
        topic.send(1, b"x")
    ours.machine.receive_events(remote.ours, remote.send(1, remote.offer()), NOW + 9)
    assert events(watch) == [PeerJoined(1, public_key, "hypercore9")]


def test_a_replacement_that_ends_too(replaced: Replaced) -> None:
    ours, watch, _, remote = replaced
    remote.ours.close()
    ours.machine.remove_connection(remote.ours, NOW + 1)
    ours.machine.handle_deadline(NOW + FOLD_TIME)
    assert [type(event) for event in events(watch)] == [PeerLeft]


def test_a_replacement_gets_its_full_time_after_our_absence(replaced: Replaced) -> None:
    ours, watch, _, _ = replaced
    ours.machine.handle_deadline(NOW + 60)
    assert events(watch) == []
    ours.machine.handle_deadline(NOW + 60 + FOLD_TIME)
    assert [type(event) for event in events(watch)] == [PeerLeft]


def test_closing_the_drive_while_a_connection_is_replaced(replaced: Replaced) -> None:
    ours, watch, topic, _ = replaced
    topic.close()
    watch.close()
    ours.machine.close_drive(next(iter(ours.machine.memberships.drives.values())))
    assert ours.machine.next_deadline() == math.inf
    ours.machine.handle_deadline(NOW + 100)


def test_a_member_without_any_connection_leaves_at_once(replaced: Replaced) -> None:
    ours, watch, _, remote = replaced
    remote.ours.close()
    ours.machine.remove_connection(remote.ours, NOW)
    try:
        assert [type(event) for event in events(watch)] == [PeerLeft]
    finally:
        ours.machine.handle_deadline(NOW + FOLD_TIME)


def test_sends_to_a_stranger_are_tried_again_when_its_duplicate_has_ended() -> None:
    case = Duplicates(True, False, scope="network")
    case.b.machine.close_drive(case.far_drive)
    case.network.settle()
    events(case.watch)
    assert case.topic.send(1, b"x") is None
    assert not case.a.host.retired, "the remote may know nothing of the survivor yet"
    case.a.machine.handle_deadline(case.network.now + FOLD_TIME)
    reroutings = case.a.host.reroutings
    case.network.end(case.a.host.retired[0])
    assert case.topic.send(1, b"x") is not None
    assert case.a.host.reroutings > reroutings
