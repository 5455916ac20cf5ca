"""`peersockets_trio.cli.terminal_modes`: a pseudo-terminal's modes, and a process that stops itself."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator

import pytest

from peersockets_trio.cli.terminal_modes import given_back, quiet

LOCAL = 3  # the place of the local modes


@pytest.fixture
def terminal() -> Iterator[int]:
    master, slave = pty.openpty()
    yield slave
    os.close(slave)
    os.close(master)


def test_the_modes_are_restored_inside_and_afterwards(terminal: int) -> None:
    before = termios.tcgetattr(terminal)
    with quiet(terminal) as modes:
        ours = termios.tcgetattr(terminal)
        assert not ours[LOCAL] & (termios.ECHO | termios.ICANON)
        with given_back(terminal, modes):
            assert termios.tcgetattr(terminal) == before
        assert termios.tcgetattr(terminal) == ours
    assert termios.tcgetattr(terminal) == before


def test_a_closed_terminal_is_left_alone() -> None:
    master, slave = pty.openpty()
    with quiet(slave) as modes, given_back(slave, modes):
        os.close(master)
    os.close(slave)


STOPPING = """
import signal
from peersockets_trio.cli.terminal_modes import stop
handler = lambda number, frame: None
signal.signal(signal.SIGTSTP, handler)
for _ in range(2):
    stop()
assert signal.getsignal(signal.SIGTSTP) is handler
"""


def test_a_process_stops_by_default_and_keeps_its_handler() -> None:
    with subprocess.Popen([sys.executable, "-c", STOPPING], process_group=0) as process:
        for _ in range(2):
            _, status = os.waitpid(process.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status)
            assert os.WSTOPSIG(status) == signal.SIGTSTP
            process.send_signal(signal.SIGCONT)
        assert process.wait() == 0
