"""`LineEditor`: the input line at the bottom of a terminal, in a thread of its own.

prompt_toolkit edits the line. It only runs on asyncio, so the thread has an event loop. The methods of the
editor belong to Trio's thread and call into the loop; the methods of its `User` are called in Trio's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Final, Protocol

import trio
from prompt_toolkit import PromptSession
from prompt_toolkit.application.run_in_terminal import in_terminal
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output.vt100 import Vt100_Output

from .completing import Completion
from .drawing import Drawing, terminal_size
from .terminal_modes import Modes, given_back

_REST: Final = 0.05
"""Seconds between two redraws of the input line, so that a user can type during a flood of messages."""
_INTERRUPTED: Final = 130
_NOTICE: Final = "*"


class _Interrupted(Exception):
    """The user has pressed Ctrl-C."""


class User(Protocol):
    """The code that uses an editor. The editor calls all of these in Trio's thread."""

    def editing(self) -> None:
        """Note that the editor has the terminal."""

    def said(self, line: str) -> None:
        """Take a line."""

    def shown(self) -> None:
        """Note that all lines were drawn."""

    def completed(self, text: str) -> Completion:
        """Complete the text before the cursor."""


class LineEditor:
    """The input line, and the lines of a `Drawing` above it."""

    def __init__(self, drawing: Drawing, user: User) -> None:
        self.prompt = "> "
        """The text before the input line."""
        self.status = 0
        """The exit status that follows from the last key."""
        self._drawing = drawing
        self._user = user
        self._trio = trio.lowlevel.current_trio_token()
        # Do not ask the terminal for the cursor's position, because some terminals do not answer.
        output = Vt100_Output(sys.stdout, terminal_size, term=os.environ.get("TERM"), enable_cpr=False)
        self._session = PromptSession[str](
            lambda: self.prompt,
            output=output,
            interrupt_exception=_Interrupted,
            reserve_space_for_menu=0,
            key_bindings=self._key_bindings(),
            erase_when_done=True,  # what the user has said becomes a line of the drawing
        )
        self._app = self._session.app
        self._app.terminal_size_polling_interval = None  # SIGWINCH comes at once
        self._app.before_render += lambda _: drawing.adapt(self._app)
        self._ended = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._here = asyncio.Event()  # set unless the terminal is given back
        self._here.set()

    # Called by Trio's thread

    async def run(self, modes: Modes) -> None:
        """Edit lines until Ctrl-D or Ctrl-C, or until `end`. `modes` are those of the terminal before."""
        self._modes = modes
        await trio.to_thread.run_sync(self._run, abandon_on_cancel=False)

    def redraw(self) -> None:
        """Draw the input line again now, and not only at the next key."""
        self._call(self._app.invalidate)

    def show(self) -> None:
        """Draw the waiting lines soon."""
        self._call(self._news.set)

    def end(self) -> None:
        """Stop taking input."""
        self._ended = True
        self._call(self._cancel)

    async def leave(self) -> None:
        """Give the terminal back until `come_back`."""
        left = trio.Event()
        self._call(lambda: self._leave(left))
        await left.wait()

    def come_back(self) -> None:
        """Take the terminal again."""
        self._call(self._here.set)

    def _call(self, function: Callable[[], object]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has closed
                self._loop.call_soon_threadsafe(function)

    # Called by the other thread

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._edit())

    def _cancel(self) -> None:
        if self._main is not None:
            self._main.cancel()

    async def _edit(self) -> None:
        self._main = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._news.set()  # for lines that were written before
        if self._ended:
            return
        self._trio.run_sync_soon(self._user.editing)
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
            self._drawing.add("", f"{self.prompt}{first}")
            for other in others:
                self._drawing.add("   ", other)
            self._drawing.show()
            self._trio.run_sync_soon(self._user.said, line)

    async def _show(self) -> None:
        while True:
            await self._news.wait()
            await self._here.wait()
            self._news.clear()
            if len(self._drawing):  # not if an earlier turn has shown it
                self._drawing.show_above(self._app)
            self._trio.run_sync_soon(self._user.shown)
            await asyncio.sleep(_REST)

    def _leave(self, left: trio.Event) -> None:
        self._here.clear()
        self._tasks.create_task(self._wait_outside(left))

    async def _wait_outside(self, left: trio.Event) -> None:
        async with in_terminal():
            self._drawing.leave()
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
            completion = trio.from_thread.run_sync(self._user.completed, text, trio_token=self._trio)
        except trio.RunFinishedError:
            return
        buffer.delete_before_cursor(len(text))
        buffer.insert_text(completion.text)
        if completion.shown:
            self._drawing.add(_NOTICE, "  ".join(completion.shown))
            self._news.set()
