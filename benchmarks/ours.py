"""One process of ours: `python -m benchmarks.ours ROLE OPTIONS` (see the package for how it is talked to)."""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import attrs
import trio

from peersockets_core import DEFAULT_LIMITS, Limits
from peersockets_trio import Drive, Node, Topic, open_node

from .process import Report, allow_many_files, arguments, resident, say

HOST = "127.0.0.1"
WARM_UP = 300  # round trips that are not counted, at the beginning


@attrs.define
class Side:
    """A node with its drives and topics, and its report."""

    options: Report
    node: Node
    drives: list[Drive]
    topics: list[Topic]
    finished: trio.Event = attrs.field(factory=trio.Event)
    report: Report = attrs.field(factory=dict)

    async def connect(self) -> list[tuple[Topic, int]]:
        """Connect to the other process; returns every topic with the id of its member."""
        await self.node.connect_tcp(HOST, self.options["port"], wire=self.options["wire"])
        members = []
        for drive in self.drives:
            async with drive.watch() as events:
                members.append((await events.receive()).peer_id)
        per_drive = len(self.topics) // len(self.drives)
        return [(topic, members[index // per_drive]) for index, topic in enumerate(self.topics)]


def drive_key(number: int) -> bytes:
    """The key of one of the drives that all processes know."""
    return number.to_bytes(4, "big") * 8


@asynccontextmanager
async def open_side(options: Report) -> AsyncIterator[Side]:
    """Open a node with `drives` drives, each with `topics` topics."""
    limits = Limits(handshake_time=options.get("handshake_time", DEFAULT_LIMITS.handshake_time))
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(open_node(limits=limits))
        drives = [node.open_drive(drive_key(number)) for number in range(options.get("drives", 1))]
        names = ["bench", *map(str, range(1, options.get("topics", 1)))]
        yield Side(options, node, drives, [drive.join(name) for drive in drives for name in names])
        stack.pop_all()  # the process ends here; closing in good order would only take time


# Servers


async def receive(side: Side) -> None:
    """Count messages, in batches or one at a time, and measure the time from the first one on."""
    missing = side.options["count"]
    start = 0.0

    def count(messages: int) -> None:
        nonlocal missing, start
        if not start:
            start = time.perf_counter()
            side.report["messages"] = missing - messages
        missing -= messages
        if missing <= 0:
            side.report["seconds"] = time.perf_counter() - start
            side.finished.set()

    async def batches(topic: Topic) -> None:
        while True:
            count(len(await topic.receive_batch()))

    async def one_at_a_time(topic: Topic) -> None:
        async for _ in topic:
            count(1)

    async with trio.open_nursery() as nursery:
        for topic in side.topics:
            nursery.start_soon(one_at_a_time if side.options["style"] == "single" else batches, topic)


async def echo(side: Side) -> None:
    """Send everything back."""
    side.finished.set()
    (topic,) = side.topics
    async for message in topic:
        await topic.send(message.peer_id, message.message)


async def room(side: Side) -> None:
    """Pass everything on to all members."""
    side.finished.set()
    (topic,) = side.topics
    while True:
        for message in await topic.receive_batch():
            await topic.broadcast(message.message)


# Clients


async def send(side: Side) -> None:
    """Send to all topics in turn."""
    start = time.perf_counter()
    ways = await side.connect()
    side.report["connect_seconds"] = time.perf_counter() - start
    message = bytes(side.options["size"])
    turns = itertools.islice(itertools.cycle(ways), side.options["count"])
    if side.options["style"] == "single":
        for topic, peer_id in turns:
            await topic.send(peer_id, message)
        return
    for topic, peer_id in turns:
        try:
            topic.send_nowait(peer_id, message)
        except trio.WouldBlock:
            await topic.send(peer_id, message)


async def ping(side: Side) -> None:
    """Measure round trips."""
    ((topic, peer_id),) = await side.connect()
    message = bytes(side.options["size"])
    times = []
    for _ in range(WARM_UP + side.options["count"]):
        start = time.perf_counter()
        await topic.send(peer_id, message)
        await topic.receive()
        times.append((time.perf_counter() - start) * 1e6)
    percentiles = statistics.quantiles(times[WARM_UP:], n=100)
    side.report.update(p50=percentiles[49], p99=percentiles[98])


async def dial(side: Side) -> None:
    """Make connections, each with a separate identity, and keep them."""
    numbers = iter(range(side.options["count"]))

    async def worker(done: Callable[[], None]) -> None:
        async with AsyncExitStack() as stack:
            for _ in numbers:
                node = await stack.enter_async_context(open_node())
                await node.connect_tcp(HOST, side.options["port"], wire=side.options["wire"])
            done()
            await trio.sleep_forever()

    start = time.perf_counter()
    working = side.options["at_once"]
    all_done = trio.Event()

    def done() -> None:
        nonlocal working
        working -= 1
        if not working:
            all_done.set()

    async with trio.open_nursery() as nursery:
        for _ in range(working):
            nursery.start_soon(worker, done)
        await all_done.wait()
        side.report["seconds"] = time.perf_counter() - start
        nursery.cancel_scope.cancel()


async def flood(side: Side) -> None:
    """Send messages to a peer that does not read, as long as any are accepted."""
    ((topic, peer_id),) = await side.connect()
    message = bytes(side.options["size"])
    before = resident()["resident"]
    accepted = 0
    with trio.move_on_after(1) as scope:
        for _ in range(side.options["count"]):
            await topic.send(peer_id, message)
            accepted += len(message)
            scope.deadline = trio.current_time() + 1
    side.report.update(growth=resident()["resident"] - before, accepted=accepted)


# Both

ROLES: dict[str, Callable[[Side], Awaitable[None]]] = {
    role.__name__: role for role in (receive, echo, room, send, ping, dial, flood)
}
SERVERS = ("receive", "echo", "room")


async def main() -> None:
    """Play a role until the input ends."""
    role, options = arguments()
    async with open_side(options) as side, trio.open_nursery() as nursery:
        if role in SERVERS:
            (listener,) = await side.node.listen_tcp(0, host=HOST)
            nursery.start_soon(ROLES[role], side)
            say({"port": listener.address[1]})
        else:
            await ROLES[role](side)
            side.finished.set()
            say({})
        questions = trio.lowlevel.FdStream(os.dup(0))
        while question := await questions.receive_some():
            if question == b"result\n":
                await side.finished.wait()
                say(side.report)
            else:
                say(resident())
        os._exit(0)


if __name__ == "__main__":
    allow_many_files()
    trio.run(main)
