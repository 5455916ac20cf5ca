"""A JavaScript peer as a child process that takes commands and reports events as JSON lines.

The parent writes commands to its stdin as `{"id": 1, "command": NAME, ...}`. On stdout the peer answers each
with `{"id": 1, "result": {...}}` or `{"id": 1, "error": TEXT}`, and reports everything else as `{"event":
NAME, ...}`.
"""

import itertools
import json
import math
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any, Protocol, TypeVar

import attrs
import trio

T = TypeVar("T")
JsonObject = dict[str, Any]

EXIT_GRACE = 5.0  # seconds between closing a peer's stdin and killing it


class NodePeerError(Exception):
    """The peer answered a command with an error, or its process has ended."""


class Process(Protocol):
    """The process of a peer, alone or shared with others (`interop.node_host`)."""

    def send(self, line: JsonObject) -> None:
        """Queue a command for writing."""

    async def kill(self) -> None:
        """End the process at once, with SIGKILL."""

    def obituary(self) -> str:
        """Return how it ended."""
        ...


@attrs.define(eq=False)
class NodePeer:
    """One running peer, made by `open_node_peer` or `open_hosted_peer`."""

    _process: Process
    events: list[JsonObject] = attrs.field(factory=list)
    """Every event so far, in order."""
    _unread: list[JsonObject] = attrs.field(factory=list)
    _answers: dict[int, JsonObject] = attrs.field(factory=dict)
    _ids: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))
    on_event: Callable[[JsonObject], None] | None = None
    """Takes the events, which are then not kept."""
    _news: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)
    ended: bool = False
    """Whether its process has ended."""
    killed: bool = False

    async def call(self, command: str, /, **parameters: object) -> JsonObject:
        """Run a command and return its result. Raises `NodePeerError` if it fails or if the peer ends
        first.
        """
        number = next(self._ids)
        self._process.send({"id": number, "command": command, **parameters})
        answer = await self._find(lambda: self._answers.pop(number, None))
        if "error" in answer:
            raise NodePeerError(answer["error"])
        result: JsonObject = answer["result"]
        return result

    async def wait_event(self, event: str, /, timeout: float = 120, **fields: object) -> JsonObject:
        """Take the first event of this name with these fields that no earlier call has taken.

        Raises `trio.TooSlowError` if there is none within `timeout` seconds.
        """
        wanted = {"event": event, **fields}
        with trio.move_on_after(timeout):
            return await self._find(lambda: self._take(wanted))
        raise trio.TooSlowError(f"no {wanted} within {timeout} s, only {self._unread!s:.2000}")

    async def kill(self) -> None:
        """End the process at once, with SIGKILL."""
        self.killed = True
        await self._process.kill()

    def receive_line(self, line: JsonObject) -> None:
        """Process a line that the peer has written."""
        if "event" in line and self.on_event is not None:
            self.on_event(line)
        elif "event" in line:
            self.events.append(line)
            self._unread.append(line)
        else:
            self._answers[line["id"]] = line
        self._news.unpark_all()

    def end(self) -> None:
        """Note that the process has ended."""
        self.ended = True
        self._news.unpark_all()

    def _take(self, wanted: JsonObject) -> JsonObject | None:
        for index, event in enumerate(self._unread):
            if wanted.items() <= event.items():
                return self._unread.pop(index)
        return None

    async def _find(self, find: Callable[[], T | None]) -> T:
        await trio.lowlevel.checkpoint()
        while (found := find()) is None:
            if self.ended:
                raise NodePeerError(self._process.obituary())
            await self._news.park()
        return found


class Lines:
    """Joins the pieces of JSON lines, of which one may be many megabytes long."""

    def __init__(self) -> None:
        self._pieces: list[bytes | bytearray] = []

    def feed(self, chunk: bytes | bytearray) -> Iterator[JsonObject]:
        """Return the lines that a chunk completes."""
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._pieces.append(end)
            line = b"".join(self._pieces)
            self._pieces.clear()
            yield json.loads(line)
        self._pieces.append(rest)


@attrs.define(eq=False)
class _Alone:
    """A process with one peer."""

    script: Path
    process: trio.Process
    commands: trio.MemorySendChannel[bytes]
    stderr: bytearray = attrs.field(factory=bytearray)

    def send(self, line: JsonObject) -> None:
        self.commands.send_nowait(json.dumps(line).encode() + b"\n")

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    def obituary(self) -> str:
        stderr = self.stderr.decode(errors="replace")
        return f"{self.script} ended with status {self.process.returncode}\n{stderr}"

    async def write_commands(self, lines: trio.MemoryReceiveChannel[bytes]) -> None:
        # A task of its own, so that a cancelled call leaves no half-written line.
        assert self.process.stdin is not None
        with suppress(trio.BrokenResourceError):  # `follow` reports the end of the process
            async with self.process.stdin as stdin:
                async for line in lines:
                    await stdin.send_all(line)

    async def follow(self, peer: NodePeer) -> None:
        async with trio.open_nursery() as pipes:
            pipes.start_soon(self._read_lines, peer)
            pipes.start_soon(self._read_stderr)
        await self.process.wait()
        peer.end()

    async def dismiss(self, grace: float) -> None:
        self.commands.close()  # and stdin with it, after all commands are written
        with trio.move_on_after(grace, shield=True):
            await self.process.wait()
        if self.process.returncode is None:
            with trio.CancelScope(shield=True):
                await self.kill()

    async def _read_lines(self, peer: NodePeer) -> None:
        assert self.process.stdout is not None
        lines = Lines()
        async with self.process.stdout as stdout:
            async for chunk in stdout:
                for line in lines.feed(chunk):
                    peer.receive_line(line)

    async def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        async with self.process.stderr as stderr:
            async for chunk in stderr:
                self.stderr += chunk


@asynccontextmanager
async def open_node_peer(
    script: Path,
    *arguments: str,
    program: str = "node",
    prefix: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
    on_event: Callable[[JsonObject], None] | None = None,
    exit_grace: float = EXIT_GRACE,
) -> AsyncIterator[NodePeer]:
    """Run `node script arguments...` for the length of the block, behind the `prefix` of a command.

    `program` replaces Node with another program that speaks the same lines. `on_event` takes the events;
    without it they are kept.

    At the end its stdin is closed, which asks it to exit. It is killed if it still runs after `exit_grace`
    seconds. Raises `NodePeerError` with its stderr if it ended by itself with a failure.
    """
    process = await trio.lowlevel.open_process(
        [*prefix, program, str(script), *arguments], stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment
    )
    commands, lines = trio.open_memory_channel[bytes](math.inf)
    alone = _Alone(script, process, commands)
    peer = NodePeer(alone, on_event=on_event)
    with lines:
        async with trio.open_nursery() as tasks:
            tasks.start_soon(alone.write_commands, lines)
            tasks.start_soon(alone.follow, peer)
            try:
                yield peer
            finally:
                await alone.dismiss(exit_grace)
    if process.returncode and not peer.killed:
        raise NodePeerError(alone.obituary())
