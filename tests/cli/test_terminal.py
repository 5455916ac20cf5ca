"""`peersockets chat` in a terminal: what its user sees and types, and the terminal afterwards."""

from __future__ import annotations

import signal
import sys

import pytest

from cli.chatting import chatting, heard, say
from cli.real_drive import open_real_drive
from cli.support import ANY_PORT, KEY, pipe
from cli.terminal import CTRL_C, CTRL_D, open_terminal
from peersockets_core import WIRES, WireName
from peersockets_trio.cli.text import rows

# Talking


async def test_a_conversation() -> None:
    async with chatting() as (terminal, bob, name):
        await terminal.say("hello, who is there?")
        assert await heard(bob) == "hello, who is there?"
        await say(bob, b"it is Bob")
        await terminal.until(f"{name}: it is Bob")
        await terminal.say("/to 1 only you")
        assert await heard(bob) == "only you"
        await terminal.say("//slash")
        assert await heard(bob) == "/slash"
        await bob.finish()
        await terminal.until(f"* {name} left")
        assert [line for line in terminal.lines if line.startswith(("> ", "1"))] == [
            "> hello, who is there?",
            f"{name}: it is Bob",
            "> /to 1 only you",
            "> //slash",
        ]
        await terminal.say("anybody?")
        await terminal.until("! no peer is here to receive this")


async def test_commands() -> None:
    async with chatting() as (terminal, bob, _):
        await terminal.say("/peers")
        await terminal.until(f"1 {bob.ready['publicKeys']['hypercore11']} on hypercore11"[:90])
        await terminal.say("/help")
        await terminal.until("leave, as Ctrl-D does")
        await terminal.say("/dance")
        await terminal.until("! no command /dance; /help shows the commands")
        await terminal.say("/to 9 hello")
        await terminal.until("! peer_id 9 is not a peer of this node")
        await terminal.say("/quit")
        assert await terminal.finish() == 0


WRONG = [
    ("/dance", "no command /dance; /help shows"),
    ("/to", "usage: /to ID TEXT"),
    ("/to 1", "usage: /to ID TEXT"),
    ("/to me hello", "usage: /to ID TEXT"),
    ("/to \u0661 hello", "usage: /to ID TEXT"),
    ("/to " + "9" * 50 + " hello", "usage: /to ID TEXT"),
    ("/to 7 hello", "peer_id 7 is not a peer"),
    ("/topic other", "with one of chat"),
    ("/disconnect", "usage: /disconnect ID"),
    ("/disconnect 1 2", "usage: /disconnect ID"),
    ("/disconnect 7", "peer_id 7 is not a peer"),
]


async def test_wrong_commands_are_reported_and_the_chat_continues() -> None:
    """They are commands in a terminal that cannot be drawn on, too, since a user types them."""
    async with open_terminal("chat", KEY.url, kind="dumb", columns=200) as terminal:
        await terminal.until("/help shows the commands")
        for line, text in WRONG:
            await terminal.say(line)
            await terminal.until(f"{text}")
        await terminal.say("/peers")
        await terminal.until("* no other peer is here")
        await terminal.say("  ")
        await terminal.say("/quit")
        assert await terminal.finish() == 0


async def test_a_peer_is_disconnected() -> None:
    async with (
        pipe("--listen", ANY_PORT) as bob,
        open_terminal("chat", KEY.url, "--listen", ANY_PORT) as terminal,
    ):
        await terminal.until("/help")
        address = terminal.text.partition("listening on ")[2].split()[0]
        await bob.say({"command": "connect", "address": address})
        await bob.hear_until("join")
        await terminal.until(") joined on")
        await terminal.say("/disconnect 1")
        await terminal.until(") left: disconnected here")
        await bob.hear_until("leave")


async def test_several_topics() -> None:
    async with chatting("--topic", "games", "--topic", "chat") as (terminal, bob, name):
        await terminal.until("\ngames>")
        await terminal.say("chess?")
        event = await bob.hear_until("message")
        assert (event["topic"], event["text"]) == ("games", "chess?")
        await terminal.say("/topic chat")
        await terminal.until("\nchat>")
        await terminal.say("anyone?")
        event = await bob.hear_until("message")
        assert (event["topic"], event["text"]) == ("chat", "anyone?")
        await say(bob, b"go", topic="games")
        await terminal.until(f"{name} games: go")
        await terminal.say("/topic war")
        await terminal.until("! usage: /topic NAME, with one of games, chat")


# Hostile peers


async def test_nothing_from_the_network_reaches_the_terminal_raw() -> None:
    async with chatting() as (terminal, bob, name):
        await say(bob, b"\x1b[31mred\x1b]0;title\x07\x9b2J\r\x08\x00\xc2\x9b5m", b"caf\xe9")
        await terminal.until(f"{name}: caf\ufffd")
        assert rf"{name}: \x1b[31mred\x1b]0;title\x07{chr(0xFFFD)}2J\r\x08\x00\x9b5m" in terminal.lines
        for raw in (b"\x1b[31m", b"\x1b]0;title", b"\x07", b"\x9b", b"\x00"):
            assert raw not in terminal.raw


