"""The modes of a terminal while a chat edits a line in it, and while the chat is suspended."""

from __future__ import annotations

import contextlib
import signal
import termios
import tty
from collections.abc import Iterator
from typing import Any, TypeAlias

Modes: TypeAlias = list[Any]


@contextlib.contextmanager
def quiet(terminal: int) -> Iterator[Modes]:
    """Keep the terminal from echoing typed text between two input lines; yields its modes before."""
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    try:
        yield before
    finally:
        _set(terminal, before)


@contextlib.contextmanager
def given_back(terminal: int, modes: Modes) -> Iterator[None]:
    """Give the terminal other modes for a while."""
    ours = termios.tcgetattr(terminal)
    _set(terminal, modes)
    try:
        yield
    finally:
        _set(terminal, ours)


def stop() -> None:
    """Stop this process as SIGTSTP does by default; returns when it is continued."""
    handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, handler)


def _set(terminal: int, modes: Modes) -> None:
    with contextlib.suppress(termios.error):  # the terminal has gone
        termios.tcsetattr(terminal, termios.TCSADRAIN, modes)
