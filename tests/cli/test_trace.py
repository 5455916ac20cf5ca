"""`peersockets trace`: the commands as users run them, and recordings of two processes."""

from __future__ import annotations

import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import cbor2
import pytest
import trio

from adapter.support import raw_tcp_peer
from cli.support import ANY_PORT, COMMAND, KEY, TIME, complaint, run
from peersockets_core import WIRES
from peersockets_core.trace import MessageReport, Trace, read, replay
from traces.files import PATHS

TRACES = {path.stem: str(path) for path in PATHS}
CHAT = TRACES["hypercore9-chat"]


@contextmanager
def listening(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A command in the background, and the address on which it listens."""
    process = subprocess.Popen(
        (*COMMAND, "trace", *arguments, "--listen", ANY_PORT),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    watchdog = threading.Timer(TIME, process.kill)
    watchdog.start()
    try:
        assert process.stderr is not None
        text, _, address = process.stderr.readline().decode().strip().rpartition(" ")
        assert text == "listening on"
        yield process, address
        if process.stdin is not None and not process.stdin.closed:
            process.stdin.close()
        process.wait()
    finally:
        watchdog.cancel()
        process.kill()
        with process:
            pass


def read_line(stream: IO[bytes] | None) -> str:
    assert stream is not None
    return stream.readline().decode().strip()


def record_two(wire: str, directory: Path) -> tuple[Path, Path]:
    """Record both sides of a session in which the responder sends a message and ends."""
    one, two = directory / "responder.cbor", directory / "initiator.cbor"
    with listening("record", str(one), KEY.url, "--topic", "chat") as (process, address):
        options = ("--topic", "chat", "--connect", address, "--wire", wire)
        with subprocess.Popen(
            (*COMMAND, "trace", "record", str(two), KEY.url, *options),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as other:  # fmt: skip
            assert read_line(process.stdout) == read_line(other.stdout) == "the peer has opened the drive"
            assert process.stdin is not None
            process.stdin.write(b"hello\nworld\n")
            process.stdin.close()
            # Its own input continues until it has received the end.
            assert other.stdout is not None
            output = other.stdout.read()
    assert (process.returncode, other.returncode) == (0, 0)
    heard = output.decode().splitlines()
    assert [line.rpartition(": ")[2] for line in heard[:-1]] == ["'hello'", "'world'"]
    assert heard[-1].endswith(f"entries are in {two}")
    return one, two


def visit(address: str) -> None:
    """Join the drive there, and leave."""
    with subprocess.Popen(
        (*COMMAND, "pipe", KEY.url, "--connect", address), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as pipe:
        assert '"ready"' in read_line(pipe.stdout)
        assert '"join"' in read_line(pipe.stdout)
        pipe.communicate()


def load(path: Path) -> Trace:
    return read(path.read_bytes())


@pytest.mark.parametrize("wire", WIRES)
def test_record_and_replay(wire: str, tmp_path: Path) -> None:
    one, two = record_two(wire, tmp_path)
    for path in (one, two):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        trace = load(path)
        assert trace.wire == wire
        assert list(trace.produced_by) == ["peersockets"]
        replay(trace)
        done = run("trace", "replay", str(path))
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.endswith(b"bytes the same\n")
    payloads = [entry.payload for entry in load(two).entries if isinstance(entry, MessageReport)]
    assert payloads == [b"hello", b"world"]
    # And each to the other, with new ephemeral keys: both play the recording.
    with listening("replay", str(one)) as (process, address):
        done = run("trace", "replay", str(two), "--connect", address)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.endswith(b"as recorded\n")
    assert process.returncode == 0


def test_replay_to_a_peer_that_does_something_else(tmp_path: Path) -> None:
    _, two = record_two("hypercore11", tmp_path)
    with listening("record", str(tmp_path / "x.cbor"), KEY.url, "--topic", "chat") as (process, address):
        assert process.stdin is not None
        process.stdin.write(b"good day\n")
        process.stdin.close()
        done = run("trace", "replay", str(two), "--connect", address)
        assert "payload=b'hello'), was expected, not MessageReport" in complaint(done, 1)


def test_replay_to_a_peer_that_does_nothing(tmp_path: Path) -> None:
    _, two = record_two("hypercore9", tmp_path)
    with listening("record", str(tmp_path / "x.cbor"), "11" * 32) as (_, address):
        done = run("trace", "replay", str(two), "--connect", address, "--wait", "0.2")
        assert "OpenReport" in complaint(done, 1)
        assert b"did not follow within 0.2 seconds" in done.stderr


def test_show() -> None:
    done = run("trace", "show", CHAT)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"extension on channel 0 id=0 name='peersockets/v0/chat' payload='hello'" in done.stdout


def test_replay_in_memory() -> None:
    done = run("trace", "replay", CHAT)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines() == [
        "initiator: 5 commands, 4 reports; bytes the same",
        "responder: 3 commands, 5 reports; bytes the same",
    ]


def test_a_difference_is_a_failure(tmp_path: Path) -> None:
    changed = tmp_path / "changed.cbor"
    changed.write_bytes(Path(CHAT).read_bytes().replace(b"hello yourself", b"hello yourselF"))
    assert "entry 31, sent: the responder sent" in complaint(run("trace", "replay", str(changed)), 1)


def test_a_file_that_is_not_a_trace(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for command, content in (("show", b"text"), ("replay", Path(CHAT).read_bytes()[:-1])):
        file.write_bytes(content)
        assert f"{file}: not a trace" in complaint(run("trace", command, str(file)), 1)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["show"], "FILE"),
        (["show", "/nonexistent"], "FILE"),
        (["replay", CHAT, "--connect", "nowhere"], "--connect"),
        (["replay", CHAT, "--connect", "127.0.0.1:1", "--listen", ANY_PORT], "--listen"),
        (["replay", CHAT, "--wait", "long"], "--wait"),
        (["record", "file"], "DRIVE"),
        (["record", "file", KEY.url], "exactly one --connect or --listen"),
        (["record", "file", KEY.url, "--listen", ANY_PORT, "--connect", "127.0.0.1:1"], "exactly one"),
        (["record", "file", "not-a-key", "--listen", ANY_PORT], "DRIVE"),
    ],
)
def test_bad_usage(arguments: list[str], named: str) -> None:
    assert named in complaint(run("trace", *arguments), 2)


def test_no_peer_at_the_address(tmp_path: Path) -> None:
    file = tmp_path / "file.cbor"
    for arguments in (["record", str(file), KEY.url], ["replay", CHAT]):
        assert "127.0.0.1" in complaint(run("trace", *arguments, "--connect", "127.0.0.1:1"), 1)
    assert not file.exists()


def test_a_peer_that_sends_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file.cbor"
    with listening("record", str(file), KEY.url) as (process, address):
        visit(address)
    assert process.returncode == 0
    replay(load(file))


@pytest.mark.parametrize("when", ["alone", "connected"])
def test_it_ends_like_a_service(when: str, tmp_path: Path) -> None:
    """The file contains the recording. Before a peer has come, there is nothing to record."""
    file = tmp_path / "file.cbor"
    with listening("record", str(file), KEY.url, "--topic", "chat") as (process, address):
        if when == "connected":
            with subprocess.Popen(
                (*COMMAND, "pipe", KEY.url, "--connect", address),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            ) as pipe:
                assert read_line(process.stdout) == "the peer has opened the drive"
                process.send_signal(signal.SIGTERM)
                assert process.wait(TIME) == 0
                pipe.communicate()
            assert load(file).entries
        else:
            process.send_signal(signal.SIGTERM)
            assert process.wait(TIME) == 143
            assert not file.exists()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["end of input", "signal", "nothing"])
async def test_a_peer_that_does_not_read_does_not_delay_the_end(how: str, tmp_path: Path) -> None:
    """The peer reads the beginning of a line and no more. After a while, the command ends."""
    file = tmp_path / "file.cbor"
    with listening("record", str(file), KEY.url, "--topic", "chat") as (process, address):
        host, _, port = address.rpartition(":")
        async with raw_tcp_peer((host, int(port))) as peer:
            await peer.join()
            assert process.stdin is not None
            await trio.to_thread.run_sync(process.stdin.write, b"x" * 7 * 1024 * 1024 + b"\n")
            await trio.to_thread.run_sync(process.stdin.flush)
            received = 0
            while received < 100_000:
                received += len(await peer.stream.receive_some(100_000))
            if how == "signal":
                process.send_signal(signal.SIGTERM)
            elif how == "end of input":
                process.stdin.close()
            assert await trio.to_thread.run_sync(process.wait, TIME) == 1
        assert process.stderr is not None
        assert process.stderr.read().decode().startswith("peersockets: the peer did not take ")
    assert load(file).entries


def test_an_interrupted_recording(tmp_path: Path) -> None:
    one, two = tmp_path / "one.cbor", tmp_path / "two.cbor"
    with listening("record", str(one), KEY.url) as (process, address), subprocess.Popen(
        (*COMMAND, "trace", "record", str(two), KEY.url, "--connect", address),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ):  # fmt: skip
        assert read_line(process.stdout) == "the peer has opened the drive"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    for path in (one, two):
        replay(load(path))


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (b"GET / HTTP/1.0", "begins no known wire"),
        (b"\x3a" + bytes(200), "weak point"),
        (b"", "ended before"),
    ],
)
def test_a_peer_of_another_protocol(said: bytes, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "file.cbor"
    with listening("record", str(file), KEY.url) as (process, address):
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port))) as peer:
            peer.sendall(said)
        line = read_line(process.stderr)
        assert line.startswith("peersockets: ")
        assert complaint in line
    assert process.returncode == 1
    assert file.exists() == said.startswith(b"\x3a")


@pytest.mark.parametrize("path", ["/nonexistent/file.cbor", "precious", "link"])
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_file_that_cannot_be_written_is_reported_first(path: str, force: list[str], tmp_path: Path) -> None:
    """The command waits for no peer, and loses nothing."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    if force and path in ("precious", "link"):
        return
    text = complaint(run("trace", "record", str(tmp_path / path), KEY.url, "--listen", ANY_PORT, *force), 1)
    if path in ("precious", "link"):
        assert "--force replaces it" in text
    assert (tmp_path / "precious").read_text() == "precious"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link", "precious"]


@pytest.mark.parametrize("name", ["precious", "link"])
def test_a_forced_recording_replaces_the_file(name: str, tmp_path: Path) -> None:
    """Only its owner can read the file, and a link is replaced, not followed."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    with listening("record", str(tmp_path / name), KEY.url, "--force") as (process, address):
        visit(address)
    assert process.returncode == 0
    replay(load(tmp_path / name))
    assert not (tmp_path / name).is_symlink()
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert name == "precious" or (tmp_path / "precious").read_text() == "precious"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link", "precious"]


def test_help() -> None:
    for command in ([], ["show"], ["replay"], ["record"]):
        done = run("trace", *command, "--help")
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"\n      peersockets trace" in done.stdout


ESCAPES = "\x1b]0;owned\x07\x1b[31mred\x1b[0m\u202e"
HEADER = {
    "peersocketsTrace": 1, "wire": "hypercore11", "shows": "x", "producedBy": {"a": "1"},
    "comparison": "bytes", "secrets": {},
}  # fmt: skip
HOSTILE: dict[str, list[Any]] = {
    "what it shows": [HEADER | {"shows": ESCAPES}],
    "programs": [HEADER | {"producedBy": {"a" + ESCAPES: ESCAPES}}],
    "a key of an entry": [HEADER, {"side": "initiator", "sent": b"", ESCAPES: 1}],
    "a side": [HEADER, {"side": ESCAPES, "sent": b""}],
    "the version": [HEADER | {"peersocketsTrace": ESCAPES}],
    "the wire": [HEADER | {"wire": ESCAPES}],
    "a side's secrets": [HEADER | {"secrets": {"initiator": {ESCAPES: b""}}}],
    "a command": [HEADER, {"side": "initiator", "command": ESCAPES}],
    "a name": [HEADER, {"side": "initiator", "command": "register", "name": ESCAPES}],
    "a digest": [HEADER, {"side": "initiator", "sent": {ESCAPES: 1}}],
    "a payload": [
        HEADER,
        {"side": "initiator", "command": "send", "name": "x", "payload": {ESCAPES: 1, "size": 1}},
    ],
}


@pytest.mark.parametrize("items", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("command", ["show", "replay"])
def test_nothing_in_a_file_reaches_the_terminal_raw(command: str, items: list[Any], tmp_path: Path) -> None:
    file = tmp_path / f"evil{ESCAPES[-4:]}.cbor"
    file.write_bytes(b"".join(map(cbor2.dumps, items)))
    done = run("trace", command, str(file))
    output = (done.stdout + done.stderr).decode()
    assert all(character.isprintable() or character == "\n" for character in output), output