async def test_a_huge_message_is_cut() -> None:
    async with chatting() as (terminal, bob, name):
        await say(bob, b"x" * 1024 * 1024)
        await terminal.until(rows(f"{name}: {'x' * 2000} ... (1048576 bytes)", 100)[-1])
        assert len(terminal.raw) < 50_000


# Leaving


@pytest.mark.parametrize(
    ("how", "status"),
    [
        (CTRL_C, 130),
        (CTRL_D, 0),
        ("/quit\r", 0),
        (signal.SIGTERM, 0),
        (signal.SIGHUP, 129),
        (signal.SIGINT, 130),
    ],
)
async def test_the_terminal_afterwards(how: str | signal.Signals, status: int) -> None:
    """The terminal is as it was, and the peers see us leave, whatever ends the chat."""
    async with chatting() as (terminal, bob, _):
        assert terminal.settings != terminal.before
        if isinstance(how, signal.Signals):
            await terminal.type("half a line")
            await terminal.until("half a line")
            terminal.process.send_signal(how)
        else:
            await terminal.type(how)
        assert await terminal.finish() == status
        assert (await bob.hear_until("leave"))["peerId"] == 1


async def test_the_last_typed_line_is_sent() -> None:
    async with chatting() as (terminal, bob, _):
        await terminal.type("bye\r" + CTRL_D)
        assert await terminal.finish() == 0
        assert await heard(bob) == "bye"


async def test_a_terminal_that_goes_away() -> None:
    """The signal may come first, or a write may fail first."""
    async with chatting() as (terminal, bob, _):
        assert await terminal.hang_up() in (129, 1)
        assert (await bob.hear_until("leave"))["peerId"] == 1


@pytest.mark.parametrize(("key", "status"), [(CTRL_C, 130), (CTRL_D, 0)])
async def test_a_terminal_that_cannot_be_drawn_on(key: str, status: int) -> None:
    """The terminal of an editor is an example: the chat reads and prints whole lines."""
    async with pipe("--listen", ANY_PORT, "--topic", "chat") as bob:
        arguments = ("chat", KEY.url, "--connect", bob.address)
        async with open_terminal(*arguments, kind="dumb") as terminal:
            await terminal.until("joined on hypercore11")
            await terminal.say("hello")
            assert await heard(bob) == "hello"
            await say(bob, b"hello yourself")
            await terminal.until(": hello yourself")
            assert b"\x1b" not in terminal.raw
            await terminal.type(key)
            assert await terminal.finish() == status


FAILING = """
from peersockets_trio.cli.console import open_console
from peersockets_trio.cli.ending import run

async def main(ending):
    async with open_console(ending) as console:
        console.write("*", "soon")
        async for line in console.lines():
            console.write("*", "the last words")
            raise OSError("it broke")

run(main)
"""


async def test_the_terminal_after_an_error() -> None:
    """Earlier output is shown, and the error below it."""
    async with open_terminal(command=(sys.executable, "-c", FAILING)) as terminal:
        await terminal.until("* soon\n>")
        await terminal.type("now\r")
        assert await terminal.finish() == 1
        assert terminal.text.index("* the last words") < terminal.text.index("OSError: it broke")


async def test_the_log_is_shown_above_the_input() -> None:
    async with open_terminal("-v", "chat", KEY.url, "--listen", ANY_PORT, columns=200) as terminal:
        await terminal.until("/help shows the commands\n>")
        address = terminal.text.partition("listening on ")[2].split()[0]
        await terminal.type("half a line")
        async with pipe("--connect", address):
            await terminal.until("INFO connected: 127.0.0.1")
            await terminal.until("joined on hypercore11")
            await terminal.until("\n> half a line")
        await terminal.type(CTRL_C)
        assert await terminal.finish() == 130


@pytest.mark.interop
@pytest.mark.parametrize("wire", WIRES)
async def test_with_a_real_peer(wire: WireName) -> None:
    async with open_real_drive(wire) as real, open_terminal("chat", *real.options) as terminal:
        await terminal.until(f"* {real.name} joined on {wire}")
        await terminal.say("grüß dich 🎉")
        assert await real.topic.receive() == (real.our_key, "grüß dich 🎉".encode())
        await real.topic.send(real.our_key, b"hello\x1b[2J")
        await terminal.until(rf"{real.name}: hello\x1b[2J")
        await real.peer.call("disconnect")
        await terminal.until(f"* {real.name} left")
        await terminal.type(CTRL_D)
        assert await terminal.finish() == 0
