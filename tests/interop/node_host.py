"""Node processes that serve the peers of many tests, one after the other: loading the packages takes long.

A process stays for the session. Each `trio.run` attaches to it, and releases its peers before it ends.
"""

from __future__ import annotations

import atexit
import itertools
import json
import math
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

import attrs
import trio

from interop.node_peer import JsonObject, Lines, NodePeer, NodePeerError

HOST_SCRIPT: Final = Path(__file__).parent / "hypercore9" / "host.js"
STOP_TIME: Final = 60.0  # seconds that a peer has to release everything


class NodeHost:
    """One process."""

    def __init__(self, script: Path) -> None:
        self.peers: dict[int, NodePeer] = {}
        self.numbers = itertools.count(1)
        self.ended = False
        self._script = script
        self._stderr = TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            ["node", str(HOST_SCRIPT), str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        self._lines = Lines()
        self._token: trio.lowlevel.TrioToken | None = None
        self._commands, _ = trio.open_memory_channel[bytes](0)
        atexit.register(self.close)

    def attach(self) -> None:
        """Read and write in this `trio.run`, until it ends."""
        token = trio.lowlevel.current_trio_token()
        if token is not self._token:
            self._token = token
            self._commands, lines = trio.open_memory_channel[bytes](math.inf)
            trio.lowlevel.spawn_system_task(self._write, lines)
            trio.lowlevel.spawn_system_task(self._read)

    def send(self, line: JsonObject) -> None:
        """Queue a command for writing."""
        self._commands.send_nowait(json.dumps(line).encode() + b"\n")

    async def kill(self) -> None:
        """End the process at once. Another one takes its place when it is needed."""
        self._process.kill()
        await trio.to_thread.run_sync(self._process.wait)
        self._end()

    def obituary(self) -> str:
        """Return how it ended."""
        self._stderr.seek(0)
        stderr = self._stderr.read().decode(errors="replace")
        return f"{self._script} ended with status {self._process.poll()}\n{stderr}"

    def close(self) -> None:
        """End the process, cleanly if possible."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _end(self) -> None:
        self.ended = True
        for peer in self.peers.values():
            peer.end()

    async def _write(self, lines: trio.MemoryReceiveChannel[bytes]) -> None:
        assert self._process.stdin is not None
        with suppress(trio.BrokenResourceError):  # `_read` reports the end of the process
            async with trio.lowlevel.FdStream(os.dup(self._process.stdin.fileno())) as stdin:
                async for line in lines:
                    await stdin.send_all(line)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async with trio.lowlevel.FdStream(os.dup(self._process.stdout.fileno())) as stdout:
            async for chunk in stdout:
                for line in self._lines.feed(chunk):
                    peer = self.peers.get(line.pop("peer"))
                    if peer is not None:  # and that was not released yet
                        peer.receive_line(line)
        self._end()


@attrs.define(eq=False)
class _Place:
    """One peer's place in a host."""

    host: NodeHost
    number: int

    def send(self, line: JsonObject) -> None:
        self.host.send({"peer": self.number, **line})

    async def kill(self) -> None:
        assert set(self.host.peers) == {self.number}, "other peers live in this process: open one alone"
        await self.host.kill()

    def obituary(self) -> str:
        return self.host.obituary()


_hosts: dict[Path, NodeHost] = {}


@asynccontextmanager
async def open_hosted_peer(script: Path, *arguments: str) -> AsyncIterator[NodePeer]:
    """Run a peer for the length of the block, in a process that serves others, too.

    Raises `NodePeerError` if the process ended by itself.
    """
    host = _hosts.get(script)
    if host is None or host.ended:
        host = _hosts[script] = NodeHost(script)
    host.attach()
    place = _Place(host, next(host.numbers))
    peer = host.peers[place.number] = NodePeer(place)
    try:
        await peer.call("open", arguments=arguments)
        yield peer
    finally:
        with trio.CancelScope(shield=True):
            await _let_go(host, peer)
        del host.peers[place.number]
    if host.ended and not peer.killed:
        raise NodePeerError(host.obituary())


async def _let_go(host: NodeHost, peer: NodePeer) -> None:
    stopped = False
    with trio.move_on_after(STOP_TIME), suppress(NodePeerError):
        await peer.call("stop")
        stopped = True
    if not stopped and not host.ended:
        await host.kill()
