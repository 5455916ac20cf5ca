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
        """One more member; returns the reader's end of its connection, and the member."""
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


def test_one_full_handle_holds_up_who_fills_it_and_an_overflowing_one_everybody() -> None:
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
    assert crowd.reader.driver.dropped == []
    crowd.topic.take_all()
    assert all(map(may_read, (loud, quiet, newcomer)))


def test_one_read_may_bring_any_number_in_any_order_but_there_must_be_no_other() -> None:
    crowd = Crowd()
    far, talker = crowd.enter("loud")
    others = [node.machine.join(node.open(), "other") for node in (crowd.reader, talker.node)]
    for _ in range(20):
        talker.send(1)
        assert others[1].send(1, b"y") is not None
    (near,) = talker.node.machine._connections
    read = far.receive_data(bytes(near.data_to_send(NOW)), NOW)
    assert sum(isinstance(event, MessagesReceived) for event in read) == 40
    crowd.reader.machine.receive_events(far, read, NOW)
    assert (len(crowd.topic), len(others[0])) == (20, 20)
    assert crowd.reader.driver.dropped == []
    assert not crowd.reader.machine.may_read(far)
    # Whoever reads on nevertheless is the one who has it grow without bounds.
    talker.send(1)
    read = far.receive_data(bytes(near.data_to_send(NOW)), NOW)
    crowd.reader.machine.receive_events(far, read, NOW)
    [(dropped, error)] = crowd.reader.driver.dropped
    assert dropped is far
    assert str(error) == "sends to a topic that has long been full"
    assert len(crowd.topic) == 20


def test_in_network_scope_everybody_is_held_up() -> None:
    crowd = Crowd()
    drive = next(iter(crowd.reader.machine._drives.values()))
    topic = crowd.reader.machine.join(drive, "chat", scope="network")
    loud = Node("loud")
    far = crowd.network.connect(loud, crowd.reader)[1]
    quiet = crowd.network.connect(Node("quiet"), crowd.reader)[1]
    crowd.network.settle()
    talker = loud.machine.join(loud.open(OTHER_KEY), "chat", scope="network")
    assert loud.machine.meet(next(iter(loud.machine._peers))) == 1
    for _ in range(8):
        assert talker.send(1, b"x") is not None
    crowd.network.settle()
    assert not any(map(crowd.reader.machine.may_read, (far, quiet)))
    topic.close()
    assert all(map(crowd.reader.machine.may_read, (far, quiet)))


def test_a_handle_that_drops_holds_up_nobody() -> None:
    crowd = Crowd()
    crowd.topic.close()
    drive = next(iter(crowd.reader.machine._drives.values()))
    crowd.reader.machine.join(drive, "chat", overflow="drop_oldest")
    far, talker = crowd.enter("loud")
    talker.send(20)
    crowd.network.settle()
    assert crowd.reader.machine.may_read(far)
    assert crowd.reader.driver.dropped == []


class Redialled:
    """A member that has ended its connection, while a handshake is under way that may be its next."""

    def __init__(self) -> None:
        self.crowd = Crowd()
        far, member = self.crowd.enter("restless")
        assert events(self.crowd.watch) == [PeerJoined]
        self.near, self.far = self.crowd.network.connect(member.node, self.crowd.reader)
        far.receive_eof(NOW)
        self.crowd.reader.machine.remove_connection(far, NOW)

    @property
    def events(self) -> list[type[PeerEvent]]:
        return events(self.crowd.watch)


def test_who_dials_anew_and_ends_the_old_connection_first_does_not_leave() -> None:
    case = Redialled()
    assert case.events == []
    assert case.crowd.reader.machine.next_deadline() == NOW + FOLD_TIME
    case.crowd.network.settle(case.near, case.far)
    assert case.events == []
    assert case.crowd.topic.send(1, b"x") is case.far


def test_it_leaves_when_the_handshake_comes_to_nothing() -> None:
    case = Redialled()
    case.crowd.reader.machine.remove_connection(case.far, NOW)
    assert case.events == [PeerLeft]


def test_it_leaves_when_the_handshake_is_somebody_elses() -> None:
    case = Redialled()
    somebody = Member("somebody")
    near, far = case.crowd.network.connect(somebody.node, case.crowd.reader)
    case.crowd.network.settle(near, far)
    assert case.events == [PeerJoined]
    case.crowd.network.end(case.near)
    assert case.events == [PeerLeft]


def test_it_leaves_when_the_handshake_takes_too_long() -> None:
    case = Redialled()
    case.crowd.reader.machine.handle_deadline(NOW + FOLD_TIME)
    assert case.events == [PeerLeft]
    case.crowd.network.settle(case.near, case.far)
    assert case.events == [PeerJoined]
