"""The log of a command on stderr, which never shows raw text from the network.

A thread writes the lines, so that a slow reader of stderr does not hold up the connections.
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
"""Lines that may wait for a slow reader of stderr; the oldest are dropped if there are more."""
_LAST_WORDS: Final = 1.0
"""Seconds that the command waits for such a reader before it exits."""
_logger: Final = logging.getLogger("peersockets")


def set_up(verbose: int) -> None:
    """Log warnings; with `verbose` 1 also connections, and from 2 on the details."""
    handler = _StderrHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _logger.addHandler(handler)
    _logger.setLevel(_LEVELS[min(verbose, len(_LEVELS) - 1)])


def without_warnings() -> None:
    """Leave out warnings, for a command that reports the same failures as its error."""
    if _logger.level == logging.WARNING:
        _logger.setLevel(logging.ERROR)


def finish() -> None:
    """Wait until all lines are written, but not for ever."""
    for handler in _logger.handlers:
        if isinstance(handler, _StderrHandler):
            handler.idle.wait(_LAST_WORDS)


class _StderrHandler(logging.Handler):
    """Writes to the current `sys.stderr`, which a chat replaces in order to show lines above its input
    line.
    """

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
                with suppress(OSError, ValueError):  # there is no place to report that stderr fails
                    print(self._waiting.popleft(), file=sys.stderr, flush=True)
            with self.lock or nullcontext():  # `emit` is called with the lock held
                if not self._waiting:
                    self.idle.set()
