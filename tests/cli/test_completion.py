"""`peersockets completion`, and the requests of a shell that uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.support import COMMAND, KEY, TIME, complaint, run


def completed(*words: str) -> list[str]:
    """Return the completions of the last word, as bash asks for them."""
    asked = {"COMP_WORDS": " ".join(("peersockets", *words)), "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        COMMAND,
        env={**os.environ, **asked, "_PEERSOCKETS_COMPLETE": "bash_complete"},
        capture_output=True,
        timeout=TIME,
        check=True,
    )
    assert done.stderr == b""
    return [line.partition(",")[2] for line in done.stdout.decode().splitlines()]


def test_commands() -> None:
    assert completed("") == [
        "chat",
        "completion",
        "demo",
        "dht",
        "keys",
        "pipe",
        "send",
        "serve",
        "trace",
        "watch",
    ]
    assert completed("w") == ["watch"]
    assert completed("keys", "") == ["new", "show"]


def test_options() -> None:
    assert completed("pipe", "--wi") == ["--wire"]
    assert "--json" in completed("watch", KEY.url, "--")


def test_names_of_wires_and_scopes() -> None:
    assert completed("pipe", KEY.url, "--wire", "") == ["hypercore9", "hypercore11"]
    assert completed("watch", KEY.url, "--wire", "hypercore1") == ["hypercore11"]
    assert completed("pipe", KEY.url, "--topic-scope", "n") == ["network"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(shell: str) -> None:
    done = run("completion", shell)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"_PEERSOCKETS_COMPLETE" in done.stdout


def test_an_unknown_shell() -> None:
    assert "tcsh" in complaint(run("completion", "tcsh"), 2)


def test_bash_accepts_the_script() -> None:
    """The script defines the function that completes, and the function gives completions."""
    script = """
        eval "$(peersockets completion bash)"
        COMP_WORDS=(peersockets pipe --wi) COMP_CWORD=2
        _peersockets_completion peersockets --wi pipe
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "PATH": path},
        capture_output=True,
        timeout=TIME,
        check=False,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, b"", b"--wire\n")
