"""Our process: `python -m benchmarks.dht.ours ROLE OPTIONS` (see the package for how it is talked to)."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import trio

from peersockets_core import KeyPair
from peersockets_trio import Node, Swarm, open_node

from ..process import Report, arguments, resident, say

HOST = "127.0.0.1"


async def lookup(node: Node, swarm: Swarm, options: Report) -> Report:
    """Look up random topics, one after the other."""
    began = time.perf_counter()
    for _ in range(options["count"]):
        discovery = swarm.join(os.urandom(32), announce=False)
        await discovery.flushed()
        discovery.close()
    return {"seconds": time.perf_counter() - began}


async def dial(node: Node, swarm: Swarm, options: Report) -> Report:
    """Dial the same key again and again, each time until the remote's first bytes have come."""
    times = []
    for _ in range(options["count"]):
        began = time.perf_counter()
        await swarm.connect(options["key"])
        times.append(time.perf_counter() - began)
        await _hang_up(swarm)
    return {"times": times}


async def _hang_up(swarm: Swarm) -> None:
    """End the connections of a swarm, and wait until they have gone."""
    from peersockets_trio.testing.internals import swarm_runtime  # takes 9 MiB, and a node is measured

    runtime = swarm_runtime(swarm)
    for task in runtime.connections.tasks:
        task.disconnect("measured")
    while any(not task.connection.closed for task in runtime.connections.tasks):
        await trio.lowlevel.checkpoint()


CLIENTS: dict[str, Callable[[Node, Swarm, Report], Awaitable[Report]]] = {"lookup": lookup, "dial": dial}


async def main() -> None:
    """Play a role until the input ends."""
    role, options = arguments()
    key_pair = KeyPair.generate(os.urandom)
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(open_node(key_pair=key_pair))
        bootstrap = [(HOST, port) for port in options["bootstrap"]]
        swarm = await stack.enter_async_context(node.open_swarm(bootstrap=bootstrap, host=HOST))
        opened: Report = {"port": swarm.bound_address[1]}
        if role == "server":
            await swarm.join(os.urandom(32), lookup=False).flushed()
            opened["key"] = key_pair.ed25519_public_key.hex()
        elif bootstrap:
            await swarm.join(os.urandom(32), announce=False).flushed()
        say(opened)
        questions = trio.lowlevel.FdStream(os.dup(0))
        while question := await questions.receive_some():
            nodes = {"nodes": swarm.statistics().nodes}
            if question.strip() == b"run":
                say(await CLIENTS[role](node, swarm, options))
            elif question.strip() == b"cpu":
                say({"cpu": time.process_time(), **nodes})
            else:
                say({**resident(), **nodes})
        os._exit(0)


if __name__ == "__main__":
    trio.run(main)
