from __future__ import annotations

import attrs

from core.support import NOW, OTHER_KEY, Network, Node
from peersockets_core import (
    DEFAULT_LIMITS,
    Connection,
    MessagesReceived,
    PeerEvent,
    PeerJoined,
    PeerLeft,
    Watch,
)
from peersockets_core.limits import MESSAGE_COST

SMALL = attrs.evolve(DEFAULT_LIMITS, receive_messages=4)
FOLD_TIME = DEFAULT_LIMITS.fold_time


def events(watch: Watch) -> list[type[PeerEvent]]:
    return [type(watch.take()) for _ in range(len(watch))]


class Crowd:
    """A reader with a small handle, and members that send to it."""

    def __init__(self) -> None:
        self.network = Network()
        self.reader = Node("reader", limits=SMALL)
        drive = self.reader.open()
        self.topic = self.reader.machine.join(drive, "chat")
        self.watch = self.reader.machine.watch(drive)

    def enter(self, label: str) -> tuple[Connection, Member]:
        """Add a member. Return the reader's end of its connection, and the member."""
        member = Member(label)
        _, far = self.network.connect(member.node, self.reader)
        self.network.settle()
        return far, member


class Member:
    def __init__(self, label: str) -> None:
        self.node = Node(label)
        self.topic = self.node.machine.join(self.node.open(), "chat")

    def send(self, count: int) -> None:
        for _ in range(count):
            assert self.topic.send(1, b"x") is not None


def test_a_full_handle_holds_up_the_member_that_fills_it_and_an_overfull_one_holds_up_all() -> None:
    crowd = Crowd()
    loud, talker = crowd.enter("loud")
    quiet, _ = crowd.enter("quiet")
    may_read = crowd.reader.machine.may_read
    talker.send(4)
    crowd.network.settle()
    assert (may_read(loud), may_read(quiet)) == (False, True)
    crowd.topic.take_all()
    talker.send(8)
    crowd.network.settle()
    assert (may_read(loud), may_read(quiet)) == (False, False)
    newcomer, _ = crowd.enter("newcomer")
    assert not may_read(newcomer)
    assert crowd.reader.host.dropped == []
    crowd.topic.take_all()
    assert all(map(may_read, (loud, quiet, newcomer)))


def test_one_read_may_bring_any_number_in_any_order_but_no_other_read_may_follow() -> None:
    crowd = Crowd()
    far, talker = crowd.enter("loud")
    others = [node.machine.join(node.open(), "other") for node in (crowd.reader, talker.node)]
    for _ in range(20):
        talker.send(1)
        assert others[1].send(1, b"y") is not None
    (near,) = talker.node.machine.registry.connections
    read = far.receive_data(bytes(near.data_to_send(NOW)), NOW)
    assert sum(isinstance(event, MessagesReceived) for event in read) == 40
    crowd.reader.machine.receive_events(far, read, NOW)
    assert (len(crowd.topic), len(others[0])) == (20, 20)
    assert crowd.reader.host.dropped == []
    assert not crowd.reader.machine.may_read(far)
    # If the host reads on all the same, the machine holds back one more read, and then drops the connection.
    for _ in range(2):
        assert crowd.reader.host.dropped == []
        talker.send(1)
        read = far.receive_data(bytes(near.data_to_send(NOW)), NOW)
        crowd.reader.machine.receive_events(far, read, NOW)
        assert len(crowd.topic) == 20
    [(dropped, error)] = crowd.reader.host.dropped
    assert dropped is far
    assert str(error) == "sends to a topic that has long been full"
    assert len(crowd.topic) == 20


def test_in_network_scope_all_peers_are_held_up() -> None:
    crowd = Crowd()
    drive = next(iter(crowd.reader.machine.memberships.drives.values()))
    topic = crowd.reader.machine.join(drive, "chat", scope="network")
    loud = Node("loud")
    far = crowd.network.connect(loud, crowd.reader)[1]
    quiet = crowd.network.connect(Node("quiet"), crowd.reader)[1]
    crowd.network.settle()
    talker = loud.machine.join(loud.open(OTHER_KEY), "chat", scope="network")
    assert loud.machine.meet(next(iter(loud.machine.memberships.peers))) == 1
    for _ in range(8):
        assert talker.send(1, b"x") is not None
    crowd.network.settle()
    assert not any(map(crowd.reader.machine.may_read, (far, quiet)))
    topic.close()
    assert all(map(crowd.reader.machine.may_read, (far, quiet)))


