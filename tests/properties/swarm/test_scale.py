"""A few nodes and members for three minutes; `python -m benchmarks.scale` runs thousands for a day."""

from __future__ import annotations

from functools import partial
from random import Random

import pytest

from benchmarks.scale.causes import Cause, cause_of
from benchmarks.scale.mesh import average, spread
from benchmarks.scale.network import Network
from benchmarks.scale.population import Population
from benchmarks.scale.report import CAUSES_HEAD, HEAD, Observer, causes_lines, line
from peersockets_core.dht.messages import HyperDhtCommand
from peersockets_core.dht.rpc.messages import RpcCommand, RpcRequest, encode_request

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


def test_each_packet_of_a_host_has_a_cause() -> None:
    network = Network(Random(0), loss=0.01)
    population = Population(network, nodes=40, members=5, seed=0, observers=2)
    population.assemble(20)
    # Half of the nodes near the drive vanish, and what they cost no longer counts.
    for host in population.nearest()[::2]:
        network.call_at(network.now + 50, partial(population.leave, host))
    period = Observer(population).period(100)
    for role, cost in (("node", period.node), ("nearest", period.nearest), ("member", period.member)):
        causes = period.causes[role]
        assert sum(each.packets for each in causes.values()) == pytest.approx(cost.packets), role
        assert sum(each.bytes for each in causes.values()) == pytest.approx(cost.bytes), role
    assert period.bootstrap.packets > period.node.packets  # the others begin there
    lines = causes_lines(period).splitlines()
    assert len(lines) == len(Cause)
    assert {each.count("|") for each in lines} == {CAUSES_HEAD.splitlines()[0].count("|")}
    of_member = period.causes["member"]
    assert of_member[Cause.TABLES.value].packets == 0  # it is in no table
    assert of_member[Cause.RELAYS.value].packets > 3600 / 3 * 3  # three relays, every three seconds


@pytest.mark.parametrize(
    ("command", "internal", "id", "cause"),
    [
        (RpcCommand.PING, True, bytes(32), Cause.TABLES),
        (RpcCommand.PING, True, None, Cause.RELAYS),
        (RpcCommand.FIND_NODE, True, None, Cause.REFRESH),
        (RpcCommand.DOWN_HINT, True, bytes(32), Cause.OTHER),
        (HyperDhtCommand.FIND_PEER, False, None, Cause.KEYS),
        (HyperDhtCommand.LOOKUP, False, bytes(32), Cause.TOPICS),
        (HyperDhtCommand.UNANNOUNCE, False, None, Cause.RECORDS),
        (HyperDhtCommand.PEER_HANDSHAKE, False, None, Cause.DIALS),
        (HyperDhtCommand.MUTABLE_GET, False, None, Cause.OTHER),
    ],
)
@pytest.mark.parametrize("token", [None, bytes(32)])
def test_the_cause_of_a_request_is_its_command(
    command: int, internal: bool, id: bytes | None, cause: Cause, token: bytes | None
) -> None:
    request = RpcRequest(7, ("10.0.0.1", 1), command, internal, id, token, bytes(32), b"value")
    assert cause_of(encode_request(request)) is cause


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
