"""`peersockets chat` line by line, without a terminal. `test_terminal` has the rest."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest
import trio

from cli.real_drive import RealDrive, open_real_drive
from cli.support import ANY_PORT, COMMAND, KEY, TIME, WIRE, Pipe, complaint, pipe, run
from peersockets_core import WIRES, WireName


async def chat(*arguments: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run a chat to its end, while the test continues."""
    return await trio.to_thread.run_sync(lambda: run("chat", KEY.url, *arguments, stdin=stdin))


async def heard(alice: Pipe, count: int) -> list[str]:
    return [(await alice.hear_until("message"))["text"] for _ in range(count)]


async def test_piped_input_is_sent() -> None:
    """It waits for a member that receives it, and all of it has left at the end."""
    lines = [f"line {number} grüß dich" for number in range(2000)]
    async with pipe("--listen", ANY_PORT, "--topic", "chat") as alice, trio.open_nursery() as nursery:
        nursery.start_soon(_say, alice, lines)
        assert await heard(alice, len(lines)) == lines
        assert (await alice.hear_until("leave"))["peerId"] == 1


async def _say(alice: Pipe, lines: list[str]) -> None:
    done = await chat("--connect", alice.address, stdin="\n".join(lines).encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert (
        f"* 1 ({alice.ready['publicKeys']['hypercore11'][:8]}) joined on hypercore11\n"
        in done.stdout.decode()
    )


async def test_bytes_that_are_not_text_are_sent_unchanged() -> None:
    async with pipe("--listen", ANY_PORT, "--topic", "chat") as alice, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: chat("--connect", alice.address, "--wire", WIRE, stdin=b"caf\xe9\n"))
        assert (await alice.hear_until("message"))["message"] == "Y2Fm6Q=="


def test_no_member_comes() -> None:
    done = run("chat", KEY.url, "--no-swarm", stdin=b"hello\n")
    assert "no peer is here to receive this" in complaint(done, 0)
    assert done.stdout.startswith(f"* topic chat of drive {KEY}\n* you are ".encode())


@pytest.mark.parametrize(
    ("options", "wires"),
    [
        (("--connect", "127.0.0.1:1"), ["hypercore11"]),
        (("--connect", "127.0.0.1:1", "--wire", "hypercore9"), ["hypercore9"]),
        (("--bootstrap", "127.0.0.1:1"), ["hypercore11"]),
        (("--bootstrap", "127.0.0.1:1", "--connect", "127.0.0.1:1", "--wire", "hypercore9"), [*WIRES]),
        (("--listen", ANY_PORT), [*WIRES]),
        (("--no-swarm",), [*WIRES]),
    ],
)
def test_the_identity_on_each_wire_in_use_is_shown(options: tuple[str, ...], wires: list[str]) -> None:
    done = run("chat", KEY.url, *options, stdin=b"")
    assert re.findall(r"^\* you are [0-9a-f]{64} on (\w+)$", done.stdout.decode(), re.MULTILINE) == wires


@pytest.mark.parametrize("reached_by", [(), ("--connect", "127.0.0.1:1"), ("--listen", ANY_PORT)])
def test_empty_input_waits_for_no_member(reached_by: tuple[str, ...]) -> None:
    """There is nothing to send, so this is no failure."""
    done = run("chat", KEY.url, *reached_by, stdin=b"")
    assert b"nobody was there" not in done.stderr
    assert done.returncode == 0


WITHOUT_PATIENCE = """
import sys
import peersockets_command, peersockets_trio.cli
sys.modules["peersockets_trio.cli.chat"].MEETING_TIME = 0
peersockets_command.main()
"""


