"""Ends a command: by itself, or in good order when a signal asks for it.

The first signal asks the command to end: the command still sends every accepted message and writes all its
output. The second signal ends the command at once. A signal that was ignored when the command started stays
ignored, as `nohup` and background jobs of the shell require.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final, TypeAlias

import trio

from . import streams

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SignalHandler: TypeAlias = Callable[[int, FrameType | None], object]


class Ending:
    """Whether the command has been asked to end, and the exit status that follows."""

    def __init__(self) -> None:
        self.asked = False
        self._signals: list[int] = []
        self._error: OSError | None = None
        self._scopes: set[trio.CancelScope] = set()
        self._when_asked: list[Callable[[], None]] = []
        self._when_hurried: list[Callable[[], None]] = []
        self._whole = trio.CancelScope()
        self._trio: trio.lowlevel.TrioToken | None = None

    @property
    def status(self) -> int:
        """The exit status of a command that runs until a signal ends it, and has ended in good order.

        A supervisor ends a service with SIGTERM, so that is not a failure.
        """
        return 0 if self._signals[:1] == [signal.SIGTERM] else self.unfinished

    @property
    def unfinished(self) -> int:
        """The exit status of a command that could not finish."""
        return 128 + self._signals[-1] if self._signals else 0

    @property
    def name(self) -> str:
        """The name of the first signal."""
        return signal.Signals(self._signals[0]).name if self._signals else ""

    @contextmanager
    def unless_asked(self) -> Iterator[trio.CancelScope]:
        """Cancel the block when the command is asked to end."""
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            if self.asked:
                scope.cancel()
            try:
                yield scope
            finally:
                self._scopes.discard(scope)

    def when_asked(self, leave: Callable[[], None]) -> None:
        """Call a function when the command is asked to end."""
        self._when_asked.append(leave)
        if self.asked:
            leave()

    def when_hurried(self, hurry: Callable[[], None]) -> None:
        """Call a function when a second signal ends the command at once."""
        self._when_hurried.append(hurry)

    async def wait(self) -> None:
        """Wait until the command is asked to end."""
        with self.unless_asked():
            await trio.sleep_forever()

    def fail(self, error: OSError) -> None:
        """Ask the command to end because of an error, which `run` raises afterwards."""
        self._error = self._error or error
        self._ask()

    async def run(self, command: Callable[..., Awaitable[int | None]], *arguments: object) -> int:
        """Run a command with this object as its first argument; returns its exit status."""
        self._trio = trio.lowlevel.current_trio_token()
        with self._whole:
            self._look()
            status = await command(self, *arguments)
            if self._error is not None:
                raise self._error
            return status or self.status
        return self.unfinished

    def note(self, number: int, _: FrameType | None = None) -> None:
        """Take note of a signal. The system may call this at any time."""
        self._signals.append(number)
        if self._trio is not None:
            with suppress(trio.RunFinishedError):
                self._trio.run_sync_soon(self._look)

    def _look(self) -> None:
        if self._signals and not self.asked:
            if self._signals[0] == signal.SIGINT:
                streams.end_line()
            self._ask()
        if len(self._signals) > 1:
            self._whole.cancel()
            for hurry in self._when_hurried:
                hurry()

    def _ask(self) -> None:
        self.asked = True
        for scope in self._scopes:
            scope.cancel()
        for leave in self._when_asked:
            leave()


def run(command: Callable[..., Awaitable[int | None]], *arguments: object) -> int:
    """Run an async command to its end; returns its exit status."""
    ending = Ending()
    with _handled_by(ending.note):
        return trio.run(ending.run, command, *arguments)


def raise_on_signals() -> None:
    """Let signals raise `SystemExit`, for code that `run` does not run."""
    _handle(_exit, *_SIGNALS)


def leave_on_signals(status: int) -> None:
    """Let signals end the process at once, because all work is done."""
    _handle(lambda number, frame: os._exit(status), *_SIGNALS)


def _exit(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextmanager
def _handled_by(handler: _SignalHandler) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    _handle(handler, *_SIGNALS)
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _handle(handler: _SignalHandler, *numbers: signal.Signals) -> None:
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
