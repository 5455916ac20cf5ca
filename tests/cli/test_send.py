"""`peersockets send`."""

from __future__ import annotations

import base64
import random
import re
import signal
import socket
import struct
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from adapter.support import RawPeer, raw_tcp_peer
from cli.real_drive import open_real_drive
from cli.support import ANY_PORT, COMMAND, KEY, TIME, WIRE, Event, complaint, pipe, run
from cli.terminal import CTRL_C, open_terminal
from peersockets_core import WIRES, WireName

MIB = 1024 * 1024
Done = subprocess.CompletedProcess[bytes]


async def send(*arguments: str | bytes, key: str = KEY.url, stdin: bytes = b"") -> Done:
    """Send on the topic "chat", while the test continues."""
    command = ("send", key, "--topic", "chat", *arguments)
    return await trio.to_thread.run_sync(lambda: run(*command, stdin=stdin))


def fine(done: Done) -> None:
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def content(event: Event) -> bytes:
    return base64.b64decode(event["message"])


def megabyte() -> bytes:
    return random.Random(1).randbytes(MIB)


# The message


@pytest.mark.parametrize(
    ("argument", "stdin", "message"),
    [
        ("hello", b"", b"hello"),
        ("grüß dich", b"", "grüß dich".encode()),
        ("", b"", b""),
        ("two\nlines", b"", b"two\nlines"),
        (b"caf\xe9", b"", b"caf\xe9"),
        ("-", b"from\0stdin\n", b"from\0stdin\n"),
        ("-", b"", b""),
        ("@@home", b"", b"@home"),
        ("@@", b"", b"@"),
    ],
)
async def test_messages(argument: str | bytes, stdin: bytes, message: bytes) -> None:
    async with pipe("--listen", ANY_PORT, "--topic", "chat") as alice:
        fine(await send("--all", argument, "--connect", alice.address, stdin=stdin))
        event = await alice.hear_until("message")
        assert (event["topic"], content(event)) == ("chat", message)


async def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "@odd name"
    path.write_bytes(megabyte())
    async with pipe("--listen", ANY_PORT, "--topic", "chat") as alice:
        fine(await send("--to", "1", f"@{path}", "--connect", alice.address, "--wire", WIRE))
        assert content(await alice.hear_until("message")) == megabyte()


@pytest.mark.parametrize(("path", "text"), [("/nonexistent", "No such file"), ("/", "directory")])
def test_a_file_that_cannot_be_read(path: str, text: str) -> None:
    done = run("send", KEY.url, "--topic", "chat", "--all", f"@{path}")
    assert text in complaint(done, 1)


@pytest.mark.parametrize("source", ["stdin", "/dev/zero"])
def test_a_message_too_large_for_every_wire_is_refused_at_once(source: str) -> None:
    argument, stdin = ("-", bytes(17 * MIB)) if source == "stdin" else (f"@{source}", b"")
    done = run("send", KEY.url, "--topic", "chat", "--all", argument, "--connect", "127.0.0.1:1", stdin=stdin)
    assert "over 16777216 bytes, which no wire carries; nothing was sent" in complaint(done, 1)


async def test_a_message_too_large_for_the_wire_is_not_sent() -> None:
    async with pipe("--listen", ANY_PORT, "--topic", "chat") as alice:
        arguments = ("--all", "-", "--connect", alice.address, "--wire", WIRE)
        done = await send(*arguments, stdin=bytes(9 * MIB))
        assert "message of 9437184 bytes is over the wire's limit of 83" in complaint(done, 1)
        assert [(await alice.hear())["event"] for _ in range(2)] == ["join", "leave"]


# The receivers


@pytest.mark.parametrize("wire", WIRES)
async def test_to_a_key(wire: WireName) -> None:
    async with pipe("--listen", ANY_PORT, "--topic", "chat") as alice:
        key = alice.ready["publicKeys"][wire]
        fine(await send("--to", key, "hello", "--connect", alice.address, "--wire", wire))
        assert (await alice.hear_until("message"))["text"] == "hello"


