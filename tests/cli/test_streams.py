"""`peersockets_trio.cli.streams`: standard streams that are closed, non-blocking, full, or not read."""

from __future__ import annotations

import fcntl
import os
import select
import shlex
import subprocess
import sys
import termios
import threading
from typing import IO, Any

import pytest

from cli.support import ANY_PORT, COMMAND, KEY, TIME, complaint, parse_lines, run

NOBODY = "127.0.0.1:1"
Done = subprocess.CompletedProcess[bytes]


def shell(command: str, **options: Any) -> Done:
    """Run a command through a shell, which can close streams."""
    words = command.replace("PEERSOCKETS", " ".join(COMMAND)).replace("KEY", KEY.public_key.hex())
    return subprocess.run(("sh", "-c", words), capture_output=True, timeout=TIME, check=False, **options)


# Closed


@pytest.mark.parametrize(
    "command",
    [
        "pipe KEY",
        "chat KEY",
        f"chat KEY --connect {NOBODY}",
        "send KEY - --topic t --all",
        f"trace record /nonexistent/file KEY --listen {ANY_PORT}",
    ],
)
def test_a_closed_stdin(command: str) -> None:
    """Commands that need it report an error before they wait for any peer."""
    text = complaint(shell(f"PEERSOCKETS {command} <&-"), 1)
    assert text == "peersockets: cannot read stdin: Bad file descriptor\n"


def test_a_closed_stdin_that_is_not_needed() -> None:
    done = shell("PEERSOCKETS demo <&-")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"It works.\n")


@pytest.mark.parametrize("command", ["pipe KEY", "chat KEY", "demo", "--help", "completion bash"])
def test_a_closed_stdout(command: str) -> None:
    text = complaint(shell(f"PEERSOCKETS {command} </dev/null >&-"), 1)
    assert text == "peersockets: cannot write to stdout: Bad file descriptor\n"


def test_a_closed_stdout_does_not_become_a_socket() -> None:
    """Otherwise the next opened file would get its number, and the results."""
    words = shlex.join((*COMMAND, "watch", KEY.url, "--listen", ANY_PORT))
    with subprocess.Popen(("sh", "-c", f"exec {words} >&-"), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"listening on")
        stdout = os.readlink(f"/proc/{process.pid}/fd/1")
        process.terminate()
        assert process.stderr.read() == b""
    assert stdout == os.devnull


def test_a_closed_stderr() -> None:
    """The log is dropped, and does not mix with the results."""
    done = shell(f"PEERSOCKETS -vv pipe KEY --listen {ANY_PORT} </dev/null 2>&-")
    assert [event["event"] for event in parse_lines(done.stdout)] == ["ready", "closed"]
    assert done.returncode == 0


def test_an_error_with_a_closed_stderr() -> None:
    done = shell("PEERSOCKETS pipe nonsense 2>&-")
    assert (done.returncode, done.stdout) == (2, b"")


# Full


@pytest.mark.parametrize("command", ["pipe KEY", "chat KEY", "demo", "--help", "completion bash"])
def test_a_full_stdout(command: str) -> None:
    text = complaint(shell(f"PEERSOCKETS {command} </dev/null >/dev/full"), 1)
    assert text == "peersockets: cannot write to stdout: No space left on device\n"


def test_a_full_stderr() -> None:
    done = shell(f"PEERSOCKETS -vv pipe KEY --listen {ANY_PORT} </dev/null 2>/dev/full")
    assert [event["event"] for event in parse_lines(done.stdout)] == ["ready", "closed"]


# Non-blocking


def pipe_ends(*, blocking: str) -> tuple[int, int]:
    """Return the two ends of a pipe. One of them does not block."""
    ends = os.pipe()
    end = ends[("read", "write").index(blocking)]
    fcntl.fcntl(end, fcntl.F_SETFL, fcntl.fcntl(end, fcntl.F_GETFL) | os.O_NONBLOCK)
    return ends


