"""A few nodes and members for three minutes; `python -m benchmarks.scale` runs thousands for a day."""

from __future__ import annotations

from random import Random

from benchmarks.scale.mesh import average, spread
from benchmarks.scale.network import Network
from benchmarks.scale.population import Population
from benchmarks.scale.report import HEAD, Observer, line

LINE = {1: {2}, 2: {1, 3}, 3: {2, 4}, 4: {3}}
RING = {1: {2, 4}, 2: {1, 3}, 3: {2, 4}, 4: {3, 1}}


def test_a_message_gets_as_far_as_its_hops() -> None:
    found = spread(LINE, 1, 3)
    assert found.reached == (1 / 3, 2 / 3, 1.0)
    assert found.copies == (1, 2, 3)
    around = spread(RING, 1, 3)
    assert around.reached == (2 / 3, 1.0, 1.0)
    assert around.copies == (2, 4, 5)  # the last one sends it on as well, in vain


def test_the_mean_covers_messages_of_all_members() -> None:
    assert average(LINE, Random(0), 1).reached == (0.5,)


def test_members_of_a_small_network_find_each_other_and_all_announcements() -> None:
    network = Network(Random(0), loss=0.01)
    population = Population(network, nodes=40, members=5, seed=0, observers=2)
    population.assemble(20)
    observer = Observer(population)
    period = observer.period(180)
    assert period.lookups > 2
    assert period.recall == 1
    assert period.known == 1
    assert observer.time_to_find_all() == 60
    assert period.spread.reached[-1] == 1
    assert 1 <= period.connections <= period.most_connections <= 6
    assert period.records >= 7
    assert period.nearest.bytes > period.node.bytes > 0
    assert line(period).count("|") == HEAD.splitlines()[0].count("|")


def test_a_node_that_goes_is_replaced() -> None:
    network = Network(Random(0))
    population = Population(network, nodes=20, members=4, seed=0, observers=1)
    population.assemble(10)
    known = next(iter(population.present))
    for host in list(population.hosts.values())[1:4]:
        population.leave(host)
    network.run_until(network.now + 60)
    assert len(population.hosts) == 20
    assert len(population.present) == 5
    assert population.gone >= 3
    assert known in population.present
