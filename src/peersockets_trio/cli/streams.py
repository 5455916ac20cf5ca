"""The standard streams in any state: closed, non-blocking, full, or without a reader."""

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

# Flags for the stand-ins of closed streams. Without a stand-in, something else would get the stream's
# number, such as a socket, which would then receive the results. Reading from or writing to a stand-in
# still fails, except that errors go to /dev/null.
_STAND_INS: Final = (os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)


class _Descriptor(io.FileIO):
    """A standard stream that waits if an operation would block.

    Another program may have made the stream non-blocking, because programs share that property.
    """

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer."""
        attempt: Callable[[], int | None] = partial(super().readinto, buffer)
        return patiently(self.fileno(), select.POLLIN, attempt)

    def write(self, data: Any) -> int:
        """Write some of the bytes; returns their number."""
        attempt: Callable[[], int | None] = partial(super().write, data)
        return patiently(self.fileno(), select.POLLOUT, attempt)

    def read(self, size: int | None = -1) -> bytes:
        """Read some bytes through `readinto`, which `FileIO.read` does not use."""
        return io.RawIOBase.read(self, -1 if size is None else size) or b""

    def readall(self) -> bytes:
        """Read to the end through `readinto`."""
        return io.RawIOBase.readall(self) or b""


def set_up() -> None:
    """Make the standard streams usable, whatever their state."""
    for descriptor, flags in enumerate(_STAND_INS):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)  # it gets the lowest free number, which is this one
    sys.stdin = _text(0, sys.stdin, io.BufferedReader(_Descriptor(0, "rb", closefd=False)))
    sys.stdout = _text(1, sys.stdout, io.BufferedWriter(_Descriptor(1, "wb", closefd=False)))
    sys.stderr = _text(2, sys.stderr, io.BufferedWriter(_Descriptor(2, "wb", closefd=False)))


def finish(status: int) -> int:
    """Flush Python's buffers; returns the exit status, which is 1 instead of 0 if that fails."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            # Python would try again at exit, and print an error.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            status = status or 1
    return status


def check_stdin() -> None:
    """Raise `OSError` if stdin cannot be read, for commands that wait for something else before they read."""
    read(0)


def read(size: int) -> bytes:
    """Read from stdin without a buffer; returns no bytes at the end. Raises `OSError`."""
    return patiently(0, select.POLLIN, partial(os.read, 0, size))


def write_all(data: bytes) -> None:
    """Write to stdout without a buffer. Raises `OSError`."""
    view = memoryview(data)
    while view:
        view = view[patiently(1, select.POLLOUT, partial(os.write, 1, view)) :]


def say(text: str) -> None:
    """Write a line to stdout. Raises `OSError`."""
    print(printable(text), file=sys.stdout, flush=True)


def note(text: str) -> None:
    """Write a line to stderr, and ignore a failure."""
    with contextlib.suppress(OSError, ValueError):
        print(printable(text), file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """Write a line that begins with our name to stderr, and ignore a failure."""
    note(f"peersockets: {text}")


def end_line() -> None:
    """Begin a new line on stderr after the terminal has shown ^C."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr.isatty():
            print(file=sys.stderr, flush=True)


def patiently(descriptor: int, event: int, attempt: Callable[[], _T | None]) -> _T:
    """Return the result of `attempt`, once the descriptor does not block it.

    Raises `OSError`, which names the stream; for a pipe without a reader, it stays a `BrokenPipeError`.
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
