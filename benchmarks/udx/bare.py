"""The lower bound of the cost: the same work with bare datagrams, without any protocol or repetition.

`python -m benchmarks.udx.bare ROLE OPTIONS` (see the package for the questions that it answers). This is the
cost of Trio, the kernel and a few lines. Any further cost of `ours` comes from this package.
"""

from __future__ import annotations

import socket
import statistics
import time
from typing import Final

import attrs
import trio

from peersockets_trio.udp.datagrams import Datagrams

from ..process import arguments
from .player import AT_ONCE, HOST, WARM_UP, Player, Roles, play

_HEADER: Final = 20  # bytes of a header of UDX
_PAYLOAD: Final = 1432
_PACKETS: Final = 44  # in one system call, as many as ours puts into a run
_WINDOW: Final = 1024 * 1024
_ID: Final = 4


@attrs.define
class Bare(Player):
    """A UDP socket."""

    datagrams: Datagrams = attrs.field(kw_only=True)

    async def read(self) -> list[bytes]:
        """Wait for datagrams, and return all that have arrived."""
        runs: list[bytes] = []
        while not runs:
            await trio.lowlevel.wait_readable(self.datagrams.socket)
            self.datagrams.read(
                lambda data, size, _: runs.extend(
                    bytes(data[at : at + size]) for at in range(0, len(data), size)
                )
            )
        return runs


# Servers


async def sink(bare: Bare) -> None:
    """Count bytes, and acknowledge each read."""
    total = first = 0
    start = 0.0
    sock = bare.datagrams.socket
    end = False

    def take(data: memoryview, size: int, _source: object) -> None:
        nonlocal total, end
        copy = bytearray(data)  # a stream also returns new bytes objects
        if len(copy) == 1:
            end = True
        else:
            total += len(copy) - _HEADER * -(-len(copy) // size)

    while not end:
        await trio.lowlevel.wait_readable(sock)
        bare.datagrams.read(take)
        if not start:
            start, first = time.perf_counter(), total
        sock.sendto(total.to_bytes(8, "big", signed=True), bare.remote)
    bare.finish(bytes=total - first, seconds=time.perf_counter() - start)


async def echo(bare: Bare) -> None:
    """Send everything back."""
    bare.finish()
    sock = bare.datagrams.socket
    while True:
        await trio.lowlevel.wait_readable(sock)
        sock.sendto(sock.recv(2048), bare.remote)


async def accept(bare: Bare) -> None:
    """Give each stream a task that answers once, and forget the stream when it ends."""
    bare.finish()
    names = [number.to_bytes(_ID, "big") for number in range(AT_ONCE)]
    waiting = {name: trio.Event() for name in names}  # a datagram may be read before its worker starts
    sock = bare.datagrams.socket

    async def worker(name: bytes) -> None:
        while True:
            await waiting[name].wait()
            waiting[name] = trio.Event()
            sock.sendto(name + b"x", bare.remote)

    for name in names:
        bare.nursery.start_soon(worker, name)
    while True:
        for datagram in await bare.read():
            if len(datagram) > _ID:
                waiting[datagram[:_ID]].set()


# Clients


async def bulk(bare: Bare) -> None:
    """Send runs as soon as the writes fill them, and never more than a window ahead."""
    sock = bare.datagrams.socket
    run = [bytes(_HEADER + _PAYLOAD)] * _PACKETS
    pending = sent = acknowledged = 0
    for _ in range(bare.options["count"]):
        await trio.lowlevel.checkpoint()
        pending += bare.options["size"]
        while pending >= _PACKETS * _PAYLOAD:
            while sent - acknowledged > _WINDOW:
                await trio.lowlevel.wait_readable(sock)
                acknowledged = int.from_bytes(sock.recv(8), "big", signed=True)
            bare.datagrams.send(bare.remote, list(run), _HEADER + _PAYLOAD)
            sent += _PACKETS * _PAYLOAD
            pending -= _PACKETS * _PAYLOAD
    sock.sendto(b"x", bare.remote)


async def ping(bare: Bare) -> None:
    """Time round trips of a task that waits for the socket itself."""
    sock = bare.datagrams.socket
    message = bytes(_HEADER + bare.options["size"])
    times = []
    for _ in range(WARM_UP + bare.options["count"]):
        start = time.perf_counter()
        sock.sendto(message, bare.remote)
        await trio.lowlevel.wait_readable(sock)
        sock.recv(2048)
        times.append((time.perf_counter() - start) * 1e6)
    percentiles = statistics.quantiles(times[WARM_UP:], n=100)
    bare.report.update(p50=percentiles[49], p99=percentiles[98])


async def open_streams(bare: Bare) -> None:
    """Pass a byte each way and an end, with a task for each of those that are open."""
    numbers = iter(range(bare.options["count"]))
    waiting: dict[bytes, trio.Event] = {}
    sock = bare.datagrams.socket

    async def worker(name: bytes) -> None:
        for _ in numbers:
            waiting[name] = trio.Event()
            sock.sendto(name + b"x", bare.remote)
            await waiting[name].wait()
            sock.sendto(name, bare.remote)

    async def read() -> None:
        while True:
            for datagram in await bare.read():
                waiting[datagram[:_ID]].set()

    start = time.perf_counter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        async with trio.open_nursery() as workers:
            for number in range(AT_ONCE):
                workers.start_soon(worker, number.to_bytes(_ID, "big"))
        nursery.cancel_scope.cancel()
    bare.report["seconds"] = time.perf_counter() - start


SERVERS: Roles[Bare] = {"sink": sink, "echo": echo, "accept": accept}
CLIENTS: Roles[Bare] = {"bulk": bulk, "ping": ping, "open": open_streams}


async def main() -> None:
    """Play a role until the input ends."""
    _, options = arguments()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    async with trio.open_nursery() as nursery:
        bare = Bare(options, nursery, datagrams=Datagrams(sock))
        await play(bare, bare.datagrams.address[1], SERVERS, CLIENTS)


if __name__ == "__main__":
    trio.run(main)
