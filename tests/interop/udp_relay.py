"""A bad line between two UDP sockets on this machine, as a process of its own.

    python -m interop.udp_relay '{"a": PORT, "b": PORT, "conditions": {"loss": 0.05, "delay": 0.01}}'

It prints `{"a": PORT, "b": PORT}`, the ports that the two sides have to send to. What arrives there goes to
the other side, under the conditions of a `simulation.Link`, one for each direction. A line `{"mtu": 1300}` on
stdin changes conditions. The relay answers each line with a line of what became of the datagrams so far, and
ends when stdin does.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import select
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from subprocess import PIPE
from typing import Any

import trio

from simulation import Datagram, Link

HOST = "127.0.0.1"
BUFFER = 8 << 20
READS = 32
"""Datagrams taken from one side before the other has its turn."""

_RCVBUFFORCE, _SNDBUFFORCE = 33, 32


class Side:
    """The socket that one side sends to, and the line to the other one."""

    def __init__(self, conditions: dict[str, Any]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for option, forced in ((socket.SO_RCVBUF, _RCVBUFFORCE), (socket.SO_SNDBUF, _SNDBUFFORCE)):
            self.socket.setsockopt(socket.SOL_SOCKET, option, BUFFER)
            with suppress(OSError):
                self.socket.setsockopt(socket.SOL_SOCKET, forced, BUFFER)
        self.socket.bind((HOST, 0))
        self.socket.setblocking(False)
        self.link = Link(**conditions)

    @property
    def port(self) -> int:
        port: int = self.socket.getsockname()[1]
        return port

    def change(self, conditions: dict[str, Any]) -> None:
        for name, value in conditions.items():
            setattr(self.link, name, value)


def relay(options: dict[str, Any]) -> None:
    """Relay until stdin ends."""
    random, numbers = Random(options.get("seed", 1)), itertools.count()
    sides = {name: Side(options.get("conditions", {})) for name in ("a", "b")}
    print(json.dumps({name: side.port for name, side in sides.items()}), flush=True)
    # What a sends leaves from the socket that b sends to, and the other way around.
    ways = {
        sides["a"].socket: (sides["a"].link, sides["b"].socket, (HOST, options["b"])),
        sides["b"].socket: (sides["b"].link, sides["a"].socket, (HOST, options["a"])),
    }
    sources: list[Any] = [0, *ways]
    agenda: list[tuple[float, int, socket.socket, tuple[str, int], bytes]] = []
    while True:
        timeout = max(0.0, agenda[0][0] - time.monotonic()) if agenda else None
        for ready in select.select(sources, [], [], timeout)[0]:
            if ready == 0:
                line = os.read(0, 65536)
                if not line:
                    return
                for side in sides.values():
                    side.change(json.loads(line))
                print(json.dumps({name: side.link.counts for name, side in sides.items()}), flush=True)
                continue
            link, outgoing, destination = ways[ready]
            with suppress(BlockingIOError, ConnectionRefusedError):
                for _ in range(READS):
                    datagram = Datagram((HOST, 0), destination, ready.recv(65536))
                    for arrival, arrived in link.transmit(datagram, time.monotonic(), random):
                        heapq.heappush(
                            agenda, (arrival, next(numbers), outgoing, destination, arrived.payload)
                        )
        now = time.monotonic()
        while agenda and agenda[0][0] <= now:
            _, _, outgoing, destination, payload = heapq.heappop(agenda)
            with suppress(BlockingIOError, ConnectionRefusedError):
                outgoing.sendto(payload, destination)


class RunningRelay:
    """The tests' end of a relay's process."""

    def __init__(self, process: trio.Process, ports: dict[str, int]) -> None:
        self._process = process
        self.a = ports["a"]
        self.b = ports["b"]

    async def change(self, **conditions: float) -> dict[str, dict[str, int]]:
        """Change the conditions of both directions, and return what became of the datagrams so far.

        See `Link.counts`; "a" and "b" are the sides that the datagrams came from.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        await self._process.stdin.send_all(json.dumps(conditions).encode() + b"\n")
        return await _read_line(self._process.stdout)


@asynccontextmanager
async def open_relay(a: int, b: int, **conditions: float) -> AsyncIterator[RunningRelay]:
    """Run a relay between two ports for the length of the block."""
    options = json.dumps({"a": a, "b": b, "conditions": conditions})
    tests = str(Path(__file__).parent.parent)
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "interop.udp_relay", options], stdin=PIPE, stdout=PIPE, cwd=tests
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield RunningRelay(process, await _read_line(process.stdout))
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdin.aclose()
            await process.stdout.aclose()


async def _read_line(stream: trio.abc.ReceiveStream) -> dict[str, Any]:
    line = b""
    while not line.endswith(b"\n"):
        line += await stream.receive_some()
    found: dict[str, Any] = json.loads(line)
    return found


if __name__ == "__main__":
    relay(json.loads(sys.argv[-1]))