async def test_to_the_first_peer_that_comes() -> None:
    """We may be the side that listens, and the peer may come later."""
    process = await trio.lowlevel.open_process(
        (*COMMAND, "send", KEY.url, "--topic", "chat", "--to", "1", "hello", "--listen", ANY_PORT),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    assert process.stdout is not None
    address = (await process.stderr.receive_some()).decode().removeprefix("listening on ").strip()
    async with pipe("--connect", address, "--topic", "chat") as bob, process.stdout, process.stderr:
        assert (await bob.hear_until("message"))["text"] == "hello"
        assert await process.wait() == 0
        assert await process.stdout.receive_some() == b""


async def test_to_all_members() -> None:
    """This includes the peer at each --connect and other present members."""
    async with (
        pipe("--listen", ANY_PORT, "--topic", "chat") as alice,
        pipe("--listen", ANY_PORT, "--topic", "chat") as bob,
    ):
        fine(await send("--all", "hello", "--connect", alice.address, "--connect", bob.address))
        for one in (alice, bob):
            assert (await one.hear_until("message"))["text"] == "hello"


async def test_a_peer_named_twice_is_waited_for_once() -> None:
    """Both addresses lead to one key, and no other peer comes."""
    async with pipe("--listen", ANY_PORT, "--topic", "chat") as alice:
        port = alice.address.rpartition(":")[2]
        addresses = (alice.address, alice.address, f"localhost:{port}")
        connect = [word for address in addresses for word in ("--connect", address)]
        fine(await send("--all", "hello", *connect, "--wait", "3600"))
        assert (await alice.hear_until("message"))["text"] == "hello"


async def test_to_the_members_that_came_in_time() -> None:
    async with (
        pipe("--listen", ANY_PORT, "--topic", "chat") as alice,
        pipe("--listen", ANY_PORT, key="ff" * 32) as stranger,
    ):
        connect = ("--connect", alice.address, "--connect", stranger.address)
        fine(await send("--all", "hello", *connect, "--wait", "1"))
        assert (await alice.hear_until("message"))["text"] == "hello"


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (["--all"], " is connected, but does not have the drive open; nothing was sent"),
        (["--to", "2"], "peer 2 was not there within 0.5 seconds; nothing was sent"),
        (["--to", "ab" * 32], f"peer {'ab' * 32} was not there within 0.5 seconds"),
    ],
)
async def test_the_named_peer_does_not_come(target: list[str], text: str) -> None:
    """Other peers may come: one without the drive, or one with another key."""
    async with pipe("--listen", ANY_PORT, key="ff" * 32 if target == ["--all"] else KEY.url) as other:
        done = await send(*target, "hello", "--connect", other.address, "--wait", "0.5")
        assert text in complaint(done, 1)
        assert done.stdout == b""


async def test_a_peer_without_the_drive() -> None:
    arguments = ("send", KEY.url, "--topic", "chat", "--all", "hello", "--listen", ANY_PORT, "--wait", "4")
    process = await trio.lowlevel.open_process((*COMMAND, *arguments), stderr=subprocess.PIPE)
    assert process.stderr is not None
    async with process.stderr:
        address = (await process.stderr.receive_some()).decode().removeprefix("listening on ").strip()
        async with pipe("--connect", address, key="ff" * 32):
            assert await process.wait() == 1
        said = (await process.stderr.receive_some()).decode()
    reason = "nobody was there within 4 seconds: 1 peer is connected, but does not have the drive open"
    assert said == f"peersockets: {reason}; nothing was sent\n"


def test_no_peer_can_come() -> None:
    """The command does not wait in vain."""
    done = run("send", KEY.url, "--topic", "chat", "--all", "hello", "--wait", "3600", "--no-swarm")
    assert "nobody can ever be reached: give --swarm, --listen or --connect; nothing was sent" in complaint(
        done, 1
    )


def test_a_refused_connection() -> None:
    done = run(
        "send", KEY.url, "--topic", "chat", "--all", "hello", "--connect", "127.0.0.1:1", "--wait", "1"
    )
    assert "127.0.0.1:1" in complaint(done, 1)


# Peers that do not take the message


