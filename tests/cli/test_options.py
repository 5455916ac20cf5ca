"""`peersockets_trio.cli.options`: good and bad usage. Each error is one line that names the argument."""

from __future__ import annotations

import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trio.testing

from cli.support import ANY_PORT, KEY, TIME, complaint, parse_lines, pipe, run
from peersockets_core import Address, KeyPair, WireName
from peersockets_trio import open_node
from peersockets_trio.testing.internals import connection_tasks

SEED = bytes(range(32)).hex()


NO_SECONDS = ("nan", "inf", "-inf", "1e999", "-1", "", "1s")

BAD_USAGE: list[tuple[list[str | bytes], str]] = [
    (["pipe"], "DRIVE is missing in `peersockets pipe [OPTIONS] [DRIVE]`"),
    (["pipe", "not-a-key"], "'[DRIVE]': not a drive key: 9 characters"),
    (["pipe", "hyper://KEY"], "hyper://KEY or pear://KEY"),
    (["pipe", "hyper://" + "0" * 63], "DRIVE"),
    (["pipe", b"\xff" * 64], "DRIVE"),
    (["pipe", KEY.url, "--topic"], "--topic"),
    (["pipe", KEY.url, "--topic", b"\xff"], "--topic"),
    (["pipe", KEY.url, "--listen", "nowhere"], "--listen"),
    (["pipe", KEY.url, "--listen", "127.0.0.1:99999"], "--listen"),
    (["pipe", KEY.url, "--listen", "::1"], "[::1]:PORT"),
    (["pipe", KEY.url, "--connect", "127.0.0.1"], "--connect"),
    (["pipe", KEY.url, "--connect", "127.0.0.1:0"], "--connect"),
    (["pipe", KEY.url, "--wire", "hypercore8"], "--wire"),
    (["pipe", KEY.url, "--topic-scope", "planet"], "--topic-scope"),
    (["pipe", KEY.url, "--allow", "0" * 63], "--allow"),
    (["pipe", KEY.url, "--allow", "g" * 64], "--allow"),
    (["pipe", KEY.url, "--peer-timeout", "14.9"], "--peer-timeout"),
    (["pipe", KEY.url, "--peer-timeout", "nan"], "--peer-timeout"),
    (["pipe", KEY.url, "--seed", "abc"], "--seed"),
    (["pipe", KEY.url, "--seed", "g" * 64], "--seed"),
    (["pipe", KEY.url, "--key-file", "/nonexistent"], "--key-file"),
    (["pipe", KEY.url, "--key-file", "/"], "--key-file"),
    (["pipe", KEY.url, "--key-file", "/dev/null"], "--key-file"),
    (["pipe", KEY.url, "--seed", SEED, "--key-file", "/dev/null"], "--key-file"),
    (["pipe", KEY.url, "--frobnicate"], "--frobnicate"),
    (["pipe", KEY.url, "surplus"], "surplus"),
    (["demo", "surplus"], "surplus"),
    (["chat", "not-a-key"], "DRIVE"),
    (["chat", KEY.url, "hello"], "hello"),
    (["send", KEY.url, "--topic", "x", "--all"], "MESSAGE"),
    (["send", KEY.url, "--all", "hello"], "--topic"),
    (["send", KEY.url, "--topic", "x", "--topic", "y", "--all", "hello"], "exactly one --topic"),
    (["send", KEY.url, "--topic", "x", "hello"], "exactly one of --to and --all"),
    (["send", KEY.url, "--topic", "x", "--all", "--to", "1", "hello"], "exactly one of --to and --all"),
    (["send", KEY.url, "--topic", "x", "--to", "me", "hello"], "peer id or a public key"),
    (["send", KEY.url, "--topic", "x", "--to", "-1", "hello"], "peer id or a public key"),
    (["send", KEY.url, "--topic", "x", "--to", "9" * 5000, "hello"], "peer id or a public key"),
    (["send", KEY.url, "--topic", "x", "--to", "ab" * 31, "hello"], "64 hex digits"),
    (["send", KEY.url, "--topic", "x", "--all", "--wait", "-1", "hello"], "--wait"),
    (["send", KEY.url, "--topic", "x", "--all", "--wait", "soon", "hello"], "--wait"),
    (["watch", "not-a-key"], "DRIVE"),
    (["watch", KEY.url, "surplus"], "surplus"),
    (["frobnicate"], "frobnicate"),
]

BAD_USAGE += [
    (["send", KEY.url, "--topic", "x", "--all", "--wait", bad, "hello"], "--wait") for bad in NO_SECONDS
]


