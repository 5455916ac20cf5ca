"""A listener whose process runs out of file descriptors."""

from __future__ import annotations

import subprocess
import sys

import trio
import trio.testing

from adapter.support import (
    KEY,
    LOOPBACK,
    WIRE,
    limited,
)
from peersockets_trio import (
    open_node,
)

# A program that holds more descriptors itself than the listener leaves to it: 24 of 64 are left, where there
# would be places for 48 connections, 24 of them in their handshakes.
LIMITED = """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = [os.dup(0) for _ in range(40)]
from peersockets_trio.cli import main
main()
"""


async def test_a_listener_that_runs_out_of_descriptors_recovers() -> None:
    """The listener reports it, existing connections continue, and when some have ended, it accepts again."""
    command = [sys.executable, "-c", LIMITED, "pipe", KEY.url, "--listen", f"{LOOPBACK}:0"]
    with limited(), trio.CancelScope() as scope:
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            lines = LineReader(process.stdout)
            ready = await lines.next()
            port = int(ready.rpartition(b'"127.0.0.1:')[2].partition(b'"')[0])
            async with open_node() as early, early.open_drive(KEY) as drive:
                await early.connect_tcp(LOOPBACK, port, wire=WIRE)
                assert b'"event":"join"' in await lines.next()
                idle = [await trio.open_tcp_stream(LOOPBACK, port) for _ in range(60)]
                complaint = b""
                while b"Too many open files" not in complaint:
                    read = await process.stderr.receive_some()
                    assert read, complaint
                    complaint += read
                async with drive.join("chat") as chat:
                    await chat.broadcast(b"still here")
                for stream in idle:
                    await stream.aclose()
                async with open_node() as late, late.open_drive(KEY):
                    await late.connect_tcp(LOOPBACK, port, wire=WIRE)
                    joined = await lines.next()
                    assert b'"event":"join","peerId":2' in joined
                assert len(drive.peers) == 1
        finally:
            scope.shield = True
            process.kill()
            await process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    await pipe.aclose()


class LineReader:
    """Reads lines."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._buffer = b""

    async def next(self) -> bytes:
        while b"\n" not in self._buffer:
            data = await self._stream.receive_some()
            assert data, "the output has ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line
