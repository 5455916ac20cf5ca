"""`forking`: a forked program is a process like any other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from forking import Popen

PROGRAM = """
import json, os, signal, sys, warnings

print(json.dumps({
    "arguments": sys.argv,
    "folder of modules": sys.path[0],
    "name": __name__,
    "parent": os.getppid(),
    "leads a group": os.getpgrp() == os.getpid(),
    "leads a session": os.getsid(0) == os.getpid(),
    "group": os.getpgrp() if os.getpgrp() != os.getpid() else None,
    "folder": os.getcwd(),
    "variable": os.environ.get("VARIABLE"),
    "filters": [str(rule) for rule in warnings.filters],
    "files": sorted(map(int, os.listdir("/proc/self/fd")))[:-1],
    "signals": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
    "streams": [str(stream) + str(stream.line_buffering) for stream in (sys.stdin, sys.stdout, sys.stderr)],
}))
print("trio" in sys.modules)
sys.exit(sys.stdin.read())
"""
REAL: type[subprocess.Popen[Any]] = Popen.__mro__[1]


def run(popen: type[subprocess.Popen[Any]], *words: str, **options: Any) -> tuple[dict[str, Any], bool]:
    """Return the program's description of itself, and whether it was loaded before."""
    options |= {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with popen([sys.executable, *words], **options) as process:
        output, errors = process.communicate(b"the last words")
    assert (errors, process.returncode) == (b"the last words\n", 1)
    facts, loaded = map(json.loads, output.lower().splitlines())
    return facts, loaded


@pytest.fixture
def script(tmp_path: Path) -> str:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    return str(script)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cwd": "/"},
        {"env": {**os.environ, "VARIABLE": "value"}},
        {"start_new_session": True},
        {"process_group": 0},
    ],
    ids=["as usual", "folder", "environment", "session", "group"],
)
@pytest.mark.parametrize("strict", [(), ("-W", "error")])
def test_a_forked_program_starts_as_if_it_were_not_forked(
    strict: tuple[str, ...], options: Any, script: str
) -> None:
    forked, loaded = run(Popen, *strict, script, "one", "two words", **options)
    real, not_loaded = run(REAL, *strict, script, "one", "two words", **options)
    assert forked == real
    assert (loaded, not_loaded) == (True, False)


def test_a_forked_module_starts_as_if_it_were_not_forked() -> None:
    command = [sys.executable, "-m", "peersockets_command", "keys", "show", "--seed", "11" * 32]
    outcomes = []
    for popen in (Popen, REAL):
        with popen(command, stdout=subprocess.PIPE) as process:
            outcomes.append((process.communicate(), process.wait()))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    "options",
    [{"preexec_fn": os.getpid}, {"pass_fds": (0,)}, {"env": {**os.environ, "PYTHONUTF8": "1"}}],
    ids=["code", "descriptors", "Python's environment"],
)
def test_a_start_of_another_kind_is_not_forked(options: Any, script: str) -> None:
    assert not run(Popen, script, **options)[1]


def test_it_reacts_to_signals() -> None:
    command = [sys.executable, "-m", "peersockets_command", "pipe", "11" * 32]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        assert process.poll() is None
        process.kill()
        assert process.wait() == -signal.SIGKILL


def test_all_processes_are_started_by_forking() -> None:
    assert subprocess.Popen is Popen
