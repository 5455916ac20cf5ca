"""A JavaScript peer as a child process that takes commands and tells of events as JSON lines.

Commands go to its stdin as `{"id": 1, "command": NAME, ...}`; its stdout answers each with
`{"id": 1, "result": {...}}` or `{"id": 1, "error": TEXT}`, and tells what else happens as
`{"event": NAME, ...}`.
"""

import itertools
import json
import math
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any, TypeVar

import attrs
import trio

T = TypeVar("T")
JsonObject = dict[str, Any]

EXIT_GRACE = 5.0  # seconds between closing a peer's stdin and killing it


class NodePeerError(Exception):
    """The peer answered a command with an error, or its process has ended."""


@attrs.define(eq=False)
class NodePeer:
    """One running peer, made by `open_node_peer`."""

    _script: Path
    _process: trio.Process
    _commands: trio.MemorySendChannel[bytes]
    events: list[JsonObject] = attrs.field(factory=list)
    """Every event so far, in order."""
    _unread: list[JsonObject] = attrs.field(factory=list)
    _answers: dict[int, JsonObject] = attrs.field(factory=dict)
    _ids: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))
    _news: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)
    _stderr: bytearray = attrs.field(factory=bytearray)
    _ended: bool = False
    _killed: bool = False

    async def call(self, command: str, /, **parameters: object) -> JsonObject:
        """Run a command and return its result. Raises `NodePeerError` if it fails or the peer ends first."""
        number = next(self._ids)
        line = json.dumps({"id": number, "command": command, **parameters})
        self._commands.send_nowait(line.encode() + b"\n")
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
        self._killed = True
        self._process.kill()
        await self._process.wait()

    def _take(self, wanted: JsonObject) -> JsonObject | None:
        for index, event in enumerate(self._unread):
            if wanted.items() <= event.items():
                return self._unread.pop(index)
        return None

    async def _find(self, find: Callable[[], T | None]) -> T:
        await trio.lowlevel.checkpoint()
        while (found := find()) is None:
            if self._ended:
                raise NodePeerError(self._obituary())
            await self._news.park()
        return found

    def _obituary(self) -> str:
        stderr = self._stderr.decode(errors="replace")
        return f"{self._script} ended with status {self._process.returncode}\n{stderr}"

    def _tell(self, line: JsonObject) -> None:
        if "event" in line:
            self.events.append(line)
            self._unread.append(line)
        else:
            self._answers[line["id"]] = line
        self._news.unpark_all()

    async def _write_commands(self, lines: trio.MemoryReceiveChannel[bytes]) -> None:
        # A task of its own, so that a cancelled call leaves no half-written line.
        assert self._process.stdin is not None
        with suppress(trio.BrokenResourceError):  # _follow says that the process has ended
            async with self._process.stdin as stdin:
                async for line in lines:
                    await stdin.send_all(line)

    async def _read_lines(self) -> None:
        assert self._process.stdout is not None
        pieces: list[bytes | bytearray] = []  # of a line that may be many megabytes long
        async with self._process.stdout as stdout:
            async for chunk in stdout:
                *ends, rest = chunk.split(b"\n")
                for end in ends:
                    pieces.append(end)
                    self._tell(json.loads(b"".join(pieces)))
                    pieces.clear()
                pieces.append(rest)

    async def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        async with self._process.stderr as stderr:
            async for chunk in stderr:
                self._stderr += chunk

    async def _follow(self) -> None:
        async with trio.open_nursery() as pipes:
            pipes.start_soon(self._read_lines)
            pipes.start_soon(self._read_stderr)
        await self._process.wait()
        self._ended = True
        self._news.unpark_all()

    async def _dismiss(self) -> None:
        self._commands.close()  # and with it stdin, once all commands are written
        with trio.move_on_after(EXIT_GRACE, shield=True):
            await self._process.wait()
        if self._process.returncode is None:
            with trio.CancelScope(shield=True):
                await self.kill()


@asynccontextmanager
async def open_node_peer(
    script: Path, *arguments: str, prefix: Sequence[str] = (), environment: Mapping[str, str] = os.environ
) -> AsyncIterator[NodePeer]:
    """Run `node script arguments...` for the length of the block, behind the `prefix` of a command.

    At the end its stdin is closed, which asks it to exit; what does not is killed after `EXIT_GRACE` seconds.
    Raises `NodePeerError` with its stderr if it ended by itself with a failure.
    """
    process = await trio.lowlevel.open_process(
        [*prefix, "node", str(script), *arguments], stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment
    )
    commands, lines = trio.open_memory_channel[bytes](math.inf)
    peer = NodePeer(script, process, commands)
    with lines:
        async with trio.open_nursery() as tasks:
            tasks.start_soon(peer._write_commands, lines)
            tasks.start_soon(peer._follow)
            try:
                yield peer
            finally:
                await peer._dismiss()
    if process.returncode and not peer._killed:
        raise NodePeerError(peer._obituary())