def test_a_handle_that_drops_holds_nobody_up() -> None:
    crowd = Crowd()
    crowd.topic.close()
    drive = next(iter(crowd.reader.machine.memberships.drives.values()))
    crowd.reader.machine.join(drive, "chat", overflow="drop_oldest")
    far, talker = crowd.enter("loud")
    talker.send(20)
    crowd.network.settle()
    assert crowd.reader.machine.may_read(far)
    assert crowd.reader.host.dropped == []


class Redialled:
    """A member that has ended its connection while handshakes are in progress; one of them is its next.

    Only the last message of each handshake, which shows whose it is, has not arrived yet.
    """

    def __init__(self, *others: str) -> None:
        self.crowd = Crowd()
        far, member = self.crowd.enter("restless")
        assert events(self.crowd.watch) == [PeerJoined]
        self.others = [self.begin(Member(label)) for label in others]
        self.near, self.far = self.begin(member)
        far.receive_eof(NOW)
        self.crowd.reader.machine.remove_connection(far, NOW)

    def begin(self, member: Member) -> tuple[Connection, Connection]:
        """Dial, and carry the answer. Return both sides."""
        near, far = self.crowd.network.connect(member.node, self.crowd.reader)
        assert self.crowd.network.carry(near)
        assert self.crowd.network.carry(far)
        return near, far

    @property
    def events(self) -> list[type[PeerEvent]]:
        return events(self.crowd.watch)


def test_a_member_that_redials_before_it_ends_the_old_connection_does_not_leave() -> None:
    case = Redialled()
    assert case.events == []
    assert case.crowd.reader.machine.next_deadline() == NOW + FOLD_TIME
    case.crowd.network.settle(case.near, case.far)
    assert case.events == []
    assert case.crowd.topic.send(1, b"x") is case.far


def test_it_leaves_when_the_handshake_fails() -> None:
    case = Redialled()
    case.crowd.reader.machine.remove_connection(case.far, NOW)
    assert case.events == [PeerLeft]


def test_it_leaves_when_the_handshake_belongs_to_another_peer() -> None:
    case = Redialled()
    somebody = Member("somebody")
    near, far = case.crowd.network.connect(somebody.node, case.crowd.reader)
    case.crowd.network.settle(near, far)
    assert case.events == [PeerJoined]
    case.crowd.network.end(case.near)
    assert case.events == [PeerLeft]


def test_it_leaves_when_none_of_several_handshakes_is_its_own() -> None:
    case = Redialled("somebody", "else")
    for sides in case.others:
        case.crowd.network.settle(*sides)
        assert case.events == [PeerJoined]
    case.crowd.reader.machine.remove_connection(case.far, NOW)
    assert case.events == [PeerLeft]


def test_its_leave_does_not_wait_for_an_unanswered_handshake() -> None:
    crowd = Crowd()
    far, _ = crowd.enter("restless")
    crowd.network.connect(Node("somebody"), crowd.reader)
    crowd.reader.machine.remove_connection(far, NOW)
    assert events(crowd.watch) == [PeerJoined, PeerLeft]


def test_a_peer_that_shares_a_drive_is_a_member() -> None:
    crowd = Crowd()
    machine = crowd.reader.machine
    near, far = crowd.network.connect(Member("member").node, crowd.reader)
    stranger = crowd.network.connect(Node("stranger"), crowd.reader)[1]
    assert not machine.is_member(far)
    crowd.network.settle()
    assert (machine.is_member(far), machine.is_member(stranger)) == (True, False)
    crowd.network.end(near)
    assert not machine.is_member(far)


def test_it_leaves_when_the_handshake_takes_too_long() -> None:
    case = Redialled()
    case.crowd.reader.machine.handle_deadline(NOW + FOLD_TIME)
    assert case.events == [PeerLeft]
    case.crowd.network.settle(case.near, case.far)
    assert case.events == [PeerJoined]


