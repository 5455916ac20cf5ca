"""`Terminal`: shows an input line at the bottom of the terminal, and everything else above it.

prompt_toolkit edits the line. It only runs on asyncio, so it has a thread with a loop of its own. The
two threads share a deque of lines to show, and each can call into the other: `call_soon_threadsafe`
into the asyncio thread, `run_sync_soon` into Trio.

Signals arrive in Trio's thread. SIGWINCH makes the other thread draw the input line again. SIGTSTP makes it
give the terminal back, and then stops the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import math
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final

import trio
from prompt_toolkit import PromptSession
from prompt_toolkit.application.run_in_terminal import in_terminal
from prompt_toolkit.data_structures import Size
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output.vt100 import Vt100_Output

from .completing import Completion
from .ending import Ending
from .page import Page, broken
from .streams import write_all
from .terminal_modes import given_back, quiet, stop
from .text import printable

_MAX_WAITING: Final = 1000
"""Lines that may wait to be shown; that is more than anyone reads."""
_REST: Final = 0.05
"""Seconds between two redraws of the input line, so that a user can type during a flood of messages."""
_INTERRUPTED: Final = 130
_WIDTH: Final = 80
_HEIGHT: Final = 24
_NOTICE: Final = "*"


def _size() -> Size:
    columns, lines = os.get_terminal_size(sys.stdout.fileno())
    return Size(rows=lines or _HEIGHT, columns=columns or _WIDTH)  # some terminals report no size


def _size_or_default() -> Size:
    try:
        return _size()
    except OSError:  # the terminal has gone
        return Size(rows=_HEIGHT, columns=_WIDTH)


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
            key_bindings=self._key_bindings(),
            erase_when_done=True,  # what the user has said becomes a line of the page
        )
        app = self._session.app
        app.terminal_size_polling_interval = None  # SIGWINCH comes at once
        app.before_render += lambda _: self._adapt()
        self.complete: Callable[[str], Completion] = Completion
        self._encoding = sys.stdout.encoding
        self._waiting: deque[tuple[str, str]] = deque()  # the mark that stands out, and the rest of the line
        self._drained = trio.lowlevel.ParkingLot()
        self._trio = trio.lowlevel.current_trio_token()
        self._said, self._hear = trio.open_memory_channel[str](math.inf)
        self._finished = False
        self._editing = trio.Event()
        # These belong to the asyncio thread:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._here = asyncio.Event()  # set unless the terminal is given back
        self._here.set()
        self._page = Page(coloured=not os.environ.get("NO_COLOR"))
        self._columns = _size_or_default().columns  # as of the latest drawing

    # Called by Trio's thread

    @property
    def prompt(self) -> str:
        """The text before the input line."""
        return self._prompt

    @prompt.setter
    def prompt(self, prompt: str) -> None:
        self._prompt = prompt
        self._call(self._session.app.invalidate)  # redraw now, and not only at the next key

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
                nursery.start_soon(self._obey_signals)
                with (
                    quiet(sys.stdin.fileno()) as self._modes,
                    contextlib.redirect_stderr(_Lines(self._write_line)),
                ):
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

    async def _obey_signals(self) -> None:
        await self._editing.wait()
        stops = signal.getsignal(signal.SIGTSTP) is not signal.SIG_IGN
        with trio.open_signal_receiver(signal.SIGWINCH, *([signal.SIGTSTP] if stops else [])) as signals:
            async for number in signals:
                if number == signal.SIGWINCH:
                    self._call(self._session.app.invalidate)
                else:
                    await self._suspend()

    async def _suspend(self) -> None:
        """Give the terminal back, and stop until the shell continues the process."""
        left = trio.Event()
        self._call(partial(self._leave, left))
        await left.wait()
        stop()
        self._call(self._here.set)

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
            self._main.cancel()

    async def _edit(self) -> None:
        self._main = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._news.set()  # for lines that were written before
        if self._finished:
            return
        self._trio.run_sync_soon(self._editing.set)
        async with asyncio.TaskGroup() as self._tasks:
            showing = self._tasks.create_task(self._show())
            await self._take_lines()
            showing.cancel()

    async def _take_lines(self) -> None:
        while True:
            await self._here.wait()
            try:
                line = await self._session.prompt_async()
            except EOFError:
                return
            except _Interrupted:
                self.status = _INTERRUPTED
                return
            first, *others = line.split("\n")
            self._waiting.append(("", printable(f"{self._prompt}{first}")))
            self._waiting.extend(("   ", printable(other)) for other in others)
            self._show_waiting()
            self._trio.run_sync_soon(self._said.send_nowait, line)

    async def _show(self) -> None:
        while True:
            await self._news.wait()
            await self._here.wait()
            self._news.clear()
            if self._waiting:  # not if an earlier turn has shown it
                self._show_above()
            self._trio.run_sync_soon(self._drained.unpark_all)
            await asyncio.sleep(_REST)

    def _show_above(self) -> None:
        # Do not use run_in_terminal: it gives the terminal back for a moment, in which typed text is echoed
        # between the lines, and Ctrl-D gets lost.
        self._adapt()
        app = self._session.app
        if app.is_running:
            app.renderer.erase()
        self._show_waiting()
        app.invalidate()

    def _show_waiting(self) -> None:
        drawn: list[str] = []
        while self._waiting:
            drawn += self._page.add(*self._waiting.popleft(), self._columns)
        self._draw(drawn)

    def _draw(self, drawn: list[str]) -> None:
        if drawn:
            write_all("\n".join((*drawn, "")).encode(self._encoding, "backslashreplace"))

    def _adapt(self) -> None:
        """Draw everything again if the terminal has become narrower, which may have broken rows into several.

        If it has become wider, drawing the input line again is enough.
        """
        size = _size_or_default()
        before, self._columns = self._columns, size.columns
        if size.columns >= before:
            return
        app = self._session.app
        app.output.cursor_up(self._rows_gained(size.columns) + self._page.height(size.columns))
        app.renderer.erase()
        self._draw(self._page.redraw(size.columns, size.rows - 1))

    def _rows_gained(self, columns: int) -> int:
        """Return the rows that the input line above the cursor has gained if the terminal breaks rows."""
        app = self._session.app
        screen = app.renderer.last_rendered_screen
        if screen is None:
            return 0
        cursor = screen.get_cursor_position(app.layout.current_window)
        above = (
            "".join(char.char for _, char in sorted(screen.data_buffer[y].items())) for y in range(cursor.y)
        )
        return sum(broken(row.rstrip(), columns) - 1 for row in above) + cursor.x // columns

    def _leave(self, left: trio.Event) -> None:
        self._here.clear()
        self._tasks.create_task(self._wait_outside(left))

    async def _wait_outside(self, left: trio.Event) -> None:
        async with in_terminal():
            self._show_waiting()
            self._page.clear()  # the shell writes below it
            with given_back(sys.stdin.fileno(), self._modes):
                self._trio.run_sync_soon(left.set)
                await self._here.wait()

    # Keys

    def _key_bindings(self) -> KeyBindings:
        keys = KeyBindings()
        keys.add("c-i")(self._complete)
        keys.add("c-z")(lambda _: os.kill(0, signal.SIGTSTP))  # the whole job, as the terminal would do it
        return keys

    def _complete(self, event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        text = buffer.document.text_before_cursor
        try:
            # The peers and topics belong to Trio's thread. Keys after this one wait for it.
            completion = trio.from_thread.run_sync(self.complete, text, trio_token=self._trio)
        except trio.RunFinishedError:
            return
        buffer.delete_before_cursor(len(text))
        buffer.insert_text(completion.text)
        if completion.shown:
            self.write(_NOTICE, "  ".join(completion.shown))


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
