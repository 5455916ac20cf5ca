"""`peersockets_core.topics.machine`: members, their peer ids, and watches."""

from __future__ import annotations

import attrs
import pytest

from core.support import (
    KEY,
    NOW,
    OTHER_KEY,
    Network,
    Node,
    RawPeer,
    extension_frame,
    key_pair,
)
from core.topics.support import WIRES, Meeting, events, received
from peersockets_core import (
    DEFAULT_LIMITS,
    Connection,
    DriveClosed,
    Event,
    Limits,
    MessagesReceived,
    PeerJoined,
    PeerLeft,
    UnknownPeer,
    WireName,
)
from peersockets_core.wires.hypercore9.messages import Open

# Members and peer ids


def test_a_peer_joins_when_it_opens_the_drive_and_leaves_when_it_goes(meeting: Meeting) -> None:
    near, _ = meeting.connect()
    joined = PeerJoined(1, meeting.b.public_key, meeting.b.wire)
    assert events(meeting.watch_a) == [joined]
    assert events(meeting.watch_b) == [PeerJoined(1, meeting.a.public_key, meeting.a.wire)]
    assert meeting.a.host.noted.count(meeting.topic_a) == 0
    meeting.network.end(near, reason="why", unsent=7)
    assert events(meeting.watch_a) == [PeerLeft(1, meeting.b.public_key, meeting.b.wire, "why", 7)]
    assert events(meeting.watch_b) == [PeerLeft(1, meeting.a.public_key, meeting.a.wire, "why")]
    assert not meeting.drives[0].members


def test_a_peer_without_the_drive_is_no_member(meeting: Meeting) -> None:
    stranger = Node("stranger", wire=meeting.a.wire)
    stranger.open(OTHER_KEY)
    meeting.network.connect(stranger, meeting.a)
    meeting.network.settle()
    assert events(meeting.watch_a) == []
    with pytest.raises(UnknownPeer):
        meeting.a.machine.peer(1)


def test_a_peer_that_cannot_prove_the_drive_key_is_no_member() -> None:
    node = Node("a")
    watch = node.machine.watch(node.open())
    ours = node.connection(initiator=False)
    liar = RawPeer(ours)
    caused = liar.send(1, Open(KEY.discovery_key, bytes(32)))
    node.machine.receive_events(ours, liar.events + caused, NOW)
    node.machine.remove_connection(ours, NOW, reason=str(ours.error))
    assert events(watch) == []


def test_an_error_after_the_handshake_harms_nothing_else() -> None:
    node = Node("a")
    node.open()
    ours = node.connection(initiator=False)
    liar = RawPeer(ours, behind_handshake=b"\xff" * 9)
    node.machine.receive_events(ours, liar.events, NOW)
    node.machine.remove_connection(ours, NOW)
    node.open(OTHER_KEY)
    assert not node.machine.registry.links
    assert not node.machine.memberships.peers


def test_ids_count_from_one_in_order_of_meeting(meeting: Meeting) -> None:
    others = [Node(f"other {number}", wire=meeting.a.wire) for number in range(4)]
    for other in others:
        other.open()
        meeting.network.connect(other, meeting.a)
        meeting.network.settle()
    assert [event.peer_id for event in events(meeting.watch_a)] == [1, 2, 3, 4]
    for peer_id, other in enumerate(others, 1):
        assert meeting.a.machine.peer(peer_id).public_key == other.public_key


def test_a_key_that_returns_has_its_old_id(meeting: Meeting) -> None:
    near, _ = meeting.connect()
    meeting.network.end(near)
    other = Node("other", wire=meeting.a.wire)
    other.open()
    meeting.network.connect(other, meeting.a)
    meeting.network.settle()
    meeting.connect()
    assert [event.peer_id for event in events(meeting.watch_a)] == [1, 1, 2, 1]


def test_a_key_has_one_id_on_each_wire() -> None:
    node, network = Node("a"), Network()
    watch = node.machine.watch(node.open())
    for wire in WIRES:
        other = Node("the same seed", wire=wire)
        other.open()
        network.connect(other, node)
    network.settle()
    joined = events(watch)
    assert [event.peer_id for event in joined] == [1, 2]
    assert {event.wire for event in joined} == set(WIRES)
    pair = key_pair("the same seed")
    assert {event.public_key for event in joined} == {pair.x25519_public_key, pair.ed25519_public_key}