class Late:
    """A crowd whose topic is overfull, and newcomers that have each sent messages to it in one read."""

    def __init__(self, *said: int) -> None:
        self.crowd = Crowd()
        _, talker = self.crowd.enter("loud")
        talker.send(8)
        self.crowd.network.settle()
        self.newcomers = []
        for number, count in enumerate(said):
            far, member = self.crowd.enter(f"newcomer {number}")
            member.send(count)
            self.newcomers.append(far)
        self.crowd.network.settle()
        assert self.crowd.reader.host.dropped == []
        assert not any(map(self.may_read, self.newcomers))

    def may_read(self, connection: Connection) -> bool:
        return self.crowd.reader.machine.may_read(connection)

    def take(self, count: int) -> list[int]:
        return [self.crowd.topic.take().peer_id for _ in range(count)]


def test_messages_of_newcomers_to_an_overfull_topic_wait() -> None:
    late = Late(3)
    topic, noted = late.crowd.topic, late.crowd.reader.host.noted
    assert late.take(4) == [1] * 4
    assert len(topic) == 4
    noted.clear()
    assert late.take(1) == [1]
    assert len(topic) == 3 + 3
    assert noted == [topic]
    assert not late.may_read(late.newcomers[0])
    assert late.take(6) == [1, 1, 1, 2, 2, 2]
    assert late.may_read(late.newcomers[0])


def test_newcomers_take_turns() -> None:
    """However many newcomers there are, the topic holds no more than one read beyond its bound."""
    late = Late(*[4] * 20)
    most, taken = 0, []
    while len(late.crowd.topic):
        most = max(most, len(late.crowd.topic))
        taken += late.take(1)
    assert most == 8
    assert sorted(taken) == sorted([1] * 8 + [peer_id for peer_id in range(2, 22) for _ in range(4)])
    assert all(map(late.may_read, late.newcomers))


def test_waiting_messages_count_for_their_connection_and_end_with_it() -> None:
    late = Late(3)
    machine, (far,) = late.crowd.reader.machine, late.newcomers
    assert machine.registry.kept(far) - far.kept == 3 * (1 + MESSAGE_COST)
    machine.remove_connection(far, NOW)
    assert len(late.crowd.topic.take_all()) == 8
    assert len(late.crowd.topic) == 0


def test_waiting_messages_follow_when_all_are_taken_and_are_discarded_when_the_topic_is_left() -> None:
    taken, left = Late(3), Late(3)
    taken.crowd.topic.take_all()
    assert len(taken.crowd.topic) == 3
    left.crowd.topic.close()
    machine, (far,) = left.crowd.reader.machine, left.newcomers
    assert left.may_read(far)
    assert machine.registry.kept(far) == far.kept


def test_messages_that_wait_for_one_topic_do_not_go_to_another() -> None:
    crowd = Crowd()
    drive = next(iter(crowd.reader.machine.memberships.drives.values()))
    again = crowd.reader.machine.join(drive, "chat")
    _, talker = crowd.enter("loud")
    talker.send(8)
    crowd.network.settle()
    far, member = crowd.enter("newcomer")
    member.send(2)
    crowd.network.settle()
    assert len(crowd.topic.take_all()) == 8
    assert (len(crowd.topic), len(again)) == (2, 8)
    assert not crowd.reader.machine.may_read(far)
    again.take_all()
    assert (len(crowd.topic), len(again)) == (2, 2)
    assert crowd.reader.machine.may_read(far)


def test_messages_that_wait_for_two_topics_count_together_and_come_with_their_sender() -> None:
    """Each part goes to its own topic, whichever of the two drains first."""
    crowd = Crowd()
    drive = next(iter(crowd.reader.machine.memberships.drives.values()))
    again = crowd.reader.machine.join(drive, "chat")
    _, talker = crowd.enter("loud")
    talker.send(8)
    crowd.network.settle()
    far, member = crowd.enter("newcomer")
    member.send(2)
    crowd.network.settle()
    machine = crowd.reader.machine
    assert machine.registry.kept(far) - far.kept == 2 * 2 * (1 + MESSAGE_COST)
    assert len(again.take_all()) == 8
    assert (len(crowd.topic), len(again)) == (8, 2)
    assert machine.registry.kept(far) - far.kept == 2 * (1 + MESSAGE_COST)
    assert not machine.may_read(far)
    assert {message.public_key for message in again.take_all()} == {member.node.public_key}
    crowd.topic.take_all()
    assert machine.registry.kept(far) == far.kept
    assert machine.may_read(far)
