"""A bad line between two UDP sockets on this machine, as a process of its own.

    python -m interop.udp_relay '{"a": PORT, "b": PORT, "conditions": {"loss": 0.05, "delay": 0.01}}'

It prints `{"a": PORT, "b": PORT}`, the ports that the two sides have to send to. Datagrams that arrive there
go to the other side, under the conditions of a `simulation.Link`, one for each direction. A line
`{"mtu": 1300}` on stdin changes conditions. The relay answers each line with a line of what became of the
datagrams so far, and ends when stdin does.

With `"tick": 0.001`, it passes datagrams on once a millisecond, as network cards gather interrupts, and takes
little of the processor that the two sides compete for.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import select
import socket
import struct
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
"""Reads from one side before the other side has its turn."""
RUN, RUN_BYTES = 64, 65_000
"""The most datagrams of one size, and their bytes, that leave with one system call."""

_RCVBUFFORCE, _SNDBUFFORCE = 33, 32
_UDP_SEGMENT, _UDP_GRO = 103, 104
_SO_TIMESTAMPNS = 35


class Side:
    """The socket that one side sends to, and the line to the other side."""

    def __init__(self, conditions: dict[str, Any]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for option, forced in ((socket.SO_RCVBUF, _RCVBUFFORCE), (socket.SO_SNDBUF, _SNDBUFFORCE)):
            self.socket.setsockopt(socket.SOL_SOCKET, option, BUFFER)
            with suppress(OSError):
                self.socket.setsockopt(socket.SOL_SOCKET, forced, BUFFER)
        self.socket.bind((HOST, 0))
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.link = Link(**conditions)

    @property
    def port(self) -> int:
        port: int = self.socket.getsockname()[1]
        return port

    def change(self, conditions: dict[str, Any]) -> None:
        for name, value in conditions.items():
            setattr(self.link, name, value)


def receive(sock: socket.socket) -> tuple[list[bytes], float]:
    """Return the datagrams of one read, and the time at which the kernel got them.

    The time keeps a relay that waits for the processor from making the line slower. The kernel hands over
    runs of one size together.
    """
    data, ancillary, _, _ = sock.recvmsg(65536, 128)
    notes = {kind: value for _, kind, value in ancillary}
    seconds, nanoseconds = struct.unpack("@ll", notes[_SO_TIMESTAMPNS])
    size = int.from_bytes(notes.get(_UDP_GRO, b"")[:4], sys.byteorder) or len(data) or 1
    return [data[at : at + size] for at in range(0, max(len(data), 1), size)], seconds + nanoseconds / 1e9


def send(sock: socket.socket, destination: tuple[str, int], payloads: list[bytes]) -> None:
    """Send datagrams in this order, runs of one size with one system call."""
    start = 0
    while start < len(payloads):
        size = len(payloads[start])
        stop, most = start + 1, start + min(RUN, RUN_BYTES // max(size, 1))
        while stop < min(len(payloads), most) and len(payloads[stop - 1]) == size >= len(payloads[stop]) > 0:
            stop += 1
        run, start = payloads[start:stop], stop
        segments = [(socket.IPPROTO_UDP, _UDP_SEGMENT, size.to_bytes(2, sys.byteorder))] if run[1:] else []
        with suppress(BlockingIOError, ConnectionRefusedError):
            sock.sendmsg(run, segments, 0, destination)


def relay(options: dict[str, Any]) -> None:
    """Relay until stdin ends."""
    random, numbers, tick = Random(options.get("seed", 1)), itertools.count(), options.get("tick", 0.0)
    sides = {name: Side(options.get("conditions", {})) for name in ("a", "b")}
    print(json.dumps({name: side.port for name, side in sides.items()}), flush=True)
    # The socket that b sends to also sends the datagrams of a, and the other way around.
    ways = {
        sides["a"].socket: (sides["a"].link, sides["b"].socket, (HOST, options["b"])),
        sides["b"].socket: (sides["b"].link, sides["a"].socket, (HOST, options["a"])),
    }
    sources: list[Any] = [0, *ways]
    agenda: list[tuple[float, int, socket.socket, tuple[str, int], bytes]] = []
    while True:
        if agenda and tick:
            time.sleep(tick)
        timeout = max(0.0, agenda[0][0] - time.time()) if agenda else None
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
                    payloads, came = receive(ready)
                    for payload in payloads:
                        datagram = Datagram((HOST, 0), destination, payload)
                        for arrival, arrived in link.transmit(datagram, came, random):
                            heapq.heappush(
                                agenda, (arrival, next(numbers), outgoing, destination, arrived.payload)
                            )
        now = time.time()
        due: dict[tuple[socket.socket, tuple[str, int]], list[bytes]] = {}
        while agenda and agenda[0][0] <= now:
            _, _, outgoing, destination, payload = heapq.heappop(agenda)
            due.setdefault((outgoing, destination), []).append(payload)
        for (outgoing, destination), payloads in due.items():
            send(outgoing, destination, payloads)


class RunningRelay:
    """The tests' end of a relay's process."""

    def __init__(self, process: trio.Process, ports: dict[str, int]) -> None:
        self._process = process
        self.a = ports["a"]
        self.b = ports["b"]

    async def change(self, **conditions: float) -> dict[str, dict[str, int]]:
        """Change the conditions of both directions. Return the counts of the datagrams so far.

        See `Link.counts`. "a" and "b" are the sides that the datagrams came from.
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