def test_one_id_for_all_drives(meeting: Meeting) -> None:
    meeting.connect()
    meeting.b.open(OTHER_KEY)
    watch = meeting.a.machine.watch(meeting.a.open(OTHER_KEY))
    meeting.network.settle()
    assert [event.peer_id for event in events(watch)] == [1]
    assert meeting.a.machine.drives_of(1) == [KEY, OTHER_KEY]
    assert meeting.a.machine.drives_of(2) == []


def test_a_stranger_that_goes_leaves_no_trace() -> None:
    node, network = Node("a"), Network()
    node.open()
    for number in range(20):
        near, _ = network.connect(Node(f"stranger {number}"), node)
        network.settle()
        network.end(near)
    assert not node.machine.memberships.peers
    assert not node.machine.registry.links
    assert not node.machine.registry.connections


def test_removing_an_unknown_connection_does_nothing(meeting: Meeting) -> None:
    near, _ = meeting.connect()
    unfinished = meeting.a.connection(initiator=False)
    meeting.a.machine.remove_connection(unfinished, NOW)
    meeting.network.end(near)
    meeting.a.machine.remove_connection(near, NOW)
    assert len(events(meeting.watch_a)) == 2


def test_departed_peers_beyond_the_limit_are_forgotten_for_newcomers() -> None:
    node, network = Node("a", limits=attrs.evolve(DEFAULT_LIMITS, peer_ids=2)), Network()
    watch = node.machine.watch(node.open())
    for number in range(5):
        other = Node(f"other {number}")
        other.open()
        near, _ = network.connect(other, node)
        network.settle()
        network.end(near)
    assert not node.host.dropped
    assert [event.peer_id for event in events(watch) if isinstance(event, PeerJoined)] == [1, 2, 3, 4, 5]
    assert node.machine.statistics().peer_ids == len(node.machine.memberships.peers) == 2
    with pytest.raises(UnknownPeer):
        node.machine.peer(3)
    assert node.machine.peer(4).public_key == Node("other 3").public_key


def test_strangers_do_not_use_up_the_ids_of_members() -> None:
    """The node forgets no former member for them either."""
    node, network = Node("a", limits=attrs.evolve(DEFAULT_LIMITS, peer_ids=4)), Network()
    drive = node.open()
    watch, topic = node.machine.watch(drive), node.machine.join(drive, "chat", scope="network")
    former = Node("former")
    former.open()
    near, _ = network.connect(former, node)
    network.settle()
    network.end(near)
    for number in range(20):
        side = node.connection(initiator=False)
        stranger = RawPeer(side, label=f"stranger {number}")
        said = stranger.events + stranger.announce("peersockets/v0/chat")
        node.machine.receive_events(side, said + stranger.say(extension_frame(0, b"x")), NOW)
        node.machine.remove_connection(side, NOW)
    assert len(received(topic)) == 20
    newcomer = Node("newcomer")
    newcomer.open()
    network.connect(newcomer, node)
    network.settle()
    assert [event.peer_id for event in events(watch)] == [1, 1, 22]
    assert node.machine.peer(1).public_key == former.public_key
    assert not node.host.dropped
    network.connect(former, node)
    network.settle()
    assert [event.peer_id for event in events(watch)] == [1]


def answer(network: Network, dialler: Node, node: Node) -> Connection:
    """Begin a connection without the dialler's proof of its key. Return the answering side."""
    near, far = network.connect(dialler, node)
    network.carry(near)
    network.carry(far)
    network.cut(near)
    return far


@pytest.mark.parametrize("wire", WIRES)
def test_a_leave_waits_for_a_handshake_that_may_be_the_members(wire: WireName) -> None:
    node, member, network = Node("a", wire=wire), Node("member", wire=wire), Network()
    watch = node.machine.watch(node.open())
    member.open()
    near, _ = network.connect(member, node)
    network.settle()
    proving = answer(network, member, node)
    network.end(near)
    assert [type(event) for event in events(watch)] == [PeerJoined]
    proving.close()
    node.machine.remove_connection(proving, NOW)
    assert [type(event) for event in events(watch)] == [PeerLeft]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("stranger", ["silent", "of another wire", "half a word", "gone"])
