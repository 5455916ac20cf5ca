"""Nodes that find each other in a network of their own, for tests of the swarm."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import attrs
import trio

from peersockets_trio import (
    Drive,
    Node,
    PeerJoined,
    Swarm,
    open_node,
)

KEY = "11" * 32
HOST = "127.0.0.1"


@attrs.define(eq=False)
class Somebody:
    """A node with a swarm and a drive."""

    node: Node
    swarm: Swarm
    drive: Drive

    @property
    def key(self) -> bytes:
        return self.swarm.public_key


class Net:
    """A network of our own: the node that begins it, and a second one."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.bootstrap: tuple[tuple[str, int], ...] = ()

    async def add(self, *, bootstrap: Any = None, **options: Any) -> Somebody:
        node = await self._stack.enter_async_context(open_node(**options))
        known = self.bootstrap if bootstrap is None else bootstrap
        swarm = await self._stack.enter_async_context(node.open_swarm(bootstrap=known, host=HOST))
        return Somebody(node, swarm, node.open_drive(KEY))


@asynccontextmanager
async def network() -> AsyncIterator[Net]:
    with trio.fail_after(120):
        async with AsyncExitStack() as stack:
            net = Net(stack)
            for _ in range(2):
                somebody = await net.add()
                net.bootstrap = net.bootstrap or (somebody.swarm.bound_address,)
            yield net


async def meet(alice: Somebody, bob: Somebody) -> None:
    """Let two members of a drive find each other."""
    await alice.swarm.join(alice.drive).flushed()
    bob.swarm.join(bob.drive)
    async with alice.drive.watch() as events:
        async for event in events:
            if isinstance(event, PeerJoined) and event.public_key == bob.key:
                return


async def never_let_in(guest: Somebody, host: Somebody) -> None:
    """Dial a peer that must not accept the dial."""
    await guest.swarm.connect(host.key)
    raise AssertionError("it was let in")
