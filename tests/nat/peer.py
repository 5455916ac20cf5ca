"""A host with one of our swarms, driven over stdin and stdout like `peer.js`: python peer.py BOOTSTRAP..."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio

sys.path.insert(0, str(Path(__file__).parents[1]))

from nat.lines import Result, say, serve
from peersockets_trio import ConnectionInfo, Instrument, KeyPair, Swarm, WireName, open_node

PORT = 49737
BOOTSTRAP = [(host, PORT) for host in sys.argv[1:]]


@attrs.frozen(eq=False)
class Reporter(Instrument):
    """Reports the connections of a node, which its key names."""

    key: str

    def connection_opened(self, info: ConnectionInfo) -> None:
        say(event="accepted", key=self.key, publicKey=info.public_key.hex())

    def connection_closed(self, info: ConnectionInfo, reason: str, unsent: int) -> None:
        say(event="closed", key=self.key, publicKey=info.public_key.hex(), reason=reason)

    def connection_failed(
        self, address: tuple[str, int] | None, wire: WireName | None, error: Exception
    ) -> None:
        say(event="failed", key=self.key, address=address, reason=str(error))


@attrs.frozen
class Running:
    """A node that is open."""

    swarm: Swarm
    scope: trio.CancelScope
    closed: trio.Event = attrs.field(factory=trio.Event)


@asynccontextmanager
async def opened(relay: str | None) -> AsyncIterator[Swarm]:
    pair = KeyPair.generate(os.urandom)
    async with (
        open_node(key_pair=pair, instruments=[Reporter(pair.ed25519_public_key.hex())]) as node,
        node.open_swarm(bootstrap=BOOTSTRAP, relay_through=relay) as swarm,
    ):
        yield swarm


class Host:
    """The commands."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._running: dict[str, Running] = {}

    async def listen(self, relay: str | None = None) -> Result:
        swarm = await self._nursery.start(self._run, relay)
        await swarm.join(os.urandom(32), lookup=False).flushed()
        return {"key": swarm.public_key.hex()}

    async def open(self, relay: str | None = None) -> Result:
        swarm = await self._nursery.start(self._run, relay)
        await swarm.join(os.urandom(32), announce=False).flushed()
        return {"key": swarm.public_key.hex()}

    async def dial(self, key: str, publicKey: str) -> Result:  # noqa: N803
        began = trio.current_time()
        info = await self._running[key].swarm.connect(publicKey)
        return {"seconds": trio.current_time() - began, "host": info.address and info.address.host}

    async def state(self, key: str) -> Result:
        swarm = self._running[key].swarm
        statistics = swarm.statistics()
        return {"nat": swarm.nat, "nodes": statistics.nodes, "punches": attrs.asdict(statistics.punches)}

    async def close(self, key: str) -> None:
        running = self._running.pop(key)
        running.scope.cancel()
        await running.closed.wait()

    async def _run(
        self, relay: str | None, task_status: trio.TaskStatus[Swarm] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with trio.CancelScope() as scope:
            async with opened(relay) as swarm:
                running = self._running[swarm.public_key.hex()] = Running(swarm, scope)
                task_status.started(swarm)
                await trio.sleep_forever()
        running.closed.set()


if __name__ == "__main__":
    trio.run(serve, Host)
