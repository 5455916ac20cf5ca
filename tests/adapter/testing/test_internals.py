"""The insides of nodes, as tests look at them."""

from __future__ import annotations

from peersockets_trio.testing import open_node_pair
from peersockets_trio.testing.internals import connection_tasks, node_runtime, swarm_runtime, topic_handle


async def test_the_insides_of_a_node_and_a_topic() -> None:
    async with open_node_pair() as (alice, _), alice.drive.join("chat") as topic:
        (task,) = connection_tasks(alice.node)
        assert task.info is not None
        assert node_runtime(alice.node).machine.connections == 1
        assert topic_handle(topic).owner is topic


async def test_the_inside_of_a_swarm() -> None:
    async with open_node_pair() as (alice, _), alice.node.open_swarm(bootstrap=(), host="127.0.0.1") as swarm:
        assert swarm_runtime(swarm).udp.address == swarm.bound_address
