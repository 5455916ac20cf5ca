from __future__ import annotations

import math
from typing import TypeAlias

import pytest

from core.support import KEY, NOW, Network, Node, RawPeer, RecordingHost, entropy, key_pair
from peersockets_core import (
    DEFAULT_LIMITS,
    Connection,
    KeyPair,
    PeerEvent,
    Watch,
    WireName,
)
from peersockets_core.topics.folding import judge
from peersockets_core.topics.members import KnownPeer, Link
from peersockets_core.wires.duplicates import Duplicates as Facts
from peersockets_core.wires.table import KINDS

FOLD_TIME = DEFAULT_LIMITS.fold_time
WIRES: tuple[WireName, ...] = ("hypercore9", "hypercore11")

Sides: TypeAlias = tuple[Connection, Connection]


def by_key(wire: WireName) -> tuple[KeyPair, KeyPair]:
    """Return two identities, the one with the smaller key first."""
    one, two = key_pair("one"), key_pair("two")
    return (one, two) if one.public_keys[wire] < two.public_keys[wire] else (two, one)


def link(wire: WireName, here: int, *, dialled: bool, began: float, established_at: float) -> Link:
    """Return a connection as seen by the side with the smaller key, 0, or the larger, 1."""
    keys = by_key(wire)
    connection = Connection(
        wire=wire, initiator=dialled, key_pair=keys[here], entropy=entropy("x"), now=began
    )
    connection.established_at = established_at
    return Link(connection, KnownPeer(wire, keys[1 - here].public_keys[wire]), RecordingHost())


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("larger", [False, True])
@pytest.mark.parametrize("dialled_older", [False, True])
@pytest.mark.parametrize("dialled_newer", [False, True])
@pytest.mark.parametrize("established_at", [1.5, 3.0])
def test_the_rule_of_the_wire_is_asked(
    wire: WireName, larger: bool, dialled_older: bool, dialled_newer: bool, established_at: float
) -> None:
    older = link(wire, larger, dialled=dialled_older, began=1.0, established_at=established_at)
    newer = link(wire, larger, dialled=dialled_newer, began=2.0, established_at=4.0)
    pair = Facts(
        dialled=dialled_newer,
        same_dialler=dialled_newer == dialled_older,
        smaller=not larger,
        follows=not dialled_newer and established_at < 2.0,
    )
    assert judge(newer, older) == KINDS[wire].judge(pair)


class Duplicates:
    """Two nodes, of which A has the smaller key, and two connections, one after the other."""

    def __init__(self, wire: WireName) -> None:
        self.network = Network()
        self.nodes = [Node(label, wire=wire) for label in "ab"]
        for node, pair in zip(self.nodes, by_key(wire), strict=True):
            node.key_pair = pair
        self.watches = [node.machine.watch(node.open()) for node in self.nodes]
        self.topics = [
            node.machine.join(node.machine.open_drive(KEY), "chat", overflow="drop_oldest")
            for node in self.nodes
        ]

    def dial(self, dialler: int) -> Sides:
        """Dial. Return A's side, and B's."""
        near, far = self.network.connect(self.nodes[dialler], self.nodes[1 - dialler])
        return (far, near) if dialler else (near, far)

    def pass_time(self, seconds: float) -> None:
        """Let time pass. A retired connection ends at both ends at once, as on a working line."""
        self.network.settle()
        self.network.now += seconds
        for node in self.nodes:
            node.machine.handle_deadline(self.network.now)
        self.network.settle()
        for connection in {connection for node in self.nodes for connection in node.host.retired}:
            if connection in self.network.connections:
                self.network.end(connection)
            elif not connection.closed:
                connection.close()
                for node in self.nodes:
                    node.machine.remove_connection(connection, self.network.now)

    def talk(self) -> bool:
        """Return whether a message arrives each way."""
        for number, topic in enumerate(self.topics):
            if not self.nodes[number].machine.memberships.peers.identified or topic.send(1, b"hello") is None:
                return False
        self.network.settle()
        return all([message.message for message in topic.take_all()] == [b"hello"] for topic in self.topics)


def events(watch: Watch) -> list[PeerEvent]:
    return [watch.take() for _ in range(len(watch))]


ORDERS = pytest.mark.parametrize(
    ("first", "second"),
    [(0, 0), (0, 1), (1, 0), (1, 1)],
    ids=["smaller twice", "smaller, larger", "larger, smaller", "larger twice"],
)


@ORDERS
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("pause", [0.0, 60.0], ids=["at once", "later"])
def test_one_of_two_connections_stays_and_nobody_leaves(
    wire: WireName, first: int, second: int, pause: float
) -> None:
    case = Duplicates(wire)
    sides = [case.dial(first)]
    case.network.settle(*(() if pause else sides[0]))
    case.network.now += pause
    sides.append(case.dial(second))
    for _ in range(4):
        case.pass_time(FOLD_TIME / 2)
    assert [len(node.machine.registry.links) for node in case.nodes] == [1, 1]
    assert case.talk()
    assert [len(events(watch)) for watch in case.watches] == [1, 1]


