"""`peersockets_core.topics.machine`: messages on topics, and full handles."""

from __future__ import annotations

import pytest

from core.support import (
    KEY,
    OTHER_KEY,
    Network,
    Node,
)
from core.topics.support import MIB, WIRES, Meeting, events, received
from peersockets_core import (
    Limits,
    LocalProtocolError,
    Message,
    MessageTooLarge,
    Overflow,
    PeerGone,
    TopicHandle,
    TopicScope,
    UnknownPeer,
)

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


def test_messages_on_topics_that_are_not_joined_are_discarded(meeting: Meeting) -> None:
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
def test_a_topic_must_be_text(topic: str, meeting: Meeting) -> None:
    with pytest.raises(TypeError, match="topic must be str"):
        meeting.a.machine.join(meeting.drives[0], topic)
    with pytest.raises(ValueError, match="lone surrogates"):
        meeting.a.machine.join(meeting.drives[0], "\ud800")
    with pytest.raises(ValueError, match="overflow must be"):
        meeting.a.machine.join(meeting.drives[0], "chat", overflow="drop")  # type: ignore[arg-type]
    assert len(meeting.drives[0].topics) == 1


# Scopes


class StrangerCase:
    """A node that has the drive and one that does not. Both use the drive's extension name."""

    def __init__(self, scope: TopicScope) -> None:
        self.network, self.ours, self.stranger = Network(), Node("ours"), Node("stranger")
        drive = self.ours.open()
        self.watch = self.ours.machine.watch(drive)
        self.topic = self.ours.machine.join(drive, "chat", scope=scope)
        # In network scope the name contains no drive key, so the stranger may open any drive.
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


def test_drive_scope_drops_messages_of_strangers() -> None:
    case = StrangerCase("drive")
    name = f"peersockets/v0/webapp/{KEY.discovery_key.hex()}/chat"
    case.near.extensions.register(name)
    case.near.sender(None, name).send(b"hello")
    case.network.settle()
    assert received(case.topic) == []
    with pytest.raises(UnknownPeer):
        case.topic.send(1, b"x")


def test_in_drive_scope_a_known_peer_that_is_no_member_is_gone() -> None:
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


def test_a_network_topic_may_have_the_extension_name_of_a_drive_topic() -> None:
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


def test_a_message_over_the_limit(meeting: Meeting) -> None:
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
    near.outbox.reserve()  # a sender waits
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


def test_sending_on_a_closed_connection_that_is_not_removed_yet(meeting: Meeting) -> None:
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


def test_an_unknown_connection_may_be_read() -> None:
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


def test_a_connection_that_has_ended_is_not_reported_as_readable() -> None:
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
