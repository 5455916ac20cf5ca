"""What a command logs: to stderr, and nothing of the network raw.

A thread writes the lines, so that nobody who does not read stderr holds up the connections.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from contextlib import nullcontext, suppress
from typing import Final

from .text import printable

_LEVELS: Final = (logging.WARNING, logging.INFO, logging.DEBUG)
_MAX_WAITING: Final = 10_000
"""Lines that wait for a slow reader of stderr; of more, the oldest are left out."""
_LAST_WORDS: Final = 1.0
"""Seconds that the end of the command waits for such a reader."""
_logger: Final = logging.getLogger("peersockets")


def set_up(verbose: int) -> None:
    """Log warnings, with `verbose` 1 what happens, from 2 on the details."""
    handler = _StderrHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _logger.addHandler(handler)
    _logger.setLevel(_LEVELS[min(verbose, len(_LEVELS) - 1)])


def without_warnings() -> None:
    """Leave warnings out, for a command that reports the same as its error."""
    if _logger.level == logging.WARNING:
        _logger.setLevel(logging.ERROR)


def finish() -> None:
    """Wait until all lines are written, for as long as somebody may be expected to read them."""
    for handler in _logger.handlers:
        if isinstance(handler, _StderrHandler):
            handler.idle.wait(_LAST_WORDS)


class _StderrHandler(logging.Handler):
    """Writes to what stderr is at the time: a chat moves it above its input line."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[str] = deque(maxlen=_MAX_WAITING)
        self._news = threading.Event()
        self._thread: threading.Thread | None = None
        self.idle = threading.Event()
        """Set while nothing waits to be written."""
        self.idle.set()

    def emit(self, record: logging.LogRecord) -> None:
        self.idle.clear()
        self._waiting.append(printable(self.format(record)))
        self._news.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="log", daemon=True)
            self._thread.start()

    def _write(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            while self._waiting:
                with suppress(OSError, ValueError):  # nobody can be told that stderr fails
                    print(self._waiting.popleft(), file=sys.stderr, flush=True)
            with self.lock or nullcontext():  # `emit` is called with it
                if not self._waiting:
                    self.idle.set()