@pytest.fixture(scope="module")
def outcomes() -> list[subprocess.CompletedProcess[bytes]]:
    """The outcome of each command, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda row: run(*row[0]), BAD_USAGE))


@pytest.mark.parametrize("index", range(len(BAD_USAGE)), ids=[name for _, name in BAD_USAGE])
def test_bad_usage(index: int, outcomes: list[subprocess.CompletedProcess[bytes]]) -> None:
    assert BAD_USAGE[index][1] in complaint(outcomes[index], 2)
    assert outcomes[index].stdout == b""


COMMANDS = ("demo", "chat", "watch", "send", "pipe", "keys", "keys new", "keys show", "completion")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_commands(command: str) -> None:
    """The help has an example, if there is a choice, and keeps its layout."""
    done = run(*command.split(), "--help")
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert text.startswith(f"Usage: peersockets {command} ")
    assert "\\b" not in text
    assert command == "demo" or "peersockets " in text.partition("\n\n")[2]


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["pipe", "--help"]])
def test_help(arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert text.startswith("Usage: peersockets ")
    if arguments == ["--help"]:
        assert "demo" in text
        assert "pipe" in text
        assert "\n      peersockets watch DRIVE" in text
    if arguments[0] == "pipe":
        for option in ("--topic", "--listen", "--connect", "--wire", "--topic-scope", "--allow", "--seed"):
            assert f"  {option} " in text
        assert "  --peer-timeout SECONDS " in text
        assert "  --key-file " in text
        for command in ("join", "close", "send", "broadcast", "connect", "peers", "stats"):
            assert f'"command":"{command}"' in text


def test_a_command_without_arguments_prints_its_help() -> None:
    done = run()
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.startswith(b"Usage: peersockets ")


@pytest.mark.parametrize("how", ["seed", "file"])
def test_an_identity(how: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_text(f"{SEED}\n")
    option = ("--seed", SEED) if how == "seed" else ("--key-file", str(path))
    ready = parse_lines(run("pipe", KEY.url, *option).stdout)[0]
    keys = KeyPair(bytes.fromhex(SEED)).public_keys
    assert ready["publicKeys"] == {wire: key.hex() for wire, key in keys.items()}


async def test_a_peer_that_is_not_allowed_is_refused() -> None:
    """An allowed peer is accepted, on either wire."""
    seeds = [bytes([number]) * 32 for number in range(3)]
    keys = [KeyPair(seed).public_keys for seed in seeds]
    allowed = (keys[0]["hypercore9"].hex(), keys[1]["hypercore11"].hex().upper())
    options = [word for key in allowed for word in ("--allow", key)]
    async with pipe("--listen", ANY_PORT, *options) as ours:
        visits: list[tuple[bytes, WireName, int | None]] = [
            (seeds[2], "hypercore9", None),
            (seeds[0], "hypercore11", None),
            (seeds[0], "hypercore9", 1),
            (seeds[1], "hypercore11", 2),
        ]
        for seed, wire, number in visits:
            async with open_node(key_pair=KeyPair(seed)) as visitor, visitor.open_drive(KEY) as drive:
                host, _, port = ours.address.rpartition(":")
                await visitor.connect_tcp(host, int(port), wire=wire)
                if number is None:
                    while connection_tasks(visitor):
                        await trio.testing.wait_all_tasks_blocked(0.01)
                    assert not drive.peers
                    continue
                # the first that was heard of, though others came before it
                key = visitor.public_keys[wire].hex()
                joined = {"event": "join", "peerId": number, "publicKey": key, "wire": wire}
                assert await ours.hear() == joined
            assert await ours.hear() == {**joined, "event": "leave", "reason": "", "unsent": 0}


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        done = run("pipe", KEY.url, "--listen", address)
    text = complaint(done, 1)
    assert address in text
    assert "in use" in text
    assert done.stdout == b""


def test_an_address_that_is_not_ours() -> None:
    done = run("pipe", KEY.url, "--listen", "192.0.2.1:0")
    assert "192.0.2.1:0" in complaint(done, 1)


@pytest.mark.parametrize("option", ["--connect", "--listen"])
@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example"])
def test_hosts_that_are_not_names(option: str, host: str) -> None:
    complaint(run("pipe", KEY.url, option, f"{host}:80"), 2)


def test_listening_twice() -> None:
    done = run("pipe", KEY.url, "--listen", ANY_PORT, "--listen", ANY_PORT)
    addresses = parse_lines(done.stdout)[0]["listening"]
    assert len(set(addresses)) == 2
    for address in addresses:
        assert Address.parse(address).host == "127.0.0.1"


@pytest.mark.parametrize("verbose", ["-v", "-vv"])
def test_the_log_is_shown_on_request(verbose: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(TIME)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        arguments = (verbose, "pipe", KEY.url, "--connect", address)
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(run, *arguments)
            server.accept()[0].close()
            log = done.result().stderr.decode()
    assert f" INFO failed: {address} on hypercore11: " in log
    assert done.result().returncode == 0
