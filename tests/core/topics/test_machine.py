"""`peersockets_core.topics.machine`: drives, connections and strangers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from core.support import (
    KEY,
    NOW,
    OTHER_KEY,
    Network,
    Node,
    RawPeer,
    entropy,
    extension_frame,
    key_pair,
)
from core.topics.support import FOLD_TIME, Meeting, events, received
from peersockets_core import (
    DEFAULT_LIMITS,
    Connection,
    DriveKey,
    OpenDrive,
    PeerGone,
    PeerJoined,
    PeerLeft,
    RemoteProtocolError,
)
from peersockets_core.wires.hypercore9.messages import Close


@pytest.mark.parametrize("closer", [0, 1], ids=["closed here", "closed there"])
def test_a_drive_is_closed_and_opened_again_on_either_side(meeting: Meeting, closer: int) -> None:
    meeting.connect()
    nodes = (meeting.a, meeting.b)
    watch = (meeting.watch_b, meeting.watch_a)[closer]
    events(watch)
    for handle in (meeting.topic_a, meeting.topic_b)[closer : closer + 1]:
        handle.close()
    drive: OpenDrive = meeting.drives[closer]
    for _ in range(3):
        nodes[closer].machine.close_drive(drive)
        meeting.network.settle()
        assert [type(event) for event in events(watch)] == [PeerLeft]
        drive = nodes[closer].open()
        meeting.network.settle()
        assert [type(event) for event in events(watch)] == [PeerJoined]
        assert list(drive.members) == [1]


def test_sends_fail_after_the_remote_has_closed_the_drive(meeting: Meeting) -> None:
    meeting.connect()
    meeting.send(b"x")
    meeting.b.machine.close_drive(meeting.drives[1])
    meeting.network.settle()
    with pytest.raises(PeerGone):
        meeting.topic_a.send(1, b"x")
    (left,) = events(meeting.watch_a)[1:]
    assert isinstance(left, PeerLeft)
    assert (left.reason, left.unsent) == ("", 0)


def test_a_drive_opened_twice_closes_with_the_second_close(meeting: Meeting) -> None:
    meeting.connect()
    assert meeting.a.open() is meeting.drives[0]
    meeting.network.settle()
    meeting.a.machine.close_drive(meeting.drives[0])
    meeting.network.settle()
    meeting.send(b"still here")
    assert received(meeting.topic_b) == [b"still here"]
    meeting.topic_a.close()
    meeting.a.machine.close_drive(meeting.drives[0])
    meeting.network.settle()
    assert [type(event) for event in events(meeting.watch_b)] == [PeerJoined, PeerLeft]


def test_a_drive_opened_after_the_connection(meeting: Meeting) -> None:
    for machine, drive in ((meeting.a.machine, meeting.drives[0]), (meeting.b.machine, meeting.drives[1])):
        machine.close_drive(drive)
    meeting.connect()
    for one in (meeting.a, meeting.b):
        one.open()
        meeting.network.settle()
    assert list(meeting.a.machine.memberships.drives[KEY.discovery_key].members) == [1]


def test_many_drives_on_one_connection(meeting: Meeting) -> None:
    keys = [DriveKey(bytes([number]) * 32) for number in range(20)]
    for key in keys:
        meeting.a.open(key)
    meeting.connect()
    for key in reversed(keys[5:]):
        meeting.b.open(key)
    meeting.network.settle()
    assert set(meeting.a.machine.drives_of(1)) == {KEY, *keys[5:]}


def test_a_refused_drive_is_no_leave() -> None:
    ours = Node("ours")
    watch = ours.machine.watch(ours.open())
    side = ours.connection(initiator=False)
    remote = RawPeer(side)
    ours.machine.receive_events(side, remote.events + remote.send(1, Close(KEY.discovery_key)), NOW)
    assert events(watch) == []


def test_messages_in_one_read_with_the_join_and_the_leave_are_in_order() -> None:
    ours = Node("ours")
    drive = ours.open()
    topic = ours.machine.join(drive, "chat")
    watch = ours.machine.watch(drive)
    side = ours.connection(initiator=False)
    remote = RawPeer(side)
    ours.machine.receive_events(side, remote.events, NOW)
    caused = remote.announce(f"peersockets/v0/webapp/{KEY.discovery_key.hex()}/chat")
    caused += remote.say(extension_frame(0, b"too early"))
    caused += remote.send(1, remote.offer())
    caused += remote.say(extension_frame(0, b"heard"))
    caused += remote.send(1, Close())
    caused += remote.say(extension_frame(0, b"too late"))
    ours.machine.receive_events(side, caused, NOW)
    assert received(topic) == [b"heard"]
    assert [type(event) for event in events(watch)] == [PeerJoined, PeerLeft]


def test_the_leave_names_the_reason_of_a_failed_connection() -> None:
    ours, network, other = Node("ours"), Network(), Node("other")
    watch = ours.machine.watch(ours.open())
    other.open()
    near, _ = network.connect(ours, other)
    network.settle()
    near.fail(RemoteProtocolError("enough"))
    ours.machine.remove_connection(near, NOW, reason=str(near.error), unsent=3)
    (_, left) = events(watch)
    assert isinstance(left, PeerLeft)
    assert (left.reason, left.unsent) == ("enough", 3)


COMMANDS: list[Callable[[Meeting], object]] = [
    lambda meeting: meeting.a.open(OTHER_KEY),
    lambda meeting: meeting.a.machine.close_drive(meeting.drives[0]),
    lambda meeting: meeting.a.machine.join(meeting.drives[0], "other"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_survive_a_closed_connection_that_is_not_removed_yet(
    command: Callable[[Meeting], object], meeting: Meeting
) -> None:
    near, _ = meeting.connect()
    near.fail(RemoteProtocolError("gone"))
    command(meeting)
    meeting.a.machine.remove_connection(near, NOW)


def test_the_oldest_stranger_has_dialled_us_and_shares_no_drive() -> None:
    ours, network, keyless, member = Node("ours"), Network(), Node("keyless"), Node("member")
    drive = ours.open()
    member.open()
    assert ours.machine.oldest_stranger() is None
    network.connect(ours, Node("dialled by us"))
    assert ours.machine.oldest_stranger() is None
    (_, in_handshake) = network.connect(Node("in a handshake"), ours)
    _, becomes_member = network.connect(member, ours)
    _, stranger = network.connect(keyless, ours)
    assert ours.machine.connections == 4
    assert ours.machine.oldest_stranger() is in_handshake
    network.settle()
    ours.machine.remove_connection(in_handshake, NOW)
    assert ours.machine.oldest_stranger() is stranger
    ours.machine.remove_connection(stranger, NOW)
    assert ours.machine.oldest_stranger() is None
    ours.machine.close_drive(drive)
    assert ours.machine.oldest_stranger() is becomes_member
    ours.open()
    network.settle()
    assert ours.machine.oldest_stranger() is None


def test_a_member_of_two_drives_is_no_stranger_before_both_are_closed() -> None:
    ours, network, other = Node("ours"), Network(), Node("other")
    for key in (KEY, OTHER_KEY):
        ours.open(key)
    closing = [other.open(key) for key in (KEY, OTHER_KEY)]
    _, near = network.connect(other, ours)
    network.settle()
    other.machine.close_drive(closing[0])
    network.settle()
    assert ours.machine.oldest_stranger() is None
    other.machine.close_drive(closing[1])
    network.settle()
    assert ours.machine.oldest_stranger() is near


def test_the_oldest_of_too_many_connections_of_one_key_is_dropped() -> None:
    node = Node("ours", limits=attrs.evolve(DEFAULT_LIMITS, duplicates=3))
    node.open()
    sides = []
    for _ in range(6):
        side = node.connection(initiator=False)
        remote = RawPeer(side, label="the same")
        node.machine.receive_events(side, remote.events, NOW)
        sides.append(side)
    dropped = [connection for connection, _ in node.host.dropped]
    assert dropped == [side for side in sides if side in dropped]  # from the oldest on, each once
    assert len(dropped) == 3
    assert node.machine.connection_to("hypercore9", remote.key_pair.x25519_public_key) not in dropped
    assert {str(error) for _, error in node.host.dropped} == {"more than 3 connections of one peer"}


def test_a_leave_names_the_error_of_the_connection_unless_given_another_reason(meeting: Meeting) -> None:
    for reason in ("enough", ""):
        near, _ = meeting.connect()
        events(meeting.watch_a)
        if reason:
            near.fail(RemoteProtocolError(reason))
        meeting.a.machine.remove_connection(near, NOW)
        meeting.network.cut(near)
        (left,) = events(meeting.watch_a)
        assert isinstance(left, PeerLeft)
        assert left.reason == reason


def test_a_member_of_two_drives_leaves_both(meeting: Meeting) -> None:
    watches = [meeting.watch_a, meeting.a.machine.watch(meeting.a.open(OTHER_KEY))]
    meeting.b.open(OTHER_KEY)
    near, _ = meeting.connect()
    meeting.network.end(near)
    for watch in watches:
        assert [type(event) for event in events(watch)] == [PeerJoined, PeerLeft]


def test_a_peer_that_leaves_one_of_two_drives_is_still_known() -> None:
    """A member of any drive is remembered before all former members."""
    limits = attrs.evolve(DEFAULT_LIMITS, peer_ids=1)
    ours, network, member = Node("ours", limits=limits), Network(), Node("member")
    for key in (KEY, OTHER_KEY):
        ours.open(key)
    closing, _ = (member.open(key) for key in (KEY, OTHER_KEY))
    network.connect(member, ours)
    network.settle()
    member.machine.close_drive(closing)
    network.settle()
    assert ours.machine.drives_of(1) == [OTHER_KEY]
    assert ours.machine.peer(1).memberships == 1


def test_the_host_is_called_with_the_watch(meeting: Meeting) -> None:
    meeting.connect()
    assert meeting.a.host.noted == [meeting.watch_a]


def test_connections_are_made_with_the_options_of_the_caller() -> None:
    node, owner = Node("node"), object()
    other = key_pair("other").x25519_public_key

    def make(**options: Any) -> Connection:
        return node.machine.make_connection(
            initiator=True, key_pair=node.key_pair, entropy=entropy("made"), now=NOW, **options
        )

    made = make(wire="hypercore9", expect=other, hold=True, owner=owner)
    assert made.owner is owner
    assert made.limits is node.limits
    impostor = Node("impostor").connection(initiator=False)
    for _ in range(4):
        impostor.receive_data(bytes(made.data_to_send(NOW)), NOW)
        made.receive_data(bytes(impostor.data_to_send(NOW)), NOW)
    assert f"expected the key {other.hex()}" in str(made.error)
    held = make(wire="hypercore9", hold=True)
    RawPeer(held, label="welcome")
    assert held.on_hold
    with pytest.raises(ValueError, match="keys need the wire hypercore11, not 'hypercore9'"):
        make(wire="hypercore9", keys=object())


def test_a_leave_does_not_wait_for_a_finished_handshake_of_another_peer() -> None:
    """The member cannot come back on a connection that belongs to another peer."""
    ours, network, member, other = (Node("ours"), Network(), Node("member"), Node("other"))
    watch = ours.machine.watch(ours.open())
    for node in (member, other):
        node.open()
    near, far = network.connect(member, ours)
    network.settle()
    network.connect(other, ours)
    network.settle()
    network.end(near)
    assert far.closed
    assert [type(event) for event in events(watch)] == [PeerJoined, PeerJoined, PeerLeft]
    assert ours.machine.next_deadline() == math.inf


def test_unsent_messages_of_two_connections_of_a_member_are_counted_together() -> None:
    ours = Node("ours")
    watch = ours.machine.watch(ours.open())
    sides = [ours.connection(initiator=True) for _ in range(3)]
    remotes = [RawPeer(side, label="member") for side in sides]
    for side, remote in zip(sides[:2], remotes, strict=False):
        ours.machine.receive_events(side, [*remote.events, *remote.send(1, remote.offer())], NOW)
    ours.machine.receive_events(sides[2], remotes[2].events, NOW)
    for side, unsent in zip(sides[:2], (5, 6), strict=True):
        ours.machine.remove_connection(side, NOW, unsent=unsent)
    ours.machine.remove_connection(sides[2], NOW)
    ours.machine.handle_deadline(ours.machine.next_deadline())
    *_, left = events(watch)
    assert isinstance(left, PeerLeft)
    assert left.unsent == 11


def test_a_member_that_closes_the_drive_on_one_of_two_connections_is_reached_on_the_other() -> None:
    ours = Node("ours")
    drive = ours.open()
    watch, topic = ours.machine.watch(drive), ours.machine.join(drive, "chat")
    sides = [ours.connection(initiator=True) for _ in range(2)]
    remotes = [RawPeer(side, label="member") for side in sides]
    for side, remote in zip(sides, remotes, strict=True):
        ours.machine.receive_events(side, [*remote.events, *remote.send(1, remote.offer())], NOW)
    for side, remote, joined in zip(sides, remotes, (True, False), strict=True):
        ours.machine.receive_events(side, remote.send(1, Close(KEY.discovery_key)), NOW + 1)
        ours.machine.handle_deadline(NOW + 1 + FOLD_TIME)
        assert topic.reaches(1) == joined
    assert [type(event) for event in events(watch)] == [PeerJoined, PeerLeft]


def test_reprs_show_the_state_and_no_key() -> None:
    node = Node("A")
    drive = node.open()
    topic, watch = node.machine.join(drive, "chat"), node.machine.watch(drive)
    topic.put(1, key_pair("B").x25519_public_key, [b"hello"])
    assert repr(node.machine) == "<Peersockets 0 connections, 1 drives>"
    assert repr(drive) == f"<OpenDrive {KEY}, 0 members, topics ['chat']>"
    assert repr(topic) == "<TopicHandle, 1 messages wait>"
    assert repr(watch) == "<Watch, 0 events wait>"
    topic.close()
    watch.close()
    assert (repr(topic), repr(watch)) == ("<TopicHandle, closed>", "<Watch, closed>")
