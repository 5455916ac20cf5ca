"""A process that plays one role of a scenario, seen from both ends: the runner's and its own."""

from __future__ import annotations

import gc
import json
import os
import queue
import resource
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias

Report: TypeAlias = dict[str, Any]

PATIENCE = 120
"""Seconds until a silent process is given up."""


class RoleProcess:
    """The runner's end; ends the process on leaving the block."""

    def __init__(self, command: Sequence[str], role: str, options: Report) -> None:
        self._name = f"{command[-1]} {role} {json.dumps(options)}"
        self._process = subprocess.Popen(
            [*command, role, json.dumps(options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> Report:
        """Wait for its next report."""
        try:
            line = self._lines.get(timeout=PATIENCE)
        except queue.Empty:
            line = ""
        if not line:
            raise SystemExit(f"benchmarks: no answer from {self._name}")
        report: Report = json.loads(line)
        return report

    def ask(self, question: str) -> Report:
        """Ask it a question, and wait for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return self.next()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put("")


# The process's own end


def arguments() -> tuple[str, Report]:
    """The role and the options of this process."""
    role, options = sys.argv[1:]
    return role, json.loads(options)


def say(report: Report) -> None:
    """Print a report."""
    print(json.dumps(report), flush=True)


def resident() -> Report:
    """Return the memory of this process in bytes, after a collection of garbage."""
    gc.collect()
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[1])
    return {"resident": pages * os.sysconf("SC_PAGE_SIZE")}


def allow_many_files() -> None:
    """Raise the limit of open files as far as possible, because thousands of connections need them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
