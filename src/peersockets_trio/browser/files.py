"""`Site`: reads the files of a folder without ever leaving it, following a link, or waiting for a file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from .inject import inject_script

_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A link is an error, and a pipe without a writer does not block."""

_UTF8: Final = "; charset=utf-8"
_HTML: Final = f"text/html{_UTF8}"
_TYPES: Final = {
    "avif": "image/avif",
    "css": f"text/css{_UTF8}",
    "gif": "image/gif",
    "htm": _HTML,
    "html": _HTML,
    "ico": "image/vnd.microsoft.icon",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "js": f"text/javascript{_UTF8}",
    "json": "application/json",
    "map": "application/json",
    "md": f"text/markdown{_UTF8}",
    "mjs": f"text/javascript{_UTF8}",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "ogg": "audio/ogg",
    "otf": "font/otf",
    "pdf": "application/pdf",
    "png": "image/png",
    "svg": "image/svg+xml",
    "ttf": "font/ttf",
    "txt": f"text/plain{_UTF8}",
    "wasm": "application/wasm",
    "wav": "audio/wav",
    "webm": "video/webm",
    "webmanifest": "application/manifest+json",
    "webp": "image/webp",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "xml": "application/xml",
}
_UNKNOWN_TYPE: Final = "application/octet-stream"


@attrs.frozen
class Content:
    """A file's type and bytes."""

    media_type: str
    body: bytes


class IsFolder(Exception):
    """The name belongs to a folder."""


class TooLarge(Exception):
    """The file is larger than allowed."""


class Site:
    """A folder of files."""

    def __init__(self, folder: Path, largest: int) -> None:
        """Open the folder, which may be a link itself. Raises `OSError`."""
        self._root = os.open(folder, _FOLDER_FLAGS & ~os.O_NOFOLLOW)
        self._largest = largest

    def close(self) -> None:
        """Close the folder."""
        os.close(self._root)

    def read(self, names: tuple[str, ...]) -> Content:
        """Read a file, and insert the script if it is HTML.

        Raises `FileNotFoundError` if there is no regular file of that name, `IsFolder` and `TooLarge`.
        """
        with self._open(names) as descriptor:
            body = self._read(descriptor)
        media_type = _TYPES.get(names[-1].rpartition(".")[2].lower(), _UNKNOWN_TYPE)
        return Content(media_type, inject_script(body) if media_type == _HTML else body)

    def _read(self, descriptor: int) -> bytes:
        size = self._largest + 1
        chunks = []
        while size > 0 and (chunk := os.read(descriptor, size)):
            chunks.append(chunk)
            size -= len(chunk)
        if size <= 0:
            raise TooLarge
        return b"".join(chunks)

    @contextmanager
    def _open(self, names: tuple[str, ...]) -> Iterator[int]:
        """Open a regular file, one folder of its path after the other."""
        opened: list[int] = []
        try:
            folder = self._root
            for name in names[:-1]:
                folder = os.open(name, _FOLDER_FLAGS, dir_fd=folder)
                opened.append(folder)
            self._check_regular(os.stat(names[-1], dir_fd=folder, follow_symlinks=False))  # opens no device
            descriptor = os.open(names[-1], _FILE_FLAGS, dir_fd=folder)
            opened.append(descriptor)
            self._check_regular(os.fstat(descriptor))
            yield descriptor
        except (OSError, ValueError):
            raise FileNotFoundError from None
        finally:
            for number in opened:
                os.close(number)

    def _check_regular(self, status: os.stat_result) -> None:
        if stat.S_ISDIR(status.st_mode):
            raise IsFolder
        if not stat.S_ISREG(status.st_mode):
            raise FileNotFoundError
        if status.st_size > self._largest:
            raise TooLarge
