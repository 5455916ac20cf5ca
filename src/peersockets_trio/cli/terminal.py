"""`Terminal`: a `Console` with an input line at the bottom of the terminal, and everything else above it.

It belongs to Trio's thread. The line editor has a thread of its own; both share the lines to draw. Signals
arrive here: SIGWINCH makes the editor draw the input line again, and SIGTSTP makes it give the terminal back
before the process stops.
"""

from __future__ import annotations

import contextlib
import io
import math
import signal
import sys
from collections.abc import AsyncIterator, Callable
from typing import Final

import trio

from .completing import Completion
from .drawing import Drawing
from .ending import Ending
from .line_editor import LineEditor
from .terminal_modes import quiet, stop

_MAX_WAITING: Final = 1000
"""Lines that may wait to be shown; that is more than anyone reads."""


class Terminal:
    """A `Console` for a user at a terminal."""

    interactive = typed = True

    def __init__(self, ending: Ending) -> None:
        self._ending = ending
        self.complete: Callable[[str], Completion] = Completion
        self._drawing = Drawing()
        self._editor = LineEditor(self._drawing, self)
        self._editing = trio.Event()
        self._drained = trio.lowlevel.ParkingLot()
        self._said, self._hear = trio.open_memory_channel[str](math.inf)

    # The `Console`

    @property
    def status(self) -> int:
        """The exit status that follows from the way it ended."""
        return self._editor.status

    @property
    def prompt(self) -> str:
        """The text before the input line."""
        return self._editor.prompt

    @prompt.setter
    def prompt(self, prompt: str) -> None:
        self._editor.prompt = prompt
        self._editor.redraw()

    def write(self, mark: str, text: str) -> None:
        """Show a line above the input."""
        self._drawing.add(mark, text)
        self._editor.show()

    def complain(self, text: str) -> None:
        """Show a complaint about the input."""
        self.write("!", text)

    async def room(self) -> None:
        """Wait until the terminal has caught up."""
        while len(self._drawing) > _MAX_WAITING:
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
        self._editor.end()

    async def run(self) -> None:
        """Control the terminal until the chat ends, and restore its state, however the chat ends."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._finish_when_cancelled)
                nursery.start_soon(self._obey_signals)
                with (
                    quiet(sys.stdin.fileno()) as modes,
                    contextlib.redirect_stderr(_Lines(lambda line: self.write("", line))),
                ):
                    await self._editor.run(modes)
                nursery.cancel_scope.cancel()
        finally:
            self._said.close()
            self._drawing.show()
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
                    self._editor.redraw()
                else:
                    await self._editor.leave()
                    stop()  # returns when the shell continues the process
                    self._editor.come_back()

    # The `User` of the editor

    def editing(self) -> None:
        """Obey signals from now on."""
        self._editing.set()

    def said(self, line: str) -> None:
        """Queue a line for `lines`."""
        self._said.send_nowait(line)

    def shown(self) -> None:
        """Wake the writers that wait for room."""
        self._drained.unpark_all()

    def completed(self, text: str) -> Completion:
        """Complete a text as the chat does."""
        return self.complete(text)


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
