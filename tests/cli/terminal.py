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

from cli import logged_in
from cli.support import COMMAND, MAX_READ, TIME

CTRL_C: Final = "\x03"
CTRL_D: Final = "\x04"
CTRL_Z: Final = "\x1a"
TAB: Final = "\t"
ENTER: Final = "\r"
UP: Final = "\x1b[A"
LEFT: Final = "\x1b[D"
SHOW_CURSOR: Final = b"\x1b[?25h"
"""The end of each drawing of the input line."""

# The terminal has to become the controlling one, which only the process itself can do.
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
        """Return the lines on the screen and those scrolled off its top, without empty lines at the end."""
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
        """Render the next output."""
        data = await self._master.receive_some(MAX_READ)
        self.raw += data
        self._stream.feed(bytes(data))

    async def until(self, text: str, *, wrapped: bool = False) -> None:
        """Wait until the screen shows a text, which may begin anywhere and continue on the next line."""
        while text not in ("".join(self.lines) if wrapped else self.text):
            await self.read()

    async def until_raw(self, data: bytes) -> None:
        """Wait until these bytes have been written."""
        while data not in self.raw:
            await self.read()

    async def finish(self) -> int:
        """Wait for the end. Return the exit status, and check that the terminal is as it was."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_on)
            status = await self.process.wait()
            nursery.cancel_scope.cancel()
        while select.select([self._master.fileno()], [], [], 0)[0]:  # the rest of the output
            await self.read()
        assert self.settings == self.before, "the terminal's settings are not restored"
        assert self.screen.cursor.x == 0, "the cursor is not at the start of a line"
        assert not self.screen.cursor.hidden
        return status

    async def _read_on(self) -> None:
        while True:
            await self.read()

    async def hang_up(self) -> int:
        """Take the terminal away. Return the exit status."""
        await trio.aclose_forcefully(self._master)
        return await self.process.wait()

    async def settle(self, *texts: str, since: int = 0) -> None:
        """Wait until a complete drawing shows these texts."""
        while len(self.raw) <= since or not self.raw.endswith(SHOW_CURSOR) or not all(map(self.shows, texts)):
            await self.read()

    def shows(self, text: str) -> bool:
        return text in self.text

    def resize(self, columns: int, lines: int, *, breaks: bool = False) -> None:
        """Change the size. A narrower terminal wraps its rows, or cuts them off."""
        resize(self.screen, columns, lines, breaks=breaks)
        set_size(self._slave, columns, lines)


def resize(screen: pyte.HistoryScreen, columns: int, lines: int, *, breaks: bool) -> None:
    """Change the size as terminals do, and pyte does not: all rows stay, and the top ones go to the
    history.
    """
    rows: list[list[Any]] = []
    cursor = screen.cursor.y, screen.cursor.x
    for y in range(screen.lines):
        row = [screen.buffer[y][x] for x in range(screen.columns)]
        used = max((x + 1 for x, cell in enumerate(row) if cell.data.strip()), default=0)
        pieces = [row[x : min(x + columns, used)] for x in range(0, max(used, 1), columns)]
        if y == screen.cursor.y:
            down, across = (
                divmod(screen.cursor.x, columns) if breaks else (0, min(screen.cursor.x, columns - 1))
            )
            pieces += [[]] * (down + 1 - len(pieces))
            cursor = len(rows) + down, across
        rows += pieces if breaks else pieces[:1]
    while not rows[-1] and len(rows) > cursor[0] + 1:
        rows.pop()
    above = max(0, len(rows) - lines)
    screen.resize(lines, columns)
    for y, row in enumerate(rows):
        line = screen.buffer[y - above] if y >= above else pyte.screens.StaticDefaultDict(screen.default_char)
        line.clear()
        line.update(enumerate(row))
        if y < above:
            screen.history.top.append(line)
    for y in range(len(rows) - above, lines):
        screen.buffer[y].clear()
    screen.cursor.y, screen.cursor.x = cursor[0] - above, cursor[1]


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
    """Run a command in a terminal. It is killed at the end if it still runs."""
    master, slave = pty.openpty()
    set_size(slave, columns, lines)
    before = termios.tcgetattr(slave)
    started = (logged_in.__file__,) if command == COMMAND else ("-c", _LOG_IN, *command)
    process = await trio.lowlevel.open_process(
        (sys.executable, *started, *arguments),
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