@ORDERS
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("returning", [0, 1], ids=["smaller returns", "larger returns"])
def test_a_peer_that_comes_back_replaces_its_dead_connection(
    wire: WireName, first: int, second: int, returning: int
) -> None:
    """One side has lost the first connection and forgotten it, while the other side still believes in it."""
    case = Duplicates(wire)
    dead = case.dial(first)
    case.network.settle()
    case.network.cut(dead[0])
    case.nodes[returning].machine.remove_connection(dead[returning], NOW)
    case.network.now += 60
    case.dial(second)
    for _ in range(4):
        case.pass_time(FOLD_TIME / 2)
    assert [len(node.machine.registry.links) for node in case.nodes] == [1, 1]
    assert case.talk()
    assert len(events(case.watches[1 - returning])) == 1, "to who stayed, nobody has left"


@pytest.mark.parametrize("wire", WIRES)
def test_messages_reach_a_peer_at_once_after_it_came_back(wire: WireName) -> None:
    """No time passes if the peer dials and is the side that the rule prefers."""
    case = Duplicates(wire)
    side = 0 if wire == "hypercore9" else 1
    dead = case.dial(1 - side)
    case.network.settle()
    case.network.cut(dead[0])
    case.nodes[side].machine.remove_connection(dead[side], NOW)
    case.network.now += 1
    case.dial(side)
    case.pass_time(0)
    assert case.talk()


def test_a_keepalive_is_sent_on_a_connection_that_may_stay() -> None:
    """hyperswarm 4.17.2 does the same in `_handleServerConnection`."""
    case = Duplicates("hypercore9")
    first = case.dial(0)
    case.network.settle()
    before = first[0].has_output
    case.dial(1)
    case.network.settle(*(side for side in case.network.connections if side not in first))
    assert (before, first[0].has_output) == (False, True)
    assert [node.host.woken for node in case.nodes] == [[side] for side in first]


@pytest.mark.parametrize("late", [False, True])
def test_a_remote_gets_its_full_time_to_fold_after_our_absence(late: bool) -> None:
    case = Duplicates("hypercore9")
    for _ in range(2):
        case.dial(1)
        case.network.settle()
    machine, due = case.nodes[0].machine, NOW + FOLD_TIME
    machine.handle_deadline(due + 60 if late else due)
    assert bool(case.nodes[0].host.retired) != late
    assert machine.next_deadline() == (due + 60 + FOLD_TIME if late else math.inf)


def test_a_sign_of_life_decides_at_once() -> None:
    case = Duplicates("hypercore9")
    first = case.dial(0)
    case.network.settle()
    case.network.now += 60
    second = case.dial(1)
    case.network.now += 0.1
    case.network.settle(*(side for side in case.network.connections if side not in first))
    before = case.nodes[1].host.retired.copy(), bool(case.nodes[1].machine.memberships.folding)
    case.network.settle()
    assert before == ([], True)
    assert case.nodes[1].host.retired == [second[1]]
    assert not case.nodes[1].machine.memberships.folding


def test_signs_of_life_elsewhere_decide_nothing() -> None:
    case = Duplicates("hypercore9")
    first = case.dial(0)
    case.network.settle()
    second = case.dial(1)
    case.network.settle(*second)
    machine = case.nodes[1].machine
    other = case.nodes[1].connection(initiator=True, now=case.network.now)
    machine.receive_events(other, [], case.network.now)
    assert machine.memberships.folding
    assert first[1] in machine.registry.links


@pytest.mark.parametrize("wire", WIRES)
def test_messages_wait_for_a_connection_that_the_remote_has_ended(wire: WireName) -> None:
    """Its queue is still in flight, and a message on another connection would overtake it."""
    case = Duplicates(wire)
    first = case.dial(0)
    case.network.settle()
    topic, machine = case.topics[0], case.nodes[0].machine
    assert topic.send(1, b"before") is first[0]
    machine.end_sending(first[0])
    machine.end_sending(case.nodes[0].connection(initiator=True))
    assert topic.send(1, b"x") is None
    second = case.dial(0)
    case.network.settle()
    assert topic.send(1, b"x") is None
    case.network.end(first[0])
    assert topic.send(1, b"after") is second[0]
    case.network.settle()
    assert [message.message for message in case.topics[1].take_all()] == [b"before", b"after"]


def test_a_closed_connection_that_is_not_removed_yet_wakes_no_sender() -> None:
    case = Duplicates("hypercore9")
    first = case.dial(0)
    case.network.settle()
    first[0].close()
    case.dial(1)
    case.network.settle(*(side for side in case.network.connections if side not in first))
    assert case.nodes[0].host.woken == []


def test_an_unused_duplicate_gives_way_though_the_older_connection_is_silent() -> None:
    """hyperswarm 2.15.3 leaves a duplicate that the larger key dialled unused, and does not end it."""
    node = Node("node")
    smaller, node.key_pair = by_key("hypercore9")
    label = "one" if smaller == key_pair("one") else "two"
    node.open()
    older, newer = (node.connection(initiator=dialled) for dialled in (False, True))
    remote = RawPeer(older, label=label)
    node.machine.receive_events(older, [*remote.events, *remote.send(1, remote.offer())], NOW)
    node.machine.receive_events(newer, RawPeer(newer, label=label).events, NOW)
    node.machine.handle_deadline(NOW + FOLD_TIME / 2 - 0.001)
    retired = node.host.retired.copy()
    node.machine.handle_deadline(NOW + FOLD_TIME / 2)
    assert (retired, node.host.retired) == ([], [newer])
