"""The saved corpora: one zip file for each harness. Its members are sorted, named by their digests, and all
have the oldest date.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
HARNESSES: Final = sorted(path.stem for path in (HERE / "harnesses").glob("[a-z]*.py"))
"""The names of all harnesses."""


def saved(name: str) -> list[bytes]:
    """Return the inputs of a harness's saved corpus."""
    with zipfile.ZipFile(_path(name)) as packed:
        return [packed.read(member) for member in packed.namelist()]


def save(name: str, inputs: Iterable[bytes]) -> None:
    """Replace a harness's saved corpus. The same inputs make the same file."""
    members = {hashlib.sha256(data).hexdigest()[:16]: data for data in inputs}
    with zipfile.ZipFile(_path(name), "w", zipfile.ZIP_DEFLATED) as packed:
        for member, data in sorted(members.items()):
            packed.writestr(zipfile.ZipInfo(member), data, zipfile.ZIP_DEFLATED)


def unpack(name: str, folder: Path) -> None:
    """Write a harness's saved corpus to a folder, with one file for each input, as libFuzzer reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    for data in saved(name):
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def _path(name: str) -> Path:
    return HERE / "corpus" / f"{name}.zip"
