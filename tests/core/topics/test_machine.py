from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

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
from peersockets_core import (
    DEFAULT_LIMITS,
    Connection,
    DriveClosed,
    DriveKey,
    Event,
    KeyPair,
    Limits,
    LocalProtocolError,
    Message,
    MessagesReceived,
    MessageTooLarge,
    OpenDrive,
    Overflow,
    PeerEvent,
    PeerGone,
    PeerJoined,
    PeerLeft,
    RemoteProtocolError,
    TopicHandle,
    TopicScope,
    UnknownPeer,
    Watch,
    WireName,
)
from peersockets_core.wires.hypercore9.messages import Close, Open

MIB = 1024 * 1024
FOLD_TIME = DEFAULT_LIMITS.fold_time
WIRES: tuple[WireName, ...] = ("hypercore9", "hypercore11")


def events(watch: Watch) -> list[PeerEvent]:
    return [watch.take() for _ in range(len(watch))]


def received(handle: TopicHandle) -> list[bytes]:
    return [message.message for message in handle.take_all()]


class Meeting:
    """Two nodes with the drive open on both, which watch it and have joined a topic."""

    def __init__(
        self, *, wire: WireName = "hypercore9", scope: TopicScope = "drive", limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self.network = Network()
        self.a, self.b = (Node(label, wire=wire, limits=limits) for label in "ab")
        self.drives = self.a.open(), self.b.open()
        self.watch_a = self.a.machine.watch(self.drives[0])
        self.watch_b = self.b.machine.watch(self.drives[1])
        self.topic_a = self.a.machine.join(self.drives[0], "chat", scope=scope)
        self.topic_b = self.b.machine.join(self.drives[1], "chat", scope=scope)

    def connect(self) -> tuple[Connection, Connection]:
        """A dials B; returns A's side and B's."""
        sides = self.network.connect(self.a, self.b)
        self.network.settle()
        return sides

    def send(self, payload: bytes) -> None:
        assert self.topic_a.send(1, payload) is not None
        self.network.settle()


@pytest.fixture(params=WIRES)
def meeting(request: pytest.FixtureRequest) -> Meeting:
    return Meeting(wire=request.param)


# Members and peer ids


def test_a_peer_that_opens_the_drive_joins_and_one_that_goes_leaves(meeting: Meeting) -> None:
    near, _ = meeting.connect()
    joined = PeerJoined(1, meeting.b.public_key, meeting.b.wire)
    assert events(meeting.watch_a) == [joined]
    assert events(meeting.watch_b) == [PeerJoined(1, meeting.a.public_key, meeting.a.wire)]
    assert meeting.a.host.noted.count(meeting.topic_a) == 0
    meeting.network.end(near, reason="why", unsent=7)
    assert events(meeting.watch_a) == [PeerLeft(1, meeting.b.public_key, meeting.b.wire, "why", 7)]
    assert events(meeting.watch_b) == [PeerLeft(1, meeting.a.public_key, meeting.a.wire, "why")]
    assert not meeting.drives[0].members


def test_who_has_not_the_drive_is_no_member(meeting: Meeting) -> None:
    stranger = Node("stranger", wire=meeting.a.wire)
    stranger.open(OTHER_KEY)
    meeting.network.connect(stranger, meeting.a)
    meeting.network.settle()
    assert events(meeting.watch_a) == []
    with pytest.raises(UnknownPeer):
        meeting.a.machine.peer(1)


def test_who_cannot_prove_it_is_no_member() -> None:
    node = Node("a")
    watch = node.machine.watch(node.open())
    ours = node.connection(initiator=False)
    liar = RawPeer(ours)
    caused = liar.send(1, Open(KEY.discovery_key, bytes(32)))
    node.machine.receive_events(ours, liar.events + caused, NOW)
    node.machine.remove_connection(ours, NOW, reason=str(ours.error))
    assert events(watch) == []


def test_an_error_behind_the_handshake_takes_nothing_down() -> None:
    node = Node("a")
    node.open()
    ours = node.connection(initiator=False)
    liar = RawPeer(ours, behind_handshake=b"\xff" * 9)
    node.machine.receive_events(ours, liar.events, NOW)
    node.machine.remove_connection(ours, NOW)
    node.open(OTHER_KEY)
    assert not node.machine.registry.links
    assert not node.machine.memberships.peers


def test_ids_count_from_one_in_the_order_met(meeting: Meeting) -> None:
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


def test_removing_what_is_not_there_does_nothing(meeting: Meeting) -> None:
    near, _ = meeting.connect()
    unfinished = meeting.a.connection(initiator=False)
    meeting.a.machine.remove_connection(unfinished, NOW)
    meeting.network.end(near)
    meeting.a.machine.remove_connection(near, NOW)
    assert len(events(meeting.watch_a)) == 2


def test_for_a_newcomer_beyond_the_limit_who_is_gone_is_forgotten() -> None:
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
    """Nor has anybody who was a member forgotten."""
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
    """Begin a connection of which the dialler's proof of its key never comes; returns the answerer's side."""
    near, far = network.connect(dialler, node)
    network.carry(near)
    network.carry(far)
    network.cut(near)
    return far


@pytest.mark.parametrize("wire", WIRES)
def test_a_handshake_that_may_be_the_members_is_waited_for(wire: WireName) -> None:
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


def test_a_member_that_waits_for_its_other_connection_is_not_gone() -> None:
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


def test_what_a_peer_over_the_limit_has_still_said_changes_nothing() -> None:
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


def test_watchers_begin_with_the_members_present_and_are_independent(meeting: Meeting) -> None:
    near, _ = meeting.connect()
    later = meeting.a.machine.watch(meeting.drives[0])
    assert len(events(later)) == 1
    meeting.watch_a.close()
    meeting.network.end(near)
    assert [type(event) for event in events(later)] == [PeerLeft]
    assert len(meeting.watch_a) == 0
    assert meeting.watch_a not in meeting.a.host.noted[1:]


def test_a_watch_nobody_reads_is_bounded() -> None:
    meeting = Meeting(limits=Limits(watch_events=4))
    for _ in range(20):
        near, _ = meeting.connect()
        assert isinstance(events(meeting.watch_b)[-1], PeerJoined)
        meeting.network.end(near)
        assert len(events(meeting.watch_b)) == 1
        assert len(meeting.watch_a) <= 5


# Topics


def test_messages_reach_the_topic_with_their_sender(meeting: Meeting) -> None:
    meeting.connect()
    meeting.send(b"hello")
    meeting.send(b"")
    messages = meeting.topic_b.take_all()
    assert messages == [Message(1, text, meeting.a.public_key) for text in (b"hello", b"")]
    assert meeting.topic_b in meeting.b.host.noted
    assert meeting.topic_a.statistics().sent_messages == 2
    assert meeting.topic_a.statistics().sent_bytes == 5
    assert meeting.topic_b.statistics().received_bytes == 5


def test_topic_handles_are_independent(meeting: Meeting) -> None:
    meeting.connect()
    machine, drive = meeting.b.machine, meeting.drives[1]
    second = machine.join(drive, "chat")
    meeting.send(b"1")
    meeting.topic_b.close()
    meeting.send(b"2")
    third = machine.join(drive, "chat")
    meeting.send(b"3")
    assert received(second) == [b"1", b"2", b"3"]
    assert received(third) == [b"3"]
    assert received(meeting.topic_b) == []
    second.close()
    meeting.send(b"4")
    assert received(third) == [b"4"]


def test_topics_nobody_joined_are_discarded(meeting: Meeting) -> None:
    meeting.connect()
    other = meeting.a.machine.join(meeting.drives[0], "other")
    assert other.send(1, b"to nobody") is not None
    meeting.network.settle()
    meeting.send(b"to somebody")
    assert received(meeting.topic_b) == [b"to somebody"]
    meeting.topic_b.close()
    meeting.send(b"to nobody again")
    assert meeting.topic_b.statistics().received_messages == 1
    assert not meeting.b.machine.extensions.names
    assert not meeting.b.machine.listeners.by_address


def test_topics_of_two_drives_are_two_topics(meeting: Meeting) -> None:
    other = meeting.b.machine.join(meeting.b.open(OTHER_KEY), "chat")
    meeting.a.open(OTHER_KEY)
    meeting.connect()
    meeting.send(b"x")
    assert received(meeting.topic_b) == [b"x"]
    assert received(other) == []


NAMES = ["", "chat", "\ue000", "\uffff", "\U00010000", "\U0010ffff", "x" * 65_536, "peersockets/v0/", "\0"]


def test_topics_of_any_name_and_senders_that_come_and_go_between_messages(meeting: Meeting) -> None:
    meeting.connect()
    heard = {name: meeting.b.machine.join(meeting.drives[1], name) for name in NAMES}
    senders: dict[str, TopicHandle] = {}
    for count in range(3 * len(NAMES)):
        name = NAMES[count * 4 % len(NAMES)]
        if name in senders and count % 2:
            senders.pop(name).close()
        sender = senders.setdefault(name, meeting.a.machine.join(meeting.drives[0], name))
        text = name[:5].encode() + b" %d" % count
        assert sender.send(1, text) is not None
        for known in list(senders):
            assert senders[known].send(1, b"also " + known[:5].encode()) is not None
        meeting.network.settle()
        assert received(heard[name]) == [text, b"also " + name[:5].encode()]
        for known in set(senders) - {name}:
            assert received(heard[known]) == [b"also " + known[:5].encode()]


@pytest.mark.parametrize("topic", [None, b"chat", 5])
def test_a_topic_is_text(topic: str, meeting: Meeting) -> None:
    with pytest.raises(TypeError, match="topic must be str"):
        meeting.a.machine.join(meeting.drives[0], topic)
    with pytest.raises(ValueError, match="lone surrogates"):
        meeting.a.machine.join(meeting.drives[0], "\ud800")
    with pytest.raises(ValueError, match="overflow must be"):
        meeting.a.machine.join(meeting.drives[0], "chat", overflow="drop")  # type: ignore[arg-type]
    assert len(meeting.drives[0].topics) == 1


# Scopes


class StrangerCase:
    """A node that has the drive and one that has not, which both use the drive's extension name."""

    def __init__(self, scope: TopicScope) -> None:
        self.network, self.ours, self.stranger = Network(), Node("ours"), Node("stranger")
        drive = self.ours.open()
        self.watch = self.ours.machine.watch(drive)
        self.topic = self.ours.machine.join(drive, "chat", scope=scope)
        # In network scope the name has no drive in it: any drive does for the stranger.
        other = self.stranger.open(OTHER_KEY)
        self.theirs = self.stranger.machine.join(other, "chat", scope="network")
        self.near, self.far = self.network.connect(self.stranger, self.ours)
        self.network.settle()


def test_network_scope_hears_strangers_and_gives_them_ids() -> None:
    case = StrangerCase("network")
    sender = case.near.sender(None, "peersockets/v0/chat")
    sender.send(b"hello")
    case.network.settle()
    assert case.topic.take_all() == [Message(1, b"hello", case.stranger.public_key)]
    assert events(case.watch) == []
    assert case.ours.machine.drives_of(1) == []
    assert case.topic.send(1, b"welcome") is not None
    case.network.settle()
    assert received(case.theirs) == [b"welcome"]
    case.network.end(case.near)
    with pytest.raises(PeerGone):
        case.topic.send(1, b"too late")


def test_drive_scope_drops_what_strangers_say() -> None:
    case = StrangerCase("drive")
    name = f"peersockets/v0/webapp/{KEY.discovery_key.hex()}/chat"
    case.near.extensions.register(name)
    case.near.sender(None, name).send(b"hello")
    case.network.settle()
    assert received(case.topic) == []
    with pytest.raises(UnknownPeer):
        case.topic.send(1, b"x")


def test_in_drive_scope_a_peer_known_from_elsewhere_is_gone() -> None:
    case = StrangerCase("network")
    case.near.sender(None, "peersockets/v0/chat").send(b"hello")
    case.network.settle()
    drive_topic = case.ours.machine.join(case.ours.open(), "chat")
    with pytest.raises(PeerGone, match="peer 1 is gone"):
        drive_topic.send(1, b"x")


def test_scopes_of_one_name_are_two_topics() -> None:
    for scope in ("drive", "network"):
        meeting = Meeting(scope="network")
        meeting.connect()
        both = [
            meeting.b.machine.join(meeting.drives[1], "chat"),
            meeting.b.machine.join(meeting.drives[1], "chat", scope="network"),
        ]
        sender = meeting.a.machine.join(
            meeting.drives[0], "chat", scope="drive" if scope == "drive" else "network"
        )
        sender.send(1, b"x")
        meeting.network.settle()
        assert [len(handle) for handle in both] == ([1, 0] if scope == "drive" else [0, 1])


def test_a_network_name_spelled_as_a_drives_is_the_same_extension() -> None:
    meeting = Meeting()
    meeting.connect()
    spelled = f"webapp/{KEY.discovery_key.hex()}/chat"
    network = meeting.b.machine.join(meeting.drives[1], spelled, scope="network")
    meeting.send(b"x")
    assert received(meeting.topic_b) == received(network) == [b"x"]
    meeting.topic_b.close()
    meeting.send(b"y")
    assert received(network) == [b"y"]


# Errors of sending


@pytest.mark.parametrize("peer_id", [0, 2, -1, 10**20])
def test_an_unknown_peer(peer_id: int, meeting: Meeting) -> None:
    meeting.connect()
    for ask in (
        lambda: meeting.topic_a.send(peer_id, b"x"),
        lambda: meeting.topic_a.route(peer_id),
        lambda: meeting.a.machine.peer(peer_id),
    ):
        with pytest.raises(UnknownPeer, match=f"peer_id {peer_id} is not a peer"):
            ask()


@pytest.mark.parametrize("peer_id", [None, "1", True, 1.5])
def test_a_peer_id_of_another_type(peer_id: int, meeting: Meeting) -> None:
    with pytest.raises(TypeError, match="peer_id must be int"):
        meeting.topic_a.send(peer_id, b"x")


def test_a_peer_that_is_gone(meeting: Meeting) -> None:
    near, _ = meeting.connect()
    meeting.send(b"x")
    assert meeting.topic_a.reaches(1)
    meeting.network.end(near)
    assert not meeting.topic_a.reaches(1)
    with pytest.raises(PeerGone, match="peer 1 is gone") as caught:
        meeting.topic_a.send(1, b"x")
    assert caught.value.peer_id == 1
    assert meeting.topic_a.statistics().sent_messages == 1


def test_a_message_too_large(meeting: Meeting) -> None:
    near, _ = meeting.connect()
    for _ in range(2):
        with pytest.raises(MessageTooLarge):
            meeting.topic_a.send(1, bytes(16 * MIB))
        assert not near.has_output
        meeting.send(b"small")
    assert meeting.topic_a.statistics().sent_messages == 2
    route = meeting.topic_a.route(1)
    assert route is not None
    with pytest.raises(MessageTooLarge):
        route.check_size(16 * MIB)


def test_sending_stops_at_the_high_water_mark(meeting: Meeting) -> None:
    near, _ = meeting.connect()
    chunk = bytes(100_000)
    count = 0
    while meeting.topic_a.send(1, chunk) is near:
        count += 1
    assert count == 11
    near.outbox.reserve()  # somebody waits
    meeting.network.settle()
    assert meeting.topic_a.send(1, b"overtaking") is None
    assert meeting.topic_a.send(1, b"my turn", in_turn=True) is near
    near.outbox.open()
    meeting.network.settle()
    assert received(meeting.topic_b) == [chunk] * 11 + [b"my turn"]


def test_a_closed_handle_does_not_send() -> None:
    meeting = Meeting()
    meeting.connect()
    machine, drive = meeting.a.machine, meeting.drives[0]
    machine.join(drive, "zoo")
    zoo = meeting.b.machine.join(meeting.drives[1], "zoo")
    meeting.send(b"x")
    assert meeting.topic_a.reaches(1)
    meeting.topic_a.close()
    assert not meeting.topic_a.reaches(1)
    try:
        with pytest.raises(LocalProtocolError):
            meeting.topic_a.send(1, b"for chat")
    finally:
        meeting.network.settle()
        assert received(zoo) == []


def test_sending_on_a_connection_that_has_closed_and_is_not_removed_yet(meeting: Meeting) -> None:
    near, _ = meeting.connect()
    near.close()
    with pytest.raises(LocalProtocolError):
        meeting.topic_a.send(1, b"x")


# Overflow


def small(overflow: Overflow) -> Meeting:
    meeting = Meeting(limits=Limits(receive_messages=4))
    meeting.topic_b.close()
    meeting.topic_b = meeting.b.machine.join(meeting.drives[1], "chat", overflow=overflow)
    meeting.connect()
    return meeting


def test_a_full_handle_stops_the_reading_of_its_senders() -> None:
    meeting = small("wait")
    (far,) = meeting.b.machine.registry.links
    for number in range(4):
        assert meeting.b.machine.may_read(far)
        meeting.send(b"%d" % number)
    assert not meeting.b.machine.may_read(far)
    assert meeting.b.host.read == []
    meeting.topic_b.take()
    assert meeting.b.machine.may_read(far)
    assert meeting.b.host.read == [far]


def test_closing_a_full_handle_releases_its_senders() -> None:
    meeting = small("wait")
    (far,) = meeting.b.machine.registry.links
    for _ in range(4):
        meeting.send(b"x")
    meeting.topic_b.close()
    assert meeting.b.machine.may_read(far)
    assert meeting.b.host.read == [far]


@pytest.mark.parametrize(("overflow", "kept"), [("drop_oldest", [6, 7, 8, 9]), ("drop_newest", [0, 1, 2, 3])])
def test_a_handle_that_drops(overflow: Overflow, kept: list[int]) -> None:
    meeting = small(overflow)
    (far,) = meeting.b.machine.registry.links
    for number in range(10):
        meeting.send(b"%d" % number)
    assert meeting.b.machine.may_read(far)
    assert meeting.topic_b.statistics().dropped_messages == 6
    assert meeting.topic_b.statistics().received_messages == 10
    assert received(meeting.topic_b) == [b"%d" % number for number in kept]


def test_a_connection_unknown_here_may_be_read() -> None:
    node = Node("a")
    assert node.machine.may_read(node.connection(initiator=False))


def test_reconnecting_does_not_get_past_a_full_handle() -> None:
    meeting = small("wait")
    for number in range(30):
        if number:
            meeting.connect()
        for _ in range(4):
            meeting.topic_a.send(1, b"x")
        meeting.network.settle()
        meeting.network.end(next(iter(meeting.a.machine.registry.links)))
    assert len(meeting.topic_b) < 30


def test_a_connection_that_has_ended_is_not_called_readable() -> None:
    meeting = small("wait")
    for _ in range(4):
        meeting.send(b"x")
    meeting.network.end(next(iter(meeting.a.machine.registry.links)))
    meeting.topic_b.take_all()
    assert meeting.b.host.read == []


def test_the_connection_to_a_key(meeting: Meeting) -> None:
    key, connection_to = meeting.b.public_key, meeting.a.machine.connection_to
    assert connection_to(meeting.b.wire, key) is None
    meeting.connect()
    (near,) = meeting.a.machine.registry.links
    assert [connection_to(wire, key) for wire in WIRES if wire != meeting.b.wire] == [None]
    assert connection_to(meeting.b.wire, key) is near
    meeting.network.end(near)
    assert connection_to(meeting.b.wire, key) is None


# Duplicate connections


Sides: TypeAlias = tuple[Connection, Connection]


class Duplicates:
    """Two connections between the same nodes, A's key being the smaller; the first carries the drive."""

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
        """Let everything arrive, and half the time pass that a remote has for folding."""
        self.network.now += 0.1
        self.network.settle()
        for machine in (self.a.machine, self.b.machine):
            machine.handle_deadline(self.network.now + FOLD_TIME / 2)

    def dial(self, by_a: bool) -> Sides:
        """Returns A's side of a new connection, and B's."""
        near, far = self.network.connect(*((self.a, self.b) if by_a else (self.b, self.a)))
        return (near, far) if by_a else (far, near)


def node(label: str, pair: KeyPair) -> Node:
    made = Node(label)
    made.key_pair = pair
    return made


# On hypercore9, the one that the smaller key dialled survives, and of two of those, the newer (hyperswarm
# 2.15.3, `deduplicate`).
CASES = [(True, True, True), (True, False, False), (False, True, True), (False, False, False)]


@pytest.mark.parametrize(("first_by_a", "second_by_a", "second_survives"), CASES)
def test_duplicates_are_folded_without_leave_or_join(
    first_by_a: bool, second_by_a: bool, second_survives: bool
) -> None:
    case = Duplicates(first_by_a, second_by_a)
    case.wait()
    loser, survivor = (case.first, case.second) if second_survives else (case.second, case.first)
    # Where the larger key dialled the newer, that side decides alone.
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


def test_a_newcomer_does_not_give_way_to_a_connection_that_is_going_to_end() -> None:
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
        elif number % 2:  # the new connection is ahead of the old one, which has much to send
            case.network.settle(*case.second)
    case.network.settle()
    assert received(case.far_topic) == sent
    assert len(sent) >= 15


def test_the_remote_closes_the_loser_first() -> None:
    case = Duplicates(True, True)
    near, far = case.second
    while near.remote_public_key is None or far.remote_public_key is None:  # and not yet the drive
        case.network.carry(near)
        case.network.carry(far)
    case.network.end(case.first[0], reason="folded there")
    assert case.topic.send(1, b"x") is None or case.drive.members[1].link is not None
    case.network.settle()
    assert case.topic.send(1, b"x") is near
    assert events(case.watch) == events(case.far_watch) == []
    assert case.a.machine.next_deadline() == math.inf


def test_a_remote_that_does_not_fold_what_it_dialled_has_it_folded_here() -> None:
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
    """A member whose first connection has ended while the second has not opened the drive yet."""
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


def test_sends_while_a_connection_is_replaced_find_no_room(replaced: Replaced) -> None:
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
    assert ours.host.reroutings > reroutings  # who waits for the member learns that it is gone
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


def test_a_replacement_has_its_time_anew_if_we_were_away(replaced: Replaced) -> None:
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


# Drives


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


def test_after_a_drive_is_closed_there_sends_fail(meeting: Meeting) -> None:
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


def test_a_refusal_is_not_a_leave() -> None:
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


def test_failing_a_connection_names_the_reason_in_the_leave() -> None:
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
def test_commands_survive_a_connection_that_has_closed_and_is_not_removed_yet(
    command: Callable[[Meeting], object], meeting: Meeting
) -> None:
    near, _ = meeting.connect()
    near.fail(RemoteProtocolError("gone"))
    command(meeting)
    meeting.a.machine.remove_connection(near, NOW)


def test_who_shares_no_drive_and_has_dialled_is_a_stranger_the_oldest_first() -> None:
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


def test_of_too_many_connections_of_one_key_the_oldest_goes() -> None:
    node = Node("ours", limits=attrs.evolve(DEFAULT_LIMITS, duplicates=3))
    node.open()
    sides = []
    for _ in range(6):
        side = node.connection(initiator=False)
        remote = RawPeer(side, label="the same")
        node.machine.receive_events(side, remote.events, NOW)
        sides.append(side)
    dropped = [connection for connection, _ in node.host.dropped]
    assert dropped == [side for side in sides if side in dropped]  # from the oldest on, and each once
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


def test_whoever_leaves_one_of_two_drives_is_still_known() -> None:
    """A member counts as met as long as it is a member of anything, though others may be forgotten."""
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


def test_a_watch_is_what_the_host_is_called_with(meeting: Meeting) -> None:
    meeting.connect()
    assert meeting.a.host.noted == [meeting.watch_a]


def test_connections_are_made_with_what_the_caller_asks_for() -> None:
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


def test_a_finished_handshake_is_waited_for_no_longer() -> None:
    """Its connection has turned out to be somebody else's, so that no member can come back on it."""
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


def test_what_two_connections_of_a_member_did_not_send_is_counted_together() -> None:
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


def test_a_drive_that_closes_on_one_of_two_connections_is_reached_on_the_other() -> None:
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


def test_a_repr_counts_connections_and_drives() -> None:
    node = Node("A")
    node.open()
    assert repr(node.machine) == "<Peersockets 0 connections, 1 drives>"
