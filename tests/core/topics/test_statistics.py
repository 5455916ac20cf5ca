"""Counters of a machine: the sum over all handles, including closed ones."""

from __future__ import annotations

from core.support import KEY, OTHER_KEY, Network, Node
from peersockets_core import MachineStatistics, TopicStatistics
from peersockets_core.topics.statistics import NOTHING, total


def test_the_sum_of_none_is_nothing() -> None:
    assert total([]) == NOTHING == TopicStatistics(0, 0, 0, 0, 0, 0, 0)


def test_every_counter_is_added_up() -> None:
    one = TopicStatistics(1, 2, 3, 4, 5, 6, 7)
    assert total([one, one]) == TopicStatistics(2, 4, 6, 8, 10, 12, 14)


def test_a_new_machine() -> None:
    assert Node("new").machine.statistics() == MachineStatistics(0, 0, 0, NOTHING)


def test_the_counts_of_a_machine() -> None:
    network, alice, bob = Network(), Node("alice"), Node("bob")
    network.connect(alice, bob)
    drives = [node.open(key) for node in (alice, bob) for key in (KEY, OTHER_KEY)]
    network.settle()
    sending = alice.machine.join(drives[0], "chat")
    receiving = [bob.machine.join(drives[2], "chat") for _ in range(2)]
    for size in (10, 20, 30):
        sending.send(1, bytes(size))
    network.settle()
    receiving[0].take()
    assert alice.machine.statistics() == MachineStatistics(2, 2, 1, TopicStatistics(0, 0, 0, 0, 0, 3, 60))
    # Two handles received each message.
    assert bob.machine.statistics().topics == TopicStatistics(6, 120, 5, 110, 0, 0, 0)
    for handle in (sending, *receiving):
        handle.close()
        handle.close()
    assert alice.machine.statistics().topics == TopicStatistics(0, 0, 0, 0, 0, 3, 60)
    # The waiting messages are gone, and the counts stay.
    assert bob.machine.statistics().topics == TopicStatistics(6, 120, 0, 0, 0, 0, 0)
    bob.machine.close_drive(drives[2])
    network.settle()
    statistics = alice.machine.statistics()
    assert (statistics.drives, statistics.members, statistics.peer_ids) == (2, 1, 1)


def test_dropped_messages_are_counted() -> None:
    network, alice, bob = Network(), Node("alice"), Node("bob")
    network.connect(alice, bob)
    drives = [node.open() for node in (alice, bob)]
    network.settle()
    bob.machine.join(drives[1], "chat", overflow="drop_oldest")
    sending = alice.machine.join(drives[0], "chat")
    count = bob.limits.receive_messages + 10
    for _ in range(count):
        sending.send(1, b"")
    network.settle()
    assert bob.machine.statistics().topics.dropped_messages == 10