@pytest.mark.parametrize(
    ("command", "written", "output"),
    [
        ("pipe", b'{"command":"peers"}\n', b'{"event":"peers","peers":[]}\n{"event":"closed"}\n'),
        ("chat", b"", b""),
    ],
)
def test_a_stdin_that_does_not_block(command: str, written: bytes, output: bytes) -> None:
    """At first there is nothing to read."""
    read, write = pipe_ends(blocking="read")
    process = subprocess.Popen(
        (*COMMAND, command, KEY.url), stdin=read, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    os.close(read)
    with process, open(write, "wb") as stdin:
        assert process.stdout is not None
        process.stdout.readline()
        stdin.write(written)
        stdin.close()
        done = process.communicate(timeout=TIME)
    assert done[0].endswith(output)
    assert (process.returncode, done[1]) == (0, b"")


def test_a_message_from_a_stdin_that_does_not_block() -> None:
    """It is read to its end: 17 MiB are one too many, and the command cannot know that earlier."""
    read, write = pipe_ends(blocking="read")
    arguments = ("send", KEY.url, "-", "--topic", "t", "--all", "--listen", ANY_PORT)
    process = subprocess.Popen((*COMMAND, *arguments), stdin=read, stderr=subprocess.PIPE)
    os.close(read)

    def feed() -> None:
        with open(write, "wb", buffering=0) as stdin:
            for _ in range(17):
                try:
                    stdin.write(bytes(1024 * 1024))
                except BrokenPipeError:
                    return
                _wait_until_empty(stdin.fileno())

    feeder = threading.Thread(target=feed)
    feeder.start()
    _, errors = process.communicate(timeout=TIME)
    feeder.join()
    assert b"the message is over 16777216 bytes" in errors


def test_a_stdout_that_does_not_block() -> None:
    """Its reader begins late, and nothing is lost."""
    count = 20_000
    read, write = pipe_ends(blocking="write")
    process = subprocess.Popen(
        (*COMMAND, "pipe", KEY.url), stdin=subprocess.PIPE, stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    with process, open(read, "rb") as output:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b'{"command":"peers"}\n' * count)
        process.stdin.close()
        assert len(output.read().splitlines()) == count + 2
        assert process.wait(TIME) == 0
        assert process.stderr.read() == b""


REPORTS_WAITING = """
import os, select, peersockets_command
poll = select.poll
def report():
    os.write(2, b"waits\\n")
    return poll()
select.poll = report
peersockets_command.main()
"""


def test_a_stdout_that_does_not_block_and_is_full() -> None:
    """The command waits until its reader has taken the earlier output."""
    read, write = pipe_ends(blocking="write")
    filled = _fill(write)
    arguments = ("completion", "bash")
    process = subprocess.Popen(
        (sys.executable, "-c", REPORTS_WAITING, *arguments), stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    with process, open(read, "rb") as output:
        assert process.stderr is not None
        assert process.stderr.readline() == b"waits\n"
        assert output.read(filled) == bytes(filled)
        assert output.read() == run(*arguments).stdout
        assert process.wait(TIME) == 0
        assert process.stderr.read() == b""


def _wait_until_empty(pipe: int) -> None:
    """Wait until all output has been read, so that the reader has to wait, or has gone."""
    reader_gone = select.poll()
    reader_gone.register(pipe, 0)
    while any(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))) and not reader_gone.poll(1):
        pass


def _fill(pipe: int) -> int:
    size = 0
    while True:
        try:
            size += os.write(pipe, bytes(4096))
        except BlockingIOError:
            return size


# Without a reader


@pytest.mark.parametrize("command", ["pipe", "watch"])
def test_a_reader_that_closes_ends_the_command(command: str) -> None:
    """This holds even if there is nothing to write."""
    read, write = os.pipe()
    arguments = (command, KEY.url, "--listen", ANY_PORT)
    process = subprocess.Popen(
        (*COMMAND, *arguments), stdin=subprocess.PIPE, stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    with process:
        assert process.stderr is not None
        if command == "pipe":
            assert os.read(read, 65536)
        else:
            assert process.stderr.readline()
        os.close(read)
        assert process.wait(TIME) == 1
        assert process.stderr.read() == b""


def test_a_log_that_is_not_read_holds_up_nothing() -> None:
    """Neither commands nor the end wait for it."""
    arguments = ("-vv", "pipe", KEY.url, "--topic", "t", "--listen", ANY_PORT)
    with subprocess.Popen(
        (*COMMAND, *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        ready = _event(process.stdout)
        address = ready["listening"][0]
        count = 2000
        feeder = subprocess.Popen(
            (*COMMAND, "pipe", KEY.url, "--topic", "t", "--connect", address),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with feeder:
            assert feeder.stdin is not None
            while _event(feeder.stdout)["event"] != "join":
                pass
            for _ in range(count):
                feeder.stdin.write(b'{"command":"broadcast","topic":"t","text":"hello"}\n')
                feeder.stdin.flush()
            heard = 0
            while heard < count:
                heard += _event(process.stdout)["event"] == "message"
            feeder.communicate(timeout=TIME)
        process.stdin.close()
        while _event(process.stdout)["event"] != "closed":
            pass
        assert process.wait(TIME) == 0


def _event(stream: IO[bytes] | None) -> dict[str, Any]:
    assert stream is not None
    (event,) = parse_lines(stream.readline())
    return event
