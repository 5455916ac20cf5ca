"""Files that hold secrets: nobody but their owner can read them, from the first byte on."""

from __future__ import annotations

import os
import shlex
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OWNER: Final = stat.S_IRUSR | stat.S_IWUSR
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class NewFile:
    """A file that has been created, and waits for its content."""

    def __init__(self, path: Path, created: Path, descriptor: int) -> None:
        self.path = path
        """What it is going to be called."""
        self._created = created
        self._descriptor = descriptor
        self._written = False

    def write(self, data: bytes) -> None:
        """Write the whole content, and give the file its name.

        Raises `click.ClickException` where that fails; the data is then in a file that the text names.
        """
        try:
            with open(self._descriptor, "wb", closefd=False) as target:
                target.write(data)
                target.flush()
                os.fsync(self._descriptor)
            if self._created != self.path:
                self._created.replace(self.path)
        except OSError as error:
            complaint = f"cannot write {str(self.path)!r}: {error.strerror}"
            raise click.ClickException(f"{complaint}; {_rescue(data)}") from None
        self._written = True

    def close(self) -> None:
        """Close the file, which does not stay if nothing was written."""
        os.close(self._descriptor)
        if not self._written:
            self._created.unlink(missing_ok=True)


@contextmanager
def new_file(path: Path, *, force: bool = False) -> Iterator[NewFile]:
    """Create a file for secrets, before there is anything to lose by an impossible path.

    What exists, a link included, is replaced with `force` only, by a new file and once that is complete.
    Raises `click.ClickException` where it cannot be created.
    """
    created = path.with_name(f".{path.name}.{os.getpid()}.new") if force else path
    try:
        if force and path.is_dir():
            raise IsADirectoryError(0, "Is a directory")
        file = NewFile(path, created, os.open(created, _NEW, _OWNER))
    except FileExistsError:
        raise click.ClickException(f"{str(created)!r} exists; --force replaces it") from None
    except OSError as error:
        raise click.ClickException(f"cannot write {str(path)!r}: {error.strerror}") from None
    try:
        yield file
    finally:
        file.close()


def read_file(path: Path) -> str:
    """Read a file that holds a secret in ASCII; without blanks around it.

    Raises `OSError`, `ValueError` for other characters, and `PermissionError`, with the command that mends
    it, for a file that others can read or write. What is no regular file, such as a pipe, is not asked.
    """
    with path.open("rb") as source:
        status = os.fstat(source.fileno())
        if stat.S_ISREG(status.st_mode) and status.st_mode & _OTHERS:
            mode = stat.S_IMODE(status.st_mode)
            mend = f"chmod 600 {shlex.quote(str(path))}"
            raise PermissionError(0, f"others can read or write it (mode {mode:04o}); mend it with: {mend}")
        return source.read(_LARGEST).decode("ascii").strip()


_LARGEST: Final = 4096
"""Bytes read: a key is 64, and /dev/zero has no end."""


def _rescue(data: bytes) -> str:
    """Put data that must not be lost where there may be room; returns what to say of it."""
    try:
        descriptor, name = tempfile.mkstemp(prefix="peersockets-")  # mode 0600, and exclusively created
        with open(descriptor, "wb") as target:
            target.write(data)
    except OSError:
        return "its content is lost"
    return f"its content is in {name!r}"