def test_a_stranger_delays_no_leave(wire: WireName, stranger: str) -> None:
    node, member, network = Node("a", wire=wire), Node("member", wire=wire), Network()
    watch = node.machine.watch(node.open())
    member.open()
    near, _ = network.connect(member, node)
    network.settle()
    if stranger == "of another wire":
        (other,) = set(WIRES) - {wire}
        assert answer(network, Node("stranger", wire=other), node).is_proving
    elif stranger == "gone":
        answer(network, Node("stranger", wire=wire), node).close()
    else:
        idle = node.connection(initiator=False)
        if stranger == "half a word":
            idle.receive_data(b"\x3a" if wire == "hypercore9" else b"\x20", NOW)
    network.end(near)
    assert [type(event) for event in events(watch)] == [PeerJoined, PeerLeft]


def test_a_member_whose_other_connection_is_coming_is_not_gone() -> None:
    node, network = Node("a", limits=attrs.evolve(DEFAULT_LIMITS, peer_ids=1)), Network()
    drive, member = node.open(), Node("member")
    member.open()
    near, _ = network.connect(member, node)
    network.settle()
    answer(network, member, node)
    network.end(near)
    assert list(drive.members) == [1]
    other = Node("other")
    other.open()
    near, _ = network.connect(other, node)
    network.settle()
    assert len(node.host.dropped) == 1
    network.end(near)
    node.machine.close_drive(drive)
    watch = node.machine.watch(node.open())
    network.connect(other, node)
    network.settle()
    assert events(watch) == [PeerJoined(2, other.public_key, "hypercore9")]
    assert len(node.host.dropped) == 1


def test_more_peers_than_the_limit_are_dropped() -> None:
    node, network = Node("a", limits=attrs.evolve(DEFAULT_LIMITS, peer_ids=1)), Network()
    node.open()
    sides = []
    for number in range(2):
        other = Node(f"other {number}")
        other.open()
        sides.append(network.connect(other, node)[1])
        network.settle()
    ((dropped, error),) = node.host.dropped
    assert dropped is sides[1]
    assert str(error) == "more than 1 peers are here"


def test_the_last_messages_of_a_peer_over_the_limit_change_nothing() -> None:
    node, network = Node("a", limits=attrs.evolve(DEFAULT_LIMITS, peer_ids=1)), Network()
    drive = node.open()
    topic, watch = node.machine.join(drive, "chat", scope="network"), node.machine.watch(drive)
    first, second = Node("first"), Node("second")
    for other in (first, second):
        other.open()
        network.connect(other, node)
        network.settle()
    [(dropped, _)] = node.host.dropped
    said: list[Event] = [
        MessagesReceived(None, "peersockets/v0/chat", [b"late"]),
        DriveClosed(KEY.discovery_key),
    ]
    node.machine.receive_events(dropped, said, NOW)
    assert received(topic) == []
    assert events(watch) == [PeerJoined(1, first.public_key, "hypercore9")]


# Watches


def test_watches_begin_with_the_present_members_and_are_independent(meeting: Meeting) -> None:
    near, _ = meeting.connect()
    later = meeting.a.machine.watch(meeting.drives[0])
    assert len(events(later)) == 1
    meeting.watch_a.close()
    meeting.network.end(near)
    assert [type(event) for event in events(later)] == [PeerLeft]
    assert len(meeting.watch_a) == 0
    assert meeting.watch_a not in meeting.a.host.noted[1:]


def test_a_watch_that_is_not_read_is_bounded() -> None:
    meeting = Meeting(limits=Limits(watch_events=4))
    for _ in range(20):
        near, _ = meeting.connect()
        assert isinstance(events(meeting.watch_b)[-1], PeerJoined)
        meeting.network.end(near)
        assert len(events(meeting.watch_b)) == 1
        assert len(meeting.watch_a) <= 5
