"""`SwarmConnections`: dials that tasks wait for. `test_swarm.py` tests the part that users see."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from peersockets_core import KeyPair
from peersockets_trio import Swarm, open_node

HOST = "127.0.0.1"
NOBODY = KeyPair.from_seed(b"n" * 32).ed25519_public_key


async def test_the_end_of_the_swarm_overtakes_a_dial() -> None:
    async def dial(swarm: Swarm) -> None:
        with pytest.raises(trio.ClosedResourceError, match="the swarm was closed"):
            await swarm.connect(NOBODY)

    async with (
        open_node() as node,
        trio.open_nursery() as nursery,
        node.open_swarm(bootstrap=[(HOST, 9)], host=HOST) as swarm,
    ):
        nursery.start_soon(dial, swarm)
        await wait_all_tasks_blocked(0.01)


async def test_tasks_that_dial_the_same_key_wait_for_one_dial() -> None:
    async def dial(swarm: Swarm) -> None:
        with pytest.raises(trio.ClosedResourceError, match="the swarm was closed"):
            await swarm.connect(NOBODY)

    with trio.fail_after(120):
        async with (
            open_node() as node,
            trio.open_nursery() as nursery,
            node.open_swarm(bootstrap=[(HOST, 9)], host=HOST) as swarm,
        ):
            for _ in range(3):
                nursery.start_soon(dial, swarm)
            await wait_all_tasks_blocked(0.01)
            assert swarm.statistics().peers == 1
