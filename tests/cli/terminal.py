"""A command in a terminal of its own: a pseudo-terminal, and pyte to render what its user sees."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs
import pyte
import trio

from cli.support import COMMAND, MAX_READ, TIME

CTRL_C: Final = "\x03"
CTRL_D: Final = "\x04"
ENTER: Final = "\r"
UP: Final = "\x1b[A"
LEFT: Final = "\x1b[D"

# The terminal has to become the controlling one, which only the process itself can see to.
_LOG_IN: Final = "import os, sys; os.login_tty(0); os.execv(sys.argv[1], sys.argv[1:])"


@attrs.define
class Terminal:
    """A running command, and its screen."""

    process: trio.Process
    _master: trio.lowlevel.FdStream
    _slave: int
    screen: pyte.HistoryScreen
    _stream: pyte.ByteStream
    raw: bytearray = attrs.field(factory=bytearray)
    """Everything that was written to the terminal."""
    before: list[Any] = attrs.field(factory=list)
    """The terminal's settings before the command ran."""

    @property
    def lines(self) -> list[str]:
        """The lines on the screen and those scrolled off its top, without what is empty at the end."""
        width = self.screen.columns
        past = ["".join(line[x].data for x in range(width)) for line in self.screen.history.top]
        lines = [line.rstrip() for line in (*past, *self.screen.display)]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def settings(self) -> list[Any]:
        return termios.tcgetattr(self._slave)

    async def type(self, keys: str | bytes) -> None:
        await self._master.send_all(keys if isinstance(keys, bytes) else keys.encode())

    async def say(self, line: str) -> None:
        await self.type(line + ENTER)

    async def read(self) -> None:
        """Show the next that is written."""
        data = await self._master.receive_some(MAX_READ)
        self.raw += data
        self._stream.feed(bytes(data))

    async def until(self, text: str, *, wrapped: bool = False) -> None:
        """Wait until the screen shows a text, which may begin anywhere and go on from line to line."""
        while text not in ("".join(self.lines) if wrapped else self.text):
            await self.read()

    async def until_raw(self, data: bytes) -> None:
        """Wait until these bytes have been written."""
        while data not in self.raw:
            await self.read()

    async def finish(self) -> int:
        """Wait for the end; returns the exit status, and sees to it that the terminal is as it was."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_on)
            status = await self.process.wait()
            nursery.cancel_scope.cancel()
        while select.select([self._master.fileno()], [], [], 0)[0]:  # what is left in the terminal's buffer
            await self.read()
        assert self.settings == self.before, "the terminal's settings are not restored"
        assert self.screen.cursor.x == 0, "the cursor is not at the start of a line"
        assert not self.screen.cursor.hidden
        return status

    async def _read_on(self) -> None:
        while True:
            await self.read()

    async def hang_up(self) -> int:
        """Take the terminal away; returns the exit status."""
        await trio.aclose_forcefully(self._master)
        return await self.process.wait()

    def resize(self, columns: int, lines: int) -> None:
        self.screen.resize(lines, columns)
        set_size(self._slave, columns, lines)


def set_size(terminal: int, columns: int, lines: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@asynccontextmanager
async def open_terminal(
    *arguments: str,
    columns: int = 100,
    lines: int = 24,
    command: tuple[str, ...] = COMMAND,
    kind: str = "xterm-256color",
) -> AsyncIterator[Terminal]:
    """Run a command in a terminal; killed in the end if it still runs."""
    master, slave = pty.openpty()
    set_size(slave, columns, lines)
    before = termios.tcgetattr(slave)
    process = await trio.lowlevel.open_process(
        (sys.executable, "-c", _LOG_IN, *command, *arguments),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": kind},
    )
    screen = pyte.HistoryScreen(columns, lines, history=10_000, ratio=1)
    stream = trio.lowlevel.FdStream(master)
    terminal = Terminal(process, stream, slave, screen, pyte.ByteStream(screen), before=before)
    try:
        with trio.fail_after(TIME):
            yield terminal
    finally:
        if process.returncode is None:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
        await trio.aclose_forcefully(stream)
        os.close(slave)
