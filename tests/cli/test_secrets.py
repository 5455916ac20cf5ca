"""No output of any command shows a drive key, a seed or anything derived from one, whatever goes wrong."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from cli.support import ANY_PORT, COMMAND, TIME, run
from core.secrecy import shown, z_base_32
from peersockets_core import Address, Connection, DriveKey, DriveOpened, KeyPair, WireName
from peersockets_core.wires.hypercore9 import frames, messages
from peersockets_core.wires.hypercore11.encoding import encode_buffer
from peersockets_core.wires.hypercore11.wire import Hypercore11

KEY: Final = DriveKey(hashlib.sha256(b"a drive that nobody else has").digest())
IDENTITY: Final = KeyPair(hashlib.sha256(b"an identity that nobody else has").digest())
SECRETS: Final = (KEY.public_key, IDENTITY.seed, IDENTITY.x25519_secret_key)
HEX: Final = KEY.public_key.hex()
Z32: Final = z_base_32(KEY.public_key)
SEED: Final = IDENTITY.seed.hex()
NOBODY: Final = "127.0.0.1:1"
WAIT: Final = ("--wait", "0.1")

IN_PLACE: list[list[str]] = [
    ["pipe", HEX, "--listen", ANY_PORT],
    ["pipe", Z32, "--connect", NOBODY],
    ["pipe", KEY.url, "--seed", SEED],
    ["pipe", f"pear://{Z32}/some/path", "--key-file", "KEY_FILE"],
    ["pipe", "@DRIVE_FILE", "--listen", NOBODY],
    ["pipe", HEX, "--listen", "192.0.2.1:0"],
    ["chat", HEX, "--listen", ANY_PORT],
    ["chat", HEX],
    ["send", HEX, "hello", "--topic", "t", "--all", *WAIT],
    ["send", HEX, "hello", "--topic", "t", "--to", "1", *WAIT, "--connect", NOBODY],
    ["send", HEX, "@/nonexistent", "--topic", "t", "--all"],
    ["watch", HEX, "--listen", "192.0.2.1:0"],
    ["keys", "new", "NEW_FILE"],
    ["keys", "new", "KEY_FILE"],
    ["keys", "show", "KEY_FILE"],
    ["keys", "show", "--seed", SEED],
    ["trace", "record", "NEW_FILE", HEX, "--connect", NOBODY],
    ["trace", "record", "/nonexistent/file", HEX, "--connect", NOBODY],
    ["trace", "show", "DRIVE_FILE"],
    ["demo"],
    ["completion", "bash"],
]
"""Each secret in its right place."""

ASTRAY: list[list[str]] = [
    [HEX],
    ["--frobnicate", HEX],
    [Z32],
    ["watch", HEX, HEX],
    ["watch", HEX[1:]],
    ["watch", HEX + "0"],
    ["watch", KEY.url[:-2]],
    ["watch", f"dat://{HEX}"],
    ["watch", f"hyper:/{HEX}"],
    ["watch", Z32[1:]],
    ["watch", f"@{HEX}"],
    ["watch", "@KEY_FILE", HEX],
    ["watch", HEX, "--seed", SEED[1:]],
    ["watch", HEX, "--seed", SEED, "--key-file", "KEY_FILE"],
    ["watch", HEX, "--key-file", SEED],
    ["watch", HEX, "--key-file", "DRIVE_URL_FILE"],
    ["watch", HEX, "--wire", HEX],
    ["watch", HEX, "--connect", HEX],
    ["watch", HEX, "--listen", KEY.url],
    ["watch", HEX, f"--{HEX}"],
    ["send", HEX, "hello", "--topic", "t", "--all", "--wait", HEX],
    ["send", HEX, "hello", "--topic", "t", "--to", SEED[1:]],
    ["send", HEX, "hello", HEX, "--topic", "t", "--all"],
    ["send", "hello", "--topic", "t", "--all"],
    ["send", HEX, "--topic", "t", "--all"],
    ["keys", "show", SEED],
    ["keys", "show", "--seed", SEED + "ff"],
    ["keys", "show", "KEY_FILE", "--seed", SEED],
    ["keys", SEED],
    ["trace", "show", HEX],
    ["trace", "replay", HEX],
    ["completion", HEX],
    ["demo", HEX],
]
"""Each secret in a wrong place, or mistyped."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("secrets")
    contents = {"KEY_FILE": SEED, "DRIVE_FILE": f"{HEX}\n", "DRIVE_URL_FILE": KEY.url}
    for name, content in contents.items():
        (folder / name).touch(0o600)
        (folder / name).write_text(content)
    return {name: str(folder / name) for name in (*contents, "NEW_FILE")}


