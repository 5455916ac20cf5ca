"""Our process: `python -m benchmarks.udx.ours ROLE OPTIONS` (see the package for how it is talked to)."""

from __future__ import annotations

import statistics
import time

import attrs
import trio

from peersockets_trio import Drive, Topic, open_node
from peersockets_trio.udp import UdpSocket, UdxStream, open_udp_socket

from ..process import arguments
from .player import AT_ONCE, HOST, WARM_UP, Player, Roles, play

CLIENT = 1_000_000
"""The client's first stream id; the server's are the same without it."""
DRIVE = bytes(32)


@attrs.define
class Side(Player):
    """A socket of ours."""

    udp: UdpSocket = attrs.field(kw_only=True)

    def open(self, number: int = 1) -> UdxStream:
        """Open one of the streams that both sides know."""
        ours, theirs = (CLIENT, 0) if self.options["side"] == "client" else (0, CLIENT)
        return self.udp.connect(number + ours, number + theirs, self.remote)


# Servers


async def sink(side: Side) -> None:
    """Receive everything, and measure the time from the first bytes on."""
    stream = side.open()
    first = total = len(await stream.receive_some())
    start = time.perf_counter()
    while data := await stream.receive_some():
        total += len(data)
    side.finish(bytes=total - first, seconds=time.perf_counter() - start)
    await stream.aclose()


async def echo(side: Side) -> None:
    """Send everything back."""
    side.finish()
    await _echo(side.open())


async def _echo(stream: UdxStream) -> None:
    while data := await stream.receive_some():
        await stream.send_all(bytes(data))
    await stream.aclose()


async def accept(side: Side) -> None:
    """Keep as many streams ready as the client has open."""
    numbers = iter(range(1, side.options["count"] + 1))

    async def worker() -> None:
        for number in numbers:
            await _echo(side.open(number))

    for _ in range(2 * AT_ONCE):
        side.nursery.start_soon(worker)
    side.finish()


async def idle(side: Side) -> None:
    """Open streams, and do nothing else."""
    side.report["streams"] = [side.open(number) for number in range(1, side.options["count"] + 1)]
    side.finished.set()


async def receive(side: Side) -> None:
    """Count messages of a topic, and measure the time from the first batch on."""
    _, topic = await _join(side, initiator=False)
    missing = side.options["count"]
    first = len(await topic.receive_batch())
    start = time.perf_counter()
    missing -= first
    while missing > 0:
        missing -= len(await topic.receive_batch())
    side.finish(messages=side.options["count"] - first, seconds=time.perf_counter() - start)
    await trio.sleep_forever()


# Clients


async def bulk(side: Side) -> None:
    """Send all the data."""
    stream = side.open()
    chunk = bytes(side.options["size"])
    for _ in range(side.options["count"]):
        await stream.send_all(chunk)
    await stream.send_eof()
    while await stream.receive_some():
        pass
    await stream.aclose()


async def ping(side: Side) -> None:
    """Measure round trips."""
    stream = side.open()
    message = bytes(side.options["size"])
    times = []
    for _ in range(WARM_UP + side.options["count"]):
        start = time.perf_counter()
        await stream.send_all(message)
        missing = len(message)
        while missing:
            missing -= len(await stream.receive_some())
        times.append((time.perf_counter() - start) * 1e6)
    percentiles = statistics.quantiles(times[WARM_UP:], n=100)
    side.report.update(p50=percentiles[49], p99=percentiles[98])


async def open_streams(side: Side) -> None:
    """Open streams, pass a byte each way, and close them."""
    numbers = iter(range(1, side.options["count"] + 1))

    async def worker() -> None:
        for number in numbers:
            stream = side.open(number)
            await stream.send_all(b"x")
            await stream.send_eof()
            while await stream.receive_some():
                pass
            await stream.aclose()

    start = time.perf_counter()
    async with trio.open_nursery() as workers:
        for _ in range(AT_ONCE):
            workers.start_soon(worker)
    side.report["seconds"] = time.perf_counter() - start


async def send(side: Side) -> None:
    """Send messages on a topic."""
    drive, topic = await _join(side, initiator=True)
    async with drive.watch() as events:
        peer_id = (await events.receive()).peer_id
    message = bytes(side.options["size"])
    for _ in range(side.options["count"]):
        try:
            topic.send_nowait(peer_id, message)
        except trio.WouldBlock:
            await topic.send(peer_id, message)


async def _join(side: Side, *, initiator: bool) -> tuple[Drive, Topic]:
    """Open a node on the stream, for as long as the process lives; returns its drive and topic."""
    joined: list[tuple[Drive, Topic]] = []
    attached = trio.Event()

    async def hold() -> None:
        async with open_node() as node, node.open_drive(DRIVE) as drive, drive.join("bench") as topic:
            joined.append((drive, topic))
            await node.attach(side.open(), wire="hypercore11", initiator=initiator)
            attached.set()
            await trio.sleep_forever()

    side.nursery.start_soon(hold)
    await attached.wait()
    return joined[0]


SERVERS: Roles[Side] = {
    "sink": sink, "echo": echo, "accept": accept, "idle": idle, "receive": receive,
}  # fmt: skip
CLIENTS: Roles[Side] = {
    "bulk": bulk, "ping": ping, "open": open_streams, "idle": idle, "send": send,
}  # fmt: skip


async def main() -> None:
    """Play a role until the input ends."""
    _, options = arguments()
    async with open_udp_socket(HOST) as udp, trio.open_nursery() as nursery:
        await play(Side(options, nursery, udp=udp), udp.address[1], SERVERS, CLIENTS)


if __name__ == "__main__":
    trio.run(main)
