"""`Console`: the input and output of a chat. It yields the lines that the user says, and shows lines."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import trio

from . import streams
from .completing import Completion
from .ending import Ending
from .lines import MAX_LINE, Output, input_lines


class Console(Protocol):
    """The interface between a chat and its console."""

    interactive: bool
    """Whether the console draws an input line for a user."""
    typed: bool
    """Whether a user types the lines and may give commands; otherwise, the chat says every line."""
    prompt: str
    """The text before the input line, if there is one."""
    complete: Callable[[str], Completion]
    """Completes the text before the cursor, for a user who asks for it. Trio's thread calls it."""

    @property
    def status(self) -> int:
        """The exit status that follows from the way it ended."""

    def write(self, mark: str, text: str) -> None:
        """Show a line; its beginning, `mark`, stands out if that is possible."""

    def complain(self, text: str) -> None:
        """Show a complaint about the input."""

    async def room(self) -> None:
        """Wait until there is room for more lines."""

    def lines(self) -> AsyncIterator[str]:
        """Yield the lines that are said, until the end; bytes that are not UTF-8 become lone surrogates."""

    def finish(self) -> None:
        """End after everything is shown."""

    async def run(self) -> None:
        """Work until finished."""


class LineConsole:
    """Line in, line out: used if stdin or stdout is not a terminal, or the terminal cannot be drawn on."""

    interactive = False
    status = 0

    def __init__(self, ending: Ending) -> None:
        self.prompt = ""
        self.complete: Callable[[str], Completion] = Completion  # nobody can ask for it
        self.typed = sys.stdin.isatty()
        self._ending = ending
        self._output = Output(ending)
        self.run = self._output.run
        self.room = self._output.room
        self.finish = self._output.finish

    def write(self, mark: str, text: str) -> None:
        """Write a line to stdout."""
        self._output.write_text(f"{mark} {text}")

    def complain(self, text: str) -> None:
        """Write a line to stderr."""
        streams.complain(text)

    async def lines(self) -> AsyncIterator[str]:
        """Yield the lines of stdin."""
        async for line in input_lines(self._ending):
            if line is None:
                self.complain(f"line of more than {MAX_LINE} bytes")
            else:
                yield line.decode(errors="surrogateescape")


@asynccontextmanager
async def open_console(ending: Ending) -> AsyncIterator[Console]:
    """Open the console that suits stdin and stdout. Leaving the block restores the terminal."""
    console = _terminal(ending) if sys.stdin.isatty() and sys.stdout.isatty() else None
    if console is None:
        console = LineConsole(ending)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(console.run)
        yield console
        console.finish()


def _terminal(ending: Ending) -> Console | None:
    """Return a console that edits the line, or None if the terminal is too simple for that."""
    from prompt_toolkit.utils import is_dumb_terminal  # only terminals need it, and it takes 7 MiB

    from .terminal import Terminal

    return None if is_dumb_terminal() else Terminal(ending)
