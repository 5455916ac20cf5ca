"""Sessions of the documentation: the text of several terminals, played for real.

A line behind "$ " is a command. The others are its output, line for line, on stdout or stderr. In them, "…"
stands for any text, and "<NAME>" for a word that commands may repeat. A block without a command continues the
output of its terminal. Commands of one terminal follow each other, and each must end with status 0, except
that a `node` program runs to the end of the session. Port 4200 becomes a free one, and `npm install` only
checks that `make node` has installed the packages.
"""

from __future__ import annotations

import os
import queue
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import attrs

from docs.markdown import BLOCKS, ROOT, Block
from ports import unused_port

TIME: Final = 120.0  # seconds that a line of output may take
_PORT: Final = "4200"
_END: Final = None
_OURS: Final = "../peersockets/javascript"  # the package of this project
_STAYING: Final = ("node ", "peersockets dht ")
_NEWS: Final = re.compile(r"peersockets: \d+ nodes? (is|are) known")


def session_blocks() -> dict[str, list[tuple[str, Block]]]:
    """Return the blocks of each session in order, with their terminals."""
    sessions: dict[str, list[tuple[str, Block]]] = {}
    for block in BLOCKS:
        session, _, terminal = block.marked("session").partition("/")
        if session:
            sessions.setdefault(session, []).append((terminal, block))
    return sessions


@attrs.define
class Running:
    """A command, and the lines that it has printed."""

    command: str
    process: subprocess.Popen[str]
    lines: queue.Queue[str | None] = attrs.field(factory=queue.Queue)
    reader: threading.Thread | None = None

    @classmethod
    def start(cls, command: str, folder: Path, environment: dict[str, str]) -> Running:
        process = subprocess.Popen(
            shlex.split(command),
            cwd=folder,
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        running = cls(command, process)
        running.reader = threading.Thread(target=running._read)
        running.reader.start()
        return running

    @property
    def stays(self) -> bool:
        return self.command.startswith(_STAYING)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not _NEWS.match(line):
                self.lines.put(line.rstrip("\n"))
        self.lines.put(_END)

    def next_line(self) -> str | None:
        """Return the next line of output, or None at its end."""
        return self.lines.get(timeout=TIME)

    def finish(self) -> None:
        """Check that the command ends with status 0, and printed nothing that the documentation lacks."""
        if self.stays:
            self.process.terminate()
        line = self.next_line()
        assert line is _END, f"{self.command}: {line}"
        status = self.process.wait(TIME)
        assert self.stays or status == 0, f"{self.command}: status {status}"

    def stop(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.wait()
        if self.reader is not None:
            self.reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Session:
    """One session, in a folder of its own that holds every program of the documentation."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._words: dict[str, str] = {}
        self._port = str(unused_port())
        self._running: dict[str, Running] = {}
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        self._environment = {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}
        for block in BLOCKS:
            name = block.marked("file")
            if name:
                (folder / name).write_text(block.code.replace(_PORT, self._port))

    def play(self, terminal: str, block: Block) -> None:
        """Play one block in a terminal."""
        for line in block.code.splitlines():
            command = line.removeprefix("$ ")
            if command != line:
                self._run(terminal, self._filled(command))
            else:
                self._expect(terminal, line)

    def close(self) -> None:
        """Check that every command ends."""
        for running in sorted(self._running.values(), key=lambda running: running.stays):
            running.finish()

    def stop(self) -> None:
        for running in self._running.values():
            running.stop()

    def _run(self, terminal: str, command: str) -> None:
        before = self._running.pop(terminal, None)
        if before is not None:
            before.finish()
            before.stop()
        if command.startswith("npm install "):
            self._install(command.split()[2:])
        else:
            self._running[terminal] = Running.start(command, self._folder, self._environment)

    def _expect(self, terminal: str, line: str) -> None:
        shown = self._running[terminal].next_line()
        found = re.fullmatch(self._pattern(line), shown or "")
        assert shown is not None, f"{self._running[terminal].command} ended before {line!r}"
        assert found, f"{line!r} in the documentation, {shown!r} in reality"
        self._words.update(found.groupdict())

    def _filled(self, line: str) -> str:
        line = line.replace(_PORT, self._port)
        return re.sub(r"<([A-Z]+)>", lambda name: self._words[name[1]], line)

    def _pattern(self, line: str) -> str:
        parts = re.split(r"(…|<[A-Z]+>)", line.replace(_PORT, self._port))
        return "".join(map(self._part_pattern, parts))

    def _part_pattern(self, part: str) -> str:
        if part == "…":
            return ".*"
        name = part[1:-1]
        if part != f"<{name}>":
            return re.escape(part)
        return re.escape(self._words[name]) if name in self._words else rf"(?P<{name}>\S+)"

    def _install(self, packages: list[str]) -> None:
        others = [package for package in packages if package != _OURS]
        folder = next(folder for folder in _node_folders() if _has(folder, others))
        modules = self._folder / "node_modules"
        modules.mkdir()
        for package in (folder / "node_modules").iterdir():
            (modules / package.name).symlink_to(package)
        if _OURS in packages:
            (modules / "hyperdrive-peersockets").symlink_to(ROOT / "javascript")


def _node_folders() -> list[Path]:
    return [path.parent for path in (ROOT / "tests" / "interop").glob("*/node_modules")]


def _has(folder: Path, packages: list[str]) -> bool:
    """Return whether these packages are installed there, in exactly these versions."""
    for package in packages:
        name, _, version = package.rpartition("@")
        manifest = folder / "node_modules" / name / "package.json"
        if not manifest.exists() or f'"version": "{version}"' not in manifest.read_text():
            return False
    return True
