"""What a command logs: to stderr, and nothing of the network raw."""

from __future__ import annotations

import logging
import sys
from typing import Final

from .text import printable

_LEVELS: Final = (logging.WARNING, logging.INFO, logging.DEBUG)
_logger: Final = logging.getLogger("peersockets")


def set_up(verbose: int) -> None:
    """Log warnings, with `verbose` 1 what happens, from 2 on the details."""
    handler = _StderrHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _logger.addHandler(handler)
    _logger.setLevel(_LEVELS[min(verbose, len(_LEVELS) - 1)])


def without_warnings() -> None:
    """Leave warnings out, for a command that tells of the same as its error."""
    if _logger.level == logging.WARNING:
        _logger.setLevel(logging.ERROR)


class _StderrHandler(logging.Handler):
    """Writes to what stderr is at the time: a chat moves it above its input line."""

    def emit(self, record: logging.LogRecord) -> None:
        print(printable(self.format(record)), file=sys.stderr)
