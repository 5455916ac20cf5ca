"""`SwarmRuntime`: the activity in each of its states. `test_swarm.py` tests the part that users see."""

from __future__ import annotations

from trio.testing import MockClock

from peersockets_trio import open_node
from peersockets_trio.runtime.swarm_state import SwarmState
from peersockets_trio.testing.internals import swarm_runtime

HOST = "127.0.0.1"


async def test_a_suspended_swarm_sends_nothing_though_work_becomes_due(autojump_clock: MockClock) -> None:
    async with open_node() as node, node.open_swarm(bootstrap=[(HOST, 9)], host=HOST) as swarm:
        runtime = swarm_runtime(swarm)
        states = [runtime.state]
        await swarm.suspend()
        states.append(runtime.state)
        sent = runtime.udp.datagrams_sent
        runtime.machine.dht.node.ping((HOST, 9), 0.0)
        runtime.flush()
        assert runtime.udp.datagrams_sent == sent
        swarm.resume()
        states.append(runtime.state)
        assert runtime.udp.datagrams_sent > sent
    assert [*states, runtime.state] == [
        SwarmState.OPEN,
        SwarmState.SUSPENDED,
        SwarmState.OPEN,
        SwarmState.CLOSED,
    ]
