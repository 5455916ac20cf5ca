"""Files that hold secrets: only their owner can read them, from the first byte on."""

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
    """A file that exists, but has no content yet."""

    def __init__(self, path: Path, created: Path, descriptor: int) -> None:
        self.path = path
        """The final path of the file."""
        self._created = created
        self._descriptor = descriptor
        self._written = False

    def write(self, data: bytes) -> None:
        """Write the whole content, and give the file its name.

        Raises `click.ClickException` if that fails; the text names another file that holds the data.
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
        """Close the file, and remove it if nothing was written."""
        os.close(self._descriptor)
        if not self._written:
            self._created.unlink(missing_ok=True)


@contextmanager
def new_file(path: Path, *, force: bool = False) -> Iterator[NewFile]:
    """Create a file for secrets before the secrets exist, so that a bad path cannot lose them.

    An existing file or link is only replaced with `force`: a new file takes its place once that file is
    complete. Raises `click.ClickException` if the file cannot be created.
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
    """Return the ASCII text of a file that holds a secret, without blanks around it.

    Raises `OSError`; `ValueError` for other characters; and `PermissionError`, with the command that
    corrects it, for a regular file that others can read or write. The permissions of other files, such as
    pipes, do not matter.
    """
    with path.open("rb") as source:
        status = os.fstat(source.fileno())
        if stat.S_ISREG(status.st_mode) and status.st_mode & _OTHERS:
            mode = stat.S_IMODE(status.st_mode)
            mend = f"chmod 600 {shlex.quote(str(path))}"
            raise PermissionError(
                0, f"others can read or write it (mode {mode:04o}); correct it with: {mend}"
            )
        return source.read(_LARGEST).decode("ascii").strip()


_LARGEST: Final = 4096
"""The most bytes that are read. A key has 64, and /dev/zero has no end."""


def _rescue(data: bytes) -> str:
    """Put data that must not be lost into a temporary file; returns a text that names the file."""
    try:
        descriptor, name = tempfile.mkstemp(prefix="peersockets-")  # mode 0600, and exclusively created
        with open(descriptor, "wb") as target:
            target.write(data)
    except OSError:
        return "its content is lost"
    return f"its content is in {name!r}"