async def test_input_without_a_line_yet_waits_for_no_member() -> None:
    """Such input may stay silent for a long time."""
    async with pipe("--listen", ANY_PORT, "--topic", "chat") as alice:
        process = await trio.lowlevel.open_process(
            (sys.executable, "-c", WITHOUT_PATIENCE, "chat", KEY.url, "--connect", alice.address),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        said = b""
        while b"joined" not in said:  # as it sees itself, too
            said += await process.stdout.receive_some()
        await process.stdin.send_all(b"hello\n")
        await process.stdin.aclose()
        assert await heard(alice, 1) == ["hello"]
        assert await process.wait() == 0
        await process.stdout.aclose()


def test_the_url_is_shown_on_request() -> None:
    done = run("chat", KEY.url, "--show-url", "--no-swarm", stdin=b"")
    assert done.stdout.startswith(f"* topic chat of {KEY.url}\n* you are ".encode())
    assert done.stdout.endswith(b"\n* nobody can ever be reached: give --swarm, --listen or --connect\n")


def test_a_line_beyond_the_bound() -> None:
    done = run("chat", KEY.url, "--no-swarm", stdin=b"x" * (33 * 1024 * 1024))
    assert "line of more than" in complaint(done, 0)


async def test_every_piped_line_is_sent() -> None:
    """Lines may be empty or begin with any character."""
    lines = ["one", "/var/log is full", "", "/quit", "//", "/to 1 nobody", "  "]
    async with pipe("--listen", ANY_PORT, "--topic", "chat") as alice, trio.open_nursery() as nursery:
        nursery.start_soon(_say, alice, lines)
        assert await heard(alice, len(lines)) == lines


@pytest.mark.slow
async def test_a_stopped_member_holds_up_no_other() -> None:
    """Lines wait for it. At the end they are counted, and the status shows it."""
    line = "x" * 1024 * 1024
    async with (
        pipe("--listen", ANY_PORT, "--topic", "chat") as alice,
        pipe("--listen", ANY_PORT, "--topic", "chat") as frozen,
    ):
        arguments = ("chat", KEY.url, "--connect", alice.address, "--connect", frozen.address)
        process = await trio.lowlevel.open_process(
            (*COMMAND, *arguments), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert process.stdin is not None
        assert process.stderr is not None
        for one in (alice, frozen):
            await one.hear_until("join")
        frozen.process.send_signal(signal.SIGSTOP)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(process.stdin.send_all, f"{line}\n".encode() * 10)
            assert await heard(alice, 10) == [line] * 10
        await process.stdin.aclose()
        assert await process.wait() == 1
        *_, said = b"".join([bytes(data) async for data in process.stderr]).decode().splitlines()
        assert re.fullmatch(
            r"peersockets: peer \d did not take everything.*: \d+ bytes are lost, including \d messages.*",
            said,
        )
        await process.stderr.aclose()
        frozen.process.send_signal(signal.SIGCONT)


async def test_each_line_of_a_message_is_printed_as_a_line() -> None:
    """Later lines are indented, and names in them are broken up, so none passes for another peer's."""
    async with pipe("--listen", ANY_PORT, "--topic", "chat") as alice:
        process = await trio.lowlevel.open_process(
            (*COMMAND, "chat", KEY.url, "--connect", alice.address),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        await alice.hear_until("join")
        await alice.say({"command": "broadcast", "topic": "chat", "text": "one\n7 (00000000): two\x1b[2J\n"})
        name = f"1 ({alice.ready['publicKeys']['hypercore11'][:8]})"
        shown = b""
        while not shown.endswith(b"\n    \n"):
            data = await process.stdout.receive_some()
            assert data
            shown += bytes(data)
        assert shown.endswith(f"\n{name}: one\n    7 \\x2800000000): two\\x1b[2J\n    \n".encode())
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
        await process.stdin.aclose()
        await process.stdout.aclose()


def test_a_reader_that_has_closed_the_output() -> None:
    """The chat ends quietly, though it has nothing to print."""
    first, second = subprocess.PIPE, subprocess.PIPE
    with subprocess.Popen((*COMMAND, "chat", KEY.url), stdin=first, stdout=second, stderr=second) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(TIME) == 1
        assert process.stderr.read() == b""


@pytest.mark.slow
def test_a_refused_connection() -> None:
    done = run("chat", KEY.url, "--connect", "127.0.0.1:1", stdin=b"hello")
    refused, nobody = done.stderr.decode().splitlines()
    assert refused.startswith("peersockets: 127.0.0.1:1: ")
    assert refused.endswith("; trying again")
    assert nobody == "peersockets: nobody was there within 10 seconds; nothing was said"
    assert done.returncode == 1


@pytest.mark.interop
@pytest.mark.parametrize("wire", WIRES)
async def test_a_real_peer_receives_piped_input(wire: WireName) -> None:
    async with open_real_drive(wire) as real, trio.open_nursery() as nursery:
        with trio.fail_after(TIME):
            nursery.start_soon(_say_to, real, b"hello\nfrom \xf0\x9f\x90\x8d\n/slash\n")
            for message in ("hello", "from 🐍", "/slash"):
                assert await real.topic.receive() == (real.our_key, message.encode())


async def _say_to(real: RealDrive, stdin: bytes) -> None:
    done = await trio.to_thread.run_sync(lambda: run("chat", *real.options, stdin=stdin))
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"* {real.name} joined on {real.wire}\n" in done.stdout.decode()
