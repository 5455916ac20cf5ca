"""Parts of all tests of the command line: commands as processes, and `pipe` driven by JSON lines."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Any, Final, TypeAlias

import attrs
import trio

from cli.pipe_schema import check_event
from peersockets_core import DriveKey

COMMAND: Final = (sys.executable, "-m", "peersockets_command")
KEY: Final = DriveKey(bytes(range(32)))
WIRE: Final = "hypercore9"
ANY_PORT: Final = "127.0.0.1:0"
TIME: Final = 120
MAX_READ: Final = 1024 * 1024

Event: TypeAlias = dict[str, Any]


def run(
    *arguments: str | bytes, stdin: bytes | IO[bytes] | int = b"", command: tuple[str, ...] = COMMAND
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end."""
    source: dict[str, Any] = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    return subprocess.run((*command, *arguments), capture_output=True, timeout=TIME, check=False, **source)


def run_pipe(*lines: Event | bytes, options: tuple[str, ...] = ()) -> list[Event]:
    """Run `pipe` with these input lines until it ends with status 0. Return its events."""
    done = run("pipe", KEY.url, *options, stdin=b"".join(map(_line, lines)))
    assert done.stderr == b""
    assert done.returncode == 0
    events = parse_lines(done.stdout)
    assert events[0]["event"] == "ready"
    assert events[-1] == {"event": "closed"}
    return events[1:-1]


def complaint(done: subprocess.CompletedProcess[bytes], status: int) -> str:
    """Return the only line that a failed command has printed."""
    text = done.stderr.decode()
    assert text.startswith("peersockets: ")
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert done.returncode == status
    return text


def parse_lines(output: bytes) -> list[Event]:
    assert not output or output.endswith(b"\n")
    return [parse(line) for line in output.splitlines()]


def parse(line: bytes) -> Event:
    """Read a line as strictly as JavaScript does, and check it against the schema."""
    event = json.loads(line, parse_constant=_refuse)
    assert isinstance(event, dict)
    check_event(event)
    return event


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def _line(command: Event | bytes) -> bytes:
    return (command if isinstance(command, bytes) else json.dumps(command).encode()) + b"\n"


@attrs.define
class Pipe:
    """A running `peersockets pipe`."""

    process: trio.Process
    ready: Event = attrs.field(factory=dict)
    _buffer: bytearray = attrs.field(factory=bytearray)

    @property
    def address(self) -> str:
        address: str = self.ready["listening"][0]
        return address

    async def say(self, *commands: Event | bytes) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(b"".join(map(_line, commands)))

    async def hear(self) -> Event:
        """Return the next event."""
        assert self.process.stdout is not None
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            data = await self.process.stdout.receive_some(MAX_READ)
            assert data, "the output has ended"
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return parse(line)

    async def hear_until(self, kind: str) -> Event:
        """Return the next event of that kind. Skip others."""
        while (event := await self.hear())["event"] != kind:
            pass
        return event

    async def rest(self) -> list[Event]:
        """Return the events until the output ends."""
        assert self.process.stdout is not None
        async for data in self.process.stdout:
            self._buffer += data
        return parse_lines(bytes(self._buffer))

    async def end_input(self) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.aclose()

    async def finish(self) -> list[Event]:
        """End the input. Return the events until the process has ended with status 0."""
        await self.end_input()
        events: list[Event] = []
        while not events or events[-1]["event"] != "closed":
            events.append(await self.hear())
        assert not self._buffer
        assert self.process.stdout is not None
        assert await self.process.stdout.receive_some() == b""
        assert await self.process.wait() == 0
        assert await self.errors() == ""
        return events

    async def finish_with_errors(self) -> int:
        """End the input, and let the process end in any way. Return the exit status."""
        await self.end_input()
        await self.hear_until("closed")
        return await self.process.wait()

    async def errors(self) -> str:
        """Return all of stderr after the process has ended."""
        assert self.process.stderr is not None
        return b"".join([bytes(data) async for data in self.process.stderr]).decode()


@asynccontextmanager
async def pipe(*options: str, key: str = KEY.url) -> AsyncIterator[Pipe]:
    """Run a `pipe` that is ready. It is killed at the end if it still runs."""
    process = await trio.lowlevel.open_process(
        (*COMMAND, "pipe", key, *options),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    running = Pipe(process)
    try:
        with trio.fail_after(TIME):
            running.ready = await running.hear()
            yield running
    finally:
        if process.returncode is None:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                await trio.aclose_forcefully(stream)


@asynccontextmanager
async def two_pipes(*options: str) -> AsyncIterator[tuple[Pipe, Pipe]]:
    """Run Alice, and Bob, who connects to her. Each has seen the other join as peer 1."""
    async with (
        pipe("--listen", ANY_PORT, *options) as alice,
        pipe("--connect", alice.address, "--wire", WIRE, *options) as bob,
    ):
        for one, other in ((alice, bob), (bob, alice)):
            key = other.ready["publicKeys"][WIRE]
            assert await one.hear() == {"event": "join", "peerId": 1, "publicKey": key, "wire": WIRE}
        yield alice, bob