@pytest.fixture(scope="module")
def outcomes(files: dict[str, str]) -> dict[int, subprocess.CompletedProcess[bytes]]:
    """The outcome of each command, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        commands = [("-vv", *_with_paths(arguments, files)) for arguments in IN_PLACE]
        return dict(enumerate(pool.map(lambda command: run(*command), commands)))


def _with_paths(arguments: list[str], files: dict[str, str]) -> list[str]:
    for name, path in files.items():
        arguments = [argument.replace(name, path) for argument in arguments]
    return arguments


@pytest.mark.parametrize("index", range(len(IN_PLACE)))
def test_no_command_shows_a_secret(
    index: int, outcomes: dict[int, subprocess.CompletedProcess[bytes]]
) -> None:
    done = outcomes[index]
    output = (done.stdout + done.stderr).decode()
    assert not shown(SECRETS, output), output
    assert "Traceback" not in output


_RUN_EACH: Final = """
import json, os, sys
from peersockets_trio.cli import main
for arguments in json.loads(sys.argv[1]):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        main(arguments)
    os.close(writer)
    with open(reader, errors="replace") as output:
        said = output.read()
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said]), flush=True)
"""
"""Runs commands in a process each, without starting Python for each."""


@pytest.fixture(scope="module")
def bad_outcomes(files: dict[str, str]) -> list[tuple[int, str]]:
    """Return the status and the output of each command."""
    commands = json.dumps([_with_paths(arguments, files) for arguments in ASTRAY])
    command = (sys.executable, "-c", _RUN_EACH, commands)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIME, check=True)
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("index", range(len(ASTRAY)))
def test_no_bad_usage_shows_a_secret(index: int, bad_outcomes: list[tuple[int, str]]) -> None:
    status, output = bad_outcomes[index]
    assert status in (1, 2)
    assert output.startswith("peersockets: ")
    assert not shown(SECRETS, output), output


def test_a_secret_would_be_found() -> None:
    for text in (HEX.upper(), Z32, KEY.url, repr(bytes(KEY.public_key)), f"{HEX[8:30]}..."):
        assert shown(SECRETS, text)
    assert shown(SECRETS, run("chat", HEX, "--show-url").stdout.decode())


@pytest.mark.parametrize("place", ["file", "variable", "variable that names a file"])
@pytest.mark.parametrize("command", ["pipe", "chat", "send"])
def test_the_drive_comes_from_elsewhere(place: str, command: str, files: dict[str, str]) -> None:
    spelling = HEX if place == "variable" else f"@{files['DRIVE_FILE']}"
    drive = [spelling] if place == "file" else []
    words = {"send": [*drive, "hello", "--topic", "t", "--all", *WAIT]}.get(command, drive)
    done = subprocess.run(
        (*COMMAND, "-vv", command, *words),
        input=b"",
        capture_output=True,
        timeout=TIME,
        check=False,
        env=os.environ | ({} if drive else {"PEERSOCKETS_DRIVE": spelling}),
    )
    assert done.returncode == (1 if command == "send" else 0), done.stderr
    assert command == "send" or KEY.discovery_key.hex()[:16].encode() in done.stdout
    assert not shown(SECRETS, (done.stdout + done.stderr).decode())


# Peers that misbehave


class _Remote:
    """A core connection over a blocking socket, which can send anything."""

    def __init__(self, wire: WireName, address: Address) -> None:
        self.connection = Connection(
            wire=wire, initiator=True, key_pair=KeyPair(os.urandom(32)), entropy=os.urandom, now=0.0
        )
        self._wire = wire
        self._socket = socket.create_connection((address.host, address.port), TIME)

    def become_member(self) -> None:
        self.connection.open_drive(KEY)
        self._read_until(lambda: self._opened)

    def shake_hands(self) -> None:
        self._read_until(lambda: self.connection.remote_public_key is not None)

    def offer_with_a_wrong_capability(self) -> None:
        wire = self.connection.wire_machine
        if not isinstance(wire, Hypercore11):
            wrong = messages.Open(KEY.discovery_key, bytes(32))
            self.connection.outbox.append(frames.encode(7, 0, messages.encode(wrong)))
            self._flush()
        else:
            named = encode_buffer(b"hypercore/alpha") + encode_buffer(KEY.discovery_key)
            opening = b"\0\1\1" + named + b"\0" + bytes(32)
            self._socket.sendall(wire.stream.encrypt(opening))

    def say_garbage(self) -> None:
        if self._wire == "hypercore9":
            self.connection.outbox.append(b"\xff" * 9)
            self._flush()
        else:
            self._socket.sendall(b"\x14\0\0" + bytes(20))

    def until_closed(self) -> None:
        try:
            while self._socket.recv(65536):
                pass
        except ConnectionError:
            pass
        self._socket.close()

    _opened = False

    def _read_until(self, done: Any) -> None:
        self._flush()
        while not done():
            data = self._socket.recv(65536)
            assert data
            events = self.connection.receive_data(data, 0.0)
            self._opened |= any(isinstance(event, DriveOpened) for event in events)
            self._flush()

    def _flush(self) -> None:
        self._socket.sendall(self.connection.data_to_send(0.0))


@pytest.fixture(params=["pipe", "chat", "watch"])
def listening(request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[bytes], Address]]:
    command = [*COMMAND, "-vv", request.param, HEX, "--listen", ANY_PORT]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr is not None
    try:
        while b"listening" not in (line := process.stderr.readline()):
            assert line
        host, _, port = line.split()[-1].decode().rpartition(":")
        yield process, Address(host, int(port))
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("wire", ["hypercore9", "hypercore11"])
def test_no_peer_makes_a_command_show_a_secret(
    wire: WireName, listening: tuple[subprocess.Popen[bytes], Address]
) -> None:
    process, address = listening
    for begin in (_Remote.shake_hands, _Remote.become_member):
        for end in (_Remote.offer_with_a_wrong_capability, _Remote.say_garbage):
            remote = _Remote(wire, address)
            begin(remote)
            end(remote)
            remote.until_closed()
    process.terminate()
    stdout, stderr = process.communicate(timeout=TIME)
    assert b"invalid remote capability for drive " + str(KEY).encode() in stderr, stderr.decode()
    assert not shown(SECRETS, (stdout + stderr).decode())
