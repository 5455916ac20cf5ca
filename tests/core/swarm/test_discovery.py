"""The rhythm of the searches for a topic."""

from __future__ import annotations

from itertools import pairwise

from core.swarm.support import TOPIC, SwarmNetwork
from peersockets_core.swarm import Announced


def test_early_searches_and_then_one_every_ten_minutes() -> None:
    network = SwarmNetwork()
    alice = network.add_person()
    alice.machine.join(TOPIC, network.now)
    began = network.now
    times: list[float] = []
    while len(times) < 6:
        count = len(alice.of_type(Announced))
        network.until(lambda count=count: len(alice.of_type(Announced)) > count, within=800)  # type: ignore[misc]
        times.append(network.now - began)
    pauses = [second - first for first, second in pairwise(times)]
    assert 4.9 < pauses[0] < 6
    assert 29 < pauses[1] < 32
    assert all(600 <= pause < 725 for pause in pauses[2:])
    assert len(set(map(round, pauses[2:]))) > 1


def test_a_new_discovery_of_a_topic_searches_at_once() -> None:
    network = SwarmNetwork()
    alice = network.add_person()
    first = alice.machine.join(TOPIC, network.now)
    network.network.run_for(60)
    count = len(alice.of_type(Announced))
    second = alice.machine.join(TOPIC, network.now, lookup=False)
    network.until(lambda: len(alice.of_type(Announced)) == count + 1, within=2)
    assert first.flushed
    assert second.flushed
    topic = alice.machine.topics[TOPIC]
    assert (topic.announces, topic.looks_up) == (True, True)
    alice.machine.leave(first, network.now)
    assert (topic.announces, topic.looks_up) == (True, False)
    assert not topic.found(b"k" * 32)
