"""`Terminal`: shows an input line at the bottom of the terminal, and everything else above it.

prompt_toolkit edits the line. It only runs on asyncio, so it has a thread with a loop of its own. The
two threads share a deque of lines to show, and each can call into the other: `call_soon_threadsafe`
into the asyncio thread, `run_sync_soon` into Trio.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import math
import os
import sys
import termios
import tty
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

import click
import trio
from prompt_toolkit import PromptSession
from prompt_toolkit.data_structures import Size
from prompt_toolkit.output.vt100 import Vt100_Output

from .ending import Ending
from .streams import write_all
from .text import printable, rows

_MAX_WAITING: Final = 1000
"""Lines that may wait to be shown; that is more than anyone reads."""
_REST: Final = 0.05
"""Seconds between two redraws of the input line, so that a user can type during a flood of messages."""
_INTERRUPTED: Final = 130
_WIDTH: Final = 80


def _size() -> Size:
    columns, lines = os.get_terminal_size(sys.stdout.fileno())
    return Size(rows=lines or 24, columns=columns or _WIDTH)  # some terminals report no size


def _columns() -> int:
    try:
        return _size().columns
    except OSError:  # the terminal has gone
        return _WIDTH


class _Interrupted(Exception):
    """The user has pressed Ctrl-C."""


class Terminal:
    """A `Console` for a user at a terminal."""

    interactive = typed = True

    def __init__(self, ending: Ending) -> None:
        self._ending = ending
        self._prompt = "> "
        self.status = 0
        # Do not ask the terminal for the cursor's position, because some terminals do not answer.
        output = Vt100_Output(sys.stdout, _size, term=os.environ.get("TERM"), enable_cpr=False)
        self._session = PromptSession[str](
            lambda: self._prompt,
            output=output,
            interrupt_exception=_Interrupted,
            reserve_space_for_menu=0,
        )
        self._coloured = not os.environ.get("NO_COLOR")
        self._encoding = sys.stdout.encoding
        self._waiting: deque[tuple[str, str]] = deque()  # the mark that stands out, and the rest of the line
        self._drained = trio.lowlevel.ParkingLot()
        self._trio = trio.lowlevel.current_trio_token()
        self._said, self._hear = trio.open_memory_channel[str](math.inf)
        self._finished = False
        # These belong to the asyncio thread:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    # Called by Trio's thread

    @property
    def prompt(self) -> str:
        """The text before the input line."""
        return self._prompt

    @prompt.setter
    def prompt(self, prompt: str) -> None:
        self._prompt = prompt
        self._call(self._news.set)  # redraw now, and not only at the next key

    def write(self, mark: str, text: str) -> None:
        """Show a line above the input."""
        self._waiting.append((printable(mark), printable(text)))
        self._call(self._news.set)

    def complain(self, text: str) -> None:
        """Show a complaint about the input."""
        self.write("!", text)

    async def room(self) -> None:
        """Wait until the terminal has caught up."""
        while len(self._waiting) > _MAX_WAITING:
            await self._drained.park()

    async def lines(self) -> AsyncIterator[str]:
        """Yield the user's lines, until Ctrl-D or Ctrl-C, or until the command is asked to end."""
        while (line := await self._next_line()) is not None:
            yield line

    async def _next_line(self) -> str | None:
        with contextlib.suppress(trio.WouldBlock, trio.EndOfChannel):
            return self._hear.receive_nowait()
        line = None
        with self._ending.unless_asked(), contextlib.suppress(trio.EndOfChannel):
            line = await self._hear.receive()
        return line

    def finish(self) -> None:
        """Stop taking input."""
        self._finished = True
        self._call(self._cancel)

    async def run(self) -> None:
        """Control the terminal until the chat ends, and restore its state, however the chat ends."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._finish_when_cancelled)
                with _quiet_terminal(), contextlib.redirect_stderr(_Lines(self._write_line)):
                    await trio.to_thread.run_sync(self._run_thread, abandon_on_cancel=False)
                nursery.cancel_scope.cancel()
        finally:
            self._said.close()
            self._show_waiting()
            self._drained.unpark_all()

    async def _finish_when_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.finish()

    def _write_line(self, line: str) -> None:
        self.write("", line)

    def _call(self, function: Callable[[], object]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: `run` shows the remaining lines
                self._loop.call_soon_threadsafe(function)

    # Called by the other thread

    def _run_thread(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._edit())

    def _cancel(self) -> None:
        if self._main is not None:
            self._session.app.erase_when_done = True
            self._main.cancel()

    async def _edit(self) -> None:
        self._main = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._news.set()  # for lines that were written before
        if self._finished:
            return
        async with asyncio.TaskGroup() as tasks:
            showing = tasks.create_task(self._show())
            await self._take_lines()
            showing.cancel()

    async def _take_lines(self) -> None:
        while True:
            try:
                line = await self._session.prompt_async()
            except EOFError:
                return
            except _Interrupted:
                self.status = _INTERRUPTED
                return
            self._trio.run_sync_soon(self._said.send_nowait, line)

    async def _show(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            # Do not use run_in_terminal: it gives the terminal back for a moment, in which typed text is
            # echoed between the lines, and Ctrl-D gets lost.
            app = self._session.app
            if app.is_running:
                app.renderer.erase()
            self._show_waiting()
            app.invalidate()
            self._trio.run_sync_soon(self._drained.unpark_all)
            await asyncio.sleep(_REST)

    def _show_waiting(self) -> None:
        columns = _columns()
        shown = []
        while self._waiting:
            mark, text = self._waiting.popleft()
            first, *others = rows(f"{mark} {text}" if mark else text, columns)
            if self._coloured and mark and first.startswith(mark):
                first = click.style(mark, bold=True) + first[len(mark) :]
            shown += [first, *others]
        if shown:
            write_all("\n".join((*shown, "")).encode(self._encoding, "backslashreplace"))


@contextlib.contextmanager
def _quiet_terminal() -> Iterator[None]:
    """Keep the terminal from echoing typed text between two input lines."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal has gone
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


class _Lines(io.TextIOBase):
    """A text stream that passes on its lines. It replaces stderr, to which the log writes."""

    def __init__(self, write_line: Callable[[str], None]) -> None:
        self._write_line = write_line
        self._rest = ""

    def write(self, text: str) -> int:
        """Pass on complete lines; the text after the last line end waits."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._write_line(line)
        return len(text)
