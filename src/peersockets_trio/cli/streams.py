"""The standard streams as they come: closed, non-blocking, full, or with nobody at the other end."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from .text import printable

_T = TypeVar("_T")
_FAILURES: Final = ("cannot read stdin", "cannot write to stdout", "cannot write to stderr")

# What is opened in place of one that is closed: so that nothing else gets its number, such as a socket that
# would then be sent the results. Reading or writing there fails, as it did; only errors have nowhere to go.
_STAND_INS: Final = (os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)


class _Descriptor(io.FileIO):
    """A standard stream that waits where it would block.

    Another program may have made it non-blocking: that is a property of what both share.
    """

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer."""
        attempt: Callable[[], int | None] = partial(super().readinto, buffer)
        return patiently(self.fileno(), select.POLLIN, attempt)

    def write(self, data: Any) -> int:
        """Write some bytes; returns how many."""
        attempt: Callable[[], int | None] = partial(super().write, data)
        return patiently(self.fileno(), select.POLLOUT, attempt)

    def read(self, size: int | None = -1) -> bytes:
        """Read some bytes: by way of `readinto`, which that of `FileIO` does not use."""
        return io.RawIOBase.read(self, -1 if size is None else size) or b""

    def readall(self) -> bytes:
        """Read to the end, likewise."""
        return io.RawIOBase.readall(self) or b""


def set_up() -> None:
    """Make the standard streams fit for use, whatever they are."""
    for descriptor, flags in enumerate(_STAND_INS):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)  # it gets the lowest number that is free, which is this one
    sys.stdin = _text(0, sys.stdin, io.BufferedReader(_Descriptor(0, "rb", closefd=False)))
    sys.stdout = _text(1, sys.stdout, io.BufferedWriter(_Descriptor(1, "wb", closefd=False)))
    sys.stderr = _text(2, sys.stderr, io.BufferedWriter(_Descriptor(2, "wb", closefd=False)))


def finish(status: int) -> int:
    """Write what is left in Python's buffers; returns the exit status, which is 1 if that fails."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            # Python would try again at its end, and complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            status = status or 1
    return status


def check_stdin() -> None:
    """Raise `OSError` if stdin cannot be read: for those that wait for something else before they read it."""
    read(0)


def read(size: int) -> bytes:
    """Read from stdin, past any buffer; empty at its end. Raises `OSError`."""
    return patiently(0, select.POLLIN, partial(os.read, 0, size))


def write_all(data: bytes) -> None:
    """Write to stdout, past any buffer. Raises `OSError`."""
    view = memoryview(data)
    while view:
        view = view[patiently(1, select.POLLOUT, partial(os.write, 1, view)) :]


def say(text: str) -> None:
    """Write a line to stdout. Raises `OSError`."""
    print(printable(text), file=sys.stdout, flush=True)


def note(text: str) -> None:
    """Write a line to stderr; where that is impossible, nothing can be done about it."""
    with contextlib.suppress(OSError, ValueError):
        print(printable(text), file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """Write a line of our own name to stderr, likewise."""
    note(f"peersockets: {text}")


def end_line() -> None:
    """Begin a new line on stderr, where the terminal has shown ^C."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr.isatty():
            print(file=sys.stderr, flush=True)


def patiently(descriptor: int, event: int, attempt: Callable[[], _T | None]) -> _T:
    """Return what an attempt returns, once the descriptor does not block it.

    Raises `OSError`, naming the stream; a pipe without a reader stays a `BrokenPipeError`.
    """
    while True:
        try:
            result = attempt()
        except BlockingIOError:
            result = None
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(f"{_FAILURES[descriptor]}: {error.strerror}") from None
        if result is not None:
            return result
        waiting = select.poll()
        waiting.register(descriptor, event)
        waiting.poll()


def _text(descriptor: int, former: Any, buffered: Any) -> io.TextIOWrapper:
    if former is None:  # it was closed
        errors = ("surrogateescape", "strict", "backslashreplace")[descriptor]
        return io.TextIOWrapper(buffered, "utf-8", errors, line_buffering=descriptor == 2)
    return io.TextIOWrapper(buffered, former.encoding, former.errors, line_buffering=former.line_buffering)