@asynccontextmanager
async def sending_to_a_deaf_peer(stdin: bytes) -> AsyncIterator[tuple[RawPeer, Done]]:
    """Send to a peer that joins and then stops reading. The outcome is filled in later."""
    outcome: Done = subprocess.CompletedProcess((), -1)
    with tempfile.TemporaryFile() as source, trio.fail_after(TIME):
        source.write(stdin)
        source.seek(0)
        process = await trio.lowlevel.open_process(
            (
                *COMMAND,
                "send",
                KEY.url,
                "--topic",
                "chat",
                "--all",
                "-",
                "--listen",
                ANY_PORT,
                "--wait",
                "1",
            ),
            stdin=source,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        async with process.stderr:
            printed = (await process.stderr.receive_some()).decode()
            host, _, port = printed.removeprefix("listening on ").strip().rpartition(":")
            async with raw_tcp_peer((host, int(port))) as peer:
                await peer.join()
                yield peer, outcome
                outcome.returncode = await process.wait()
                outcome.stderr = b"".join([bytes(data) async for data in process.stderr])


async def test_a_peer_that_takes_no_more() -> None:
    async with sending_to_a_deaf_peer(bytes(8 * MIB - 100)) as (_, outcome):
        pass
    text = complaint(outcome, 1)
    unsent = re.search(r" (\d+) bytes are unsent: the peer has taken nothing for 1 seconds", text)
    assert unsent
    assert MIB < int(unsent[1]) <= 8 * MIB


async def test_a_peer_that_breaks_off() -> None:
    async with sending_to_a_deaf_peer(bytes(8 * MIB - 100)) as (peer, outcome):
        await peer.stream.receive_some(1)
        assert isinstance(peer.stream, trio.SocketStream)
        peer.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await trio.aclose_forcefully(peer.stream)
    text = complaint(outcome, 1)
    unsent = re.search(r"peer 1 \([0-9a-f]{8}\) did not take (\d+) bytes: ", text)
    assert unsent
    assert MIB < int(unsent[1]) <= 8 * MIB


@pytest.mark.slow
async def test_a_peer_that_never_finishes() -> None:
    """A short message has left, into the buffers of the systems between us. Nothing more is known."""
    async with sending_to_a_deaf_peer(b"hello") as (_, outcome):
        pass
    text = complaint(outcome, 1)
    assert "may not have taken everything: did not finish in time" in text


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_signal_does_not_stop_a_message_that_is_leaving(number: signal.Signals, status: int) -> None:
    """The peer takes it later."""
    async with pipe("--listen", ANY_PORT, "--topic", "chat") as alice:
        arguments = ("send", KEY.url, "--topic", "chat", "--all", "-", "--connect", alice.address)
        process = await trio.lowlevel.open_process((*COMMAND, *arguments), stdin=subprocess.PIPE)
        assert process.stdin is not None
        await process.stdin.send_all(megabyte() * 8)
        await process.stdin.aclose()
        await alice.hear_until("join")
        alice.process.send_signal(signal.SIGSTOP)
        process.send_signal(number)
        alice.process.send_signal(signal.SIGCONT)
        event = await alice.hear()
        outcome = await process.wait()
        if event["event"] == "leave":  # the signal came before the message was accepted
            assert outcome == 128 + number
        else:
            assert content(event) == megabyte() * 8
            assert outcome == status


async def test_interrupted_in_a_terminal() -> None:
    arguments = ("send", KEY.url, "--topic", "chat", "--all", "hello", "--listen", ANY_PORT, "--wait", "60")
    async with open_terminal(*arguments) as terminal:
        await terminal.until("listening on 127.0.0.1:")
        await terminal.type(CTRL_C)
        assert await terminal.finish() == 130


async def test_a_progress_bar_in_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(megabyte())
    async with pipe("--listen", ANY_PORT, "--topic", "chat") as alice:
        arguments = ("--topic", "chat", "--all", f"@{path}", "--connect", alice.address)
        async with open_terminal("send", KEY.url, *arguments) as terminal:
            assert content(await alice.hear_until("message")) == megabyte()
            assert await terminal.finish() == 0
            assert terminal.text.startswith("sending  [####")
            assert "100%" in terminal.text
        async with open_terminal("send", KEY.url, *arguments[:3], "hello", *arguments[4:]) as terminal:
            assert await terminal.finish() == 0
            assert terminal.text == ""


@pytest.mark.interop
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("target", ["id", "key", "all"])
async def test_a_real_peer_gets_a_megabyte(wire: WireName, target: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(megabyte())
    with trio.fail_after(TIME):
        async with open_real_drive(wire) as real:
            to = {"id": ("--to", "1"), "key": ("--to", real.peer.public_key.hex()), "all": ("--all",)}[target]
            key, *options = real.options
            fine(await send(*to, f"@{path}", *options, key=key))
            assert await real.topic.receive() == (real.our_key, megabyte())
