"""Where a chat takes place: lines the user says come out, lines to show go in."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import trio
from prompt_toolkit.utils import is_dumb_terminal

from . import streams
from .ending import Ending
from .lines import MAX_LINE, Output, input_lines
from .terminal import Terminal


class Console(Protocol):
    """What a chat asks of its console."""

    interactive: bool
    """Whether the input line is drawn, and somebody sits before it."""
    typed: bool
    """Whether somebody types the lines, who may give commands; otherwise each line is to be said."""
    prompt: str
    """What stands before the input line, where there is one."""
    status: int
    """The exit status that the way it ended calls for."""

    def write(self, mark: str, text: str) -> None:
        """Show a line; its beginning, `mark`, stands out where that is possible."""

    def complain(self, text: str) -> None:
        """Show what was wrong with the input."""

    async def room(self) -> None:
        """Wait until more can be shown."""

    def lines(self) -> AsyncIterator[str]:
        """What is said, until the end; bytes that are no UTF-8 as lone surrogates."""

    def finish(self) -> None:
        """Come to an end, with everything shown."""

    async def run(self) -> None:
        """Work until finished."""


class LineConsole:
    """Line in, line out: where input and output are not both a terminal, or one that cannot be drawn on."""

    interactive = False
    status = 0

    def __init__(self, ending: Ending) -> None:
        self.prompt = ""
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
        """The lines of stdin."""
        async for line in input_lines(self._ending):
            if line is None:
                self.complain(f"line of more than {MAX_LINE} bytes")
            else:
                yield line.decode(errors="surrogateescape")


@asynccontextmanager
async def open_console(ending: Ending) -> AsyncIterator[Console]:
    """Open the console that suits stdin and stdout. Leaving the block restores the terminal."""
    interactive = sys.stdin.isatty() and sys.stdout.isatty() and not is_dumb_terminal()
    console: Console = Terminal(ending) if interactive else LineConsole(ending)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(console.run)
        yield console
        console.finish()
