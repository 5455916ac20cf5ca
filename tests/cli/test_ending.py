"""`peersockets_trio.cli.ending`, and the launcher: signals at every moment of a command's life."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from cli.support import COMMAND, KEY, TIME, run

INTERRUPTED_WHILE = """
import signal, sys
number, moment = signal.Signals[sys.argv[1]], sys.argv[2]
del sys.argv[1:3]

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            signal.raise_signal(number)

sys.meta_path.insert(0, Finder())
import peersockets_command
if moment == "arguments":
    import click
    parse = click.Command.parse_args
    def parse_args(*args):
        signal.raise_signal(number)
        return parse(*args)
    click.Command.parse_args = parse_args
if moment == "running":
    import trio
    trio_run = trio.run
    def run_soon(*args):
        signal.raise_signal(number)
        return trio_run(*args)
    trio.run = run_soon
if moment == "waiting":
    import peersockets_trio.cli
    Chat = sys.modules["peersockets_trio.cli.chat"].Chat
    until_heard = Chat.until_heard
    def until_heard_or_signalled(*args):
        signal.raise_signal(number)
        return until_heard(*args)
    Chat.until_heard = until_heard_or_signalled
peersockets_command.main()
"""


@pytest.mark.parametrize(
    ("moment", "command", "statuses"),
    [
        ("trio", "pipe", (130, 143)),
        ("click", "pipe", (130, 143)),
        ("nacl", "demo", (130, 143)),
        ("arguments", "pipe", (130, 143)),
        ("arguments", "keys", (130, 143)),
        ("running", "pipe", (130, 0)),
        ("running", "watch", (130, 0)),
        ("running", "chat", (130, 0)),
        ("running", "demo", (130, 143)),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_start(
    moment: str, command: str, statuses: tuple[int, int], number: signal.Signals
) -> None:
    """The command ends without a traceback, and has done nothing."""
    arguments = {"demo": ["demo"], "keys": ["keys", "show"]}.get(command, [command, KEY.url])
    done = run("-c", INTERRUPTED_WHILE, number.name, moment, *arguments, command=(sys.executable,))
    assert done.stderr in (
        b"",
        b"peersockets: nobody can ever be reached: give --swarm, --listen or --connect\n",
    )
    assert done.returncode == statuses[number == signal.SIGTERM]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_line_without_a_receiver(number: signal.Signals, status: int) -> None:
    """It is not sent, and the status shows that."""
    arguments = (number.name, "waiting", "chat", KEY.url, "--connect", "127.0.0.1:1")
    done = run("-c", INTERRUPTED_WHILE, *arguments, stdin=b"hello\n", command=(sys.executable,))
    *_, said = done.stderr.decode().splitlines()
    assert said == f"peersockets: ended by {number.name}; nothing was said"
    assert done.returncode == status


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """`nohup` and the background jobs of a shell rely on that."""
    with subprocess.Popen(
        (*COMMAND, "pipe", KEY.url),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    ) as process:
        assert process.stdout is not None
        assert b"ready" in process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        output, _ = process.communicate(b'{"command":"peers"}\n', timeout=TIME)
        assert output == b'{"event":"peers","peers":[]}\n{"event":"closed"}\n'
        assert process.returncode == 0


def test_a_signal_while_stdin_is_read() -> None:
    with subprocess.Popen(
        (*COMMAND, "send", KEY.url, "-", "--topic", "t", "--all", "--listen", "127.0.0.1:0"),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        # When it takes more bytes than the pipe holds, the command has read the pipe.
        process.stdin.write(bytes(1024 * 1024))
        process.stdin.flush()
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIME) == 143
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_message_without_a_receiver(number: signal.Signals, status: int) -> None:
    with subprocess.Popen(
        (*COMMAND, "send", KEY.url, "hello", "--topic", "t", "--all", "--listen", "127.0.0.1:0"),
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"listening on ")
        process.send_signal(number)
        assert process.wait(TIME) == status
        assert process.stderr.read() == f"peersockets: ended by {number.name}; nothing was sent\n".encode()


def test_the_last_output_is_not_read() -> None:
    """An ending command gives its reader a few seconds, and then counts the lost output."""
    read, write = os.pipe()
    process = subprocess.Popen(
        (*COMMAND, "pipe", KEY.url), stdin=subprocess.PIPE, stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    with process, open(read, "rb") as output:
        assert process.stdin is not None
        assert process.stderr is not None
        assert b"ready" in output.readline()
        process.stdin.write(b'{"command":"peers"}\n' * 20_000)
        process.stdin.flush()
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIME) == 1
        error = process.stderr.read().decode()
        assert error.startswith("peersockets: nobody reads stdout; ")
        assert error.endswith(" bytes were not written\n")
        assert error.count("\n") == 1
