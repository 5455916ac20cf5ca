"""The whole life of two nodes, cancelled at every checkpoint: nothing of it is left.

Sending, receiving, connecting and listening have such tests of their own in tests/adapter, with nodes that
live on.
"""

from __future__ import annotations

import pytest
import trio
import trio.testing

from adapter.support import KEY, LOOPBACK, limited
from chaos.support import nothing_left
from peersockets_core import WIRES, WireName
from peersockets_trio import open_node
from peersockets_trio.testing import cancelled_at_every_step, open_node_pair

STEPS = pytest.mark.parametrize("all_tasks", [False, True], ids=["own steps", "all steps"])


@STEPS
@pytest.mark.parametrize("wire", WIRES)
async def test_a_life_in_memory(wire: WireName, all_tasks: bool) -> None:
    async def live() -> None:
        async with open_node_pair(wire=wire) as (alice, bob):
            async with alice.drive.join("chat") as outbox, bob.drive.join("chat") as inbox:
                await outbox.send(alice.peer_id, b"hello")
                assert (await inbox.receive()).message == b"hello"
                assert await outbox.broadcast(b"all") == 1
                assert len(await inbox.receive_batch()) == 1
                await inbox.aclose()
            await bob.drive.aclose()
            await alice.events.receive()

    with limited():
        async with nothing_left():
            assert await cancelled_at_every_step(live, all_tasks=all_tasks) > 8


@STEPS
@pytest.mark.parametrize("wire", WIRES)
async def test_a_life_over_tcp(wire: WireName, all_tasks: bool) -> None:
    async def live() -> None:
        async with open_node() as alice, alice.open_drive(KEY) as drive, drive.join("chat") as inbox:
            (listener,) = await alice.listen_tcp(0, host=LOOPBACK)
            async with open_node() as bob, bob.open_drive(KEY) as same, same.join("chat") as outbox:
                await bob.connect_tcp(*listener.address, wire=wire)
                async with same.watch() as events:
                    await outbox.send((await events.receive()).peer_id, b"hello")
                assert (await inbox.receive()).message == b"hello"
            await listener.aclose()

    with limited():
        async with nothing_left():
            assert await cancelled_at_every_step(live, all_tasks=all_tasks) > 8


@pytest.mark.parametrize("wire", WIRES)
async def test_a_life_that_ends_in_an_exception(wire: WireName) -> None:
    """An exception ends it once the two nodes have met."""

    async def live() -> None:
        async with open_node_pair(wire=wire) as (alice, _), trio.open_nursery() as nursery:
            nursery.start_soon(alice.drive.join("chat").receive)
            raise ZeroDivisionError

    with limited():
        async with nothing_left():
            for _ in range(20):
                with pytest.raises(ExceptionGroup):
                    await live()
