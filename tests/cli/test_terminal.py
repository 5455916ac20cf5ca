"""`peersockets chat` in a terminal: what its user sees and types, and the terminal afterwards."""

from __future__ import annotations

import base64
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from cli.real_drive import open_real_drive
from cli.support import ANY_PORT, COMMAND, KEY, Pipe, pipe
from cli.terminal import CTRL_C, CTRL_D, CTRL_Z, LEFT, TAB, UP, Terminal, open_terminal
from peersockets_core import WIRES, WireName
from peersockets_trio.cli.text import rows

PASTE = "\x1b[200~{}\x1b[201~"
BACKSPACE = "\x7f"


@asynccontextmanager
async def chatting(*options: str, columns: int = 100) -> AsyncIterator[tuple[Terminal, Pipe, str]]:
    """A chat in a terminal, a pipe that is the other member, and what the chat calls it."""
    async with pipe("--listen", ANY_PORT, "--topic", "chat", *options) as bob:
        arguments = ("chat", KEY.url, "--connect", bob.address, *options)
        async with open_terminal(*arguments, columns=columns) as terminal:
            name = f"1 ({bob.ready['publicKeys']['hypercore11'][:8]})"
            await terminal.until(f"* {name} joined on hypercore11")
            await bob.hear_until("join")
            yield terminal, bob, name


async def say(bob: Pipe, *messages: bytes, topic: str = "chat") -> None:
    for message in messages:
        encoded = base64.b64encode(message).decode()
        await bob.say({"command": "broadcast", "topic": topic, "message": encoded})


async def heard(bob: Pipe) -> str:
    text: str = (await bob.hear_until("message"))["text"]
    return text


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


async def test_wrong_commands_are_reported_and_it_goes_on() -> None:
    """In a terminal that cannot be drawn on they are commands, too: somebody types them."""
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


# Typing


async def test_the_input_line_survives_what_comes_in() -> None:
    async with chatting() as (terminal, bob, name):
        await terminal.type("half a li")
        await terminal.until("> half a li")
        for number in range(3):
            await say(bob, f"message {number}".encode())
            await terminal.until(f"{name}: message {number}\n> half a li")
        await terminal.say("ne")
        assert await heard(bob) == "half a line"


async def test_a_flood_does_not_stop_the_typing() -> None:
    count = 5000
    async with chatting() as (terminal, bob, name), trio.open_nursery() as nursery:
        nursery.start_soon(say, bob, *(f"number {number}.".encode() for number in range(count)))
        await terminal.until(f"{name}: number 100.")
        await terminal.say("stop")
        await terminal.until_raw(f"number {count - 1}.".encode())
        assert await heard(bob) == "stop"
        shown = [line for line in terminal.lines if ": number " in line]
        assert shown == [f"{name}: number {number}." for number in range(count)]


async def test_editing() -> None:
    async with chatting() as (terminal, bob, _):
        await terminal.say("hllo" + LEFT * 3 + "e")
        assert await heard(bob) == "hello"
        await terminal.say(UP + "!")
        assert await heard(bob) == "hello!"
        await terminal.say(UP * 2)
        assert await heard(bob) == "hello"
        await terminal.say("日本語" + LEFT + BACKSPACE + "🎉 e\u0301")
        assert await heard(bob) == "日🎉 e\u0301語"


async def test_long_lines() -> None:
    line = "".join(f"{number:04}" for number in range(200))
    async with chatting(columns=50) as (terminal, bob, name):
        await terminal.type(line)
        await terminal.until(f"> {line}", wrapped=True)
        await say(bob, line.encode())
        shown = "".join(rows(f"{name}: {line}", 50))
        await terminal.until(f"{shown}> {line}", wrapped=True)
        await terminal.say(LEFT * len(line) + "x")
        assert await heard(bob) == f"x{line}"


@pytest.mark.parametrize("columns", [40, 60])
async def test_no_row_of_a_message_looks_like_the_line_of_another_peer(columns: int) -> None:
    """However it is filled up, and also after the terminal has been made narrower."""
    other = "7 (0123abcd): I am somebody else"
    async with chatting(columns=columns) as (terminal, bob, name):
        first = " " * (columns - len(f"{name}: "))
        for filling in (first, first + "x" * (columns - 4), "x" * (columns // 2)):
            await say(bob, f"{filling}{other}".encode())
        await say(bob, b"* 7 (0123abcd) left")
        await terminal.until("left")
        terminal.resize(columns - 10, 24)
        await say(bob, ("x" * (columns - 10 - len(f"{name}: ")) + other).encode())
        await say(bob, b"the end")
        await terminal.until("the end")
        beginnings = [line for line in terminal.lines if line]
        for beginning in beginnings:
            assert beginning.startswith((name[:5], "    ", "* ", ">")), beginnings
        assert not [line for line in terminal.lines if "(0123abcd)" in line]


async def test_pasted_lines_are_one_message() -> None:
    async with chatting() as (terminal, bob, name):
        await terminal.type(PASTE.format("one\r\ntwo\n/quit"))
        await terminal.until("/quit")
        await terminal.say("")
        assert await heard(bob) == "one\ntwo\n/quit"
        await say(bob, b"three\nfour")
        await terminal.until(f"{name}: three\n    four\n")


async def test_pasted_control_characters_are_said_and_shown_harmless() -> None:
    async with chatting() as (terminal, bob, _):
        await terminal.type(PASTE.format("a\x1b[31mb\x07c\u202ed"))
        await terminal.settle("> a")
        await terminal.say("")
        assert await heard(bob) == "a\x1b[31mb\x07c\u202ed"
        await terminal.until(r"> a\x1b[31mb\x07c\u202ed")
        for raw in (b"\x1b[31m", b"\x07"):
            assert raw not in terminal.raw


async def test_lines_typed_ahead_are_messages_each() -> None:
    """As a terminal without bracketed paste sends what is pasted."""
    async with chatting() as (terminal, bob, _):
        await terminal.type("one\rtwo\rthree\r")
        assert [await heard(bob) for _ in range(3)] == ["one", "two", "three"]


async def test_another_size() -> None:
    async with chatting(columns=100) as (terminal, bob, name):
        await terminal.type("x" * 60)
        await terminal.until("x" * 60)
        terminal.resize(40, 10)
        await say(bob, b"narrow")
        await terminal.until(f"{name}: narrow")
        await terminal.say("y")
        assert await heard(bob) == "x" * 60 + "y"
        terminal.resize(120, 30)
        await say(bob, b"wide")
        await terminal.until(f"{name}: wide\n>")


SIZES = [(40, 24), (100, 24), (30, 12), (120, 30), (7, 24), (60, 5), (100, 24)]
HALF = "half_a_line,_which_is_long_enough_for_several_rows_of_a_narrow_terminal:" + "0123456789" * 2


@pytest.mark.parametrize("breaks", [False, True], ids=["cuts", "breaks"])
async def test_no_size_leaves_a_second_input_line(breaks: bool) -> None:
    """Whether the terminal cuts rows that are too long, or breaks them; the cursor is within the line."""
    async with chatting(columns=100) as (terminal, bob, name):
        await say(bob, "日本語".encode() * 20)
        await terminal.until("日本語")
        await terminal.type(HALF)
        await terminal.settle(HALF)
        await terminal.type(LEFT * 30)
        while terminal.screen.cursor.x != len("> ") + len(HALF) - 30:
            await terminal.settle(HALF, since=len(terminal.raw))
        for columns, lines in SIZES:
            before = len(terminal.raw)
            terminal.resize(columns, lines, breaks=breaks)
            await terminal.settle(since=before)
            shown = [line.rstrip() for line in terminal.screen.display]
            assert "".join(shown).endswith(HALF), shown
            assert len([line for line in shown if line.startswith(">")]) == 1, shown
            assert len([line for line in shown if line.startswith(name[:5])]) <= 2, shown
        await say(bob, b"the end")
        await terminal.settle(f"{name}: the end")
        await terminal.say("x")
        assert await heard(bob) == HALF[:-30] + "x" + HALF[-30:]


async def test_what_was_written_before_the_chat_stays_when_the_terminal_becomes_narrower() -> None:
    command = ("/bin/sh", "-c", 'echo before; exec "$@"', "sh", *COMMAND)
    async with open_terminal("chat", KEY.url, "--listen", ANY_PORT, columns=100, command=command) as terminal:
        await terminal.until("/help")
        await terminal.type(HALF)
        await terminal.settle(HALF)
        before = len(terminal.raw)
        terminal.resize(50, 24, breaks=True)
        await terminal.settle(since=before)
        assert terminal.lines[0] == "before"
        assert terminal.lines[1].startswith("* topic chat")
        assert "".join(terminal.lines).count("* topic") == "".join(terminal.lines).count(">") == 1


# Completion and suspension


async def test_tab_completes_commands_and_peers() -> None:
    async with chatting("--topic", "games", "--topic", "chat") as (terminal, bob, name):
        await terminal.type("/to" + TAB)
        await terminal.until("* /to  /topic")
        await terminal.type(TAB + "p" + TAB + "ch" + TAB)
        await terminal.until("games> /topic chat")
        await terminal.say("")
        await terminal.until("\nchat>")
        await terminal.say("/t" + TAB + " " + name[3:7] + TAB + "only you")
        event = await bob.hear_until("message")
        assert (event["topic"], event["text"]) == ("chat", "only you")
        await terminal.say("a" + TAB + "b")
        assert await heard(bob) == "ab"


async def test_the_shell_stops_and_continues_it() -> None:
    """The shell has the terminal as it was, and the half-typed line is there again afterwards."""
    async with (
        pipe("--listen", ANY_PORT, "--topic", "chat") as bob,
        open_terminal(
            command=("/usr/bin/env", "PS1=shell$ ", "ENV=", "/bin/sh", "-i"), columns=200
        ) as terminal,
    ):
        await terminal.say("stty -g; echo done")
        await terminal.until("\ndone\n")
        modes = next(line.removeprefix("shell$ ") for line in terminal.lines if ":" in line)
        await terminal.say(shlex.join((*COMMAND, "chat", KEY.url, "--connect", bob.address)))
        await terminal.until(") joined on hypercore11")
        await bob.hear_until("join")
        await terminal.type("half a line" + LEFT)
        await terminal.settle("\n> half a line")
        for _ in range(2):
            terminal.raw.clear()
            await terminal.type(CTRL_Z)
            await terminal.until_raw(b"Stopped")
            assert not [line for line in terminal.lines if line.startswith("> ")]
            await terminal.say("stty -g")
            await terminal.until_raw(f"{modes}\r\n".encode())
            await say(bob, b"meanwhile")
            await terminal.say("fg")
            await terminal.until_raw(b"meanwhile")
            await terminal.settle("\n> half a line")
        await terminal.say("!")
        assert await heard(bob) == "half a lin!e"
        terminal.raw.clear()
        await terminal.type(CTRL_D)
        await terminal.until_raw(b"shell$ ")
        await terminal.say("stty -g")
        await terminal.until_raw(f"{modes}\r\n".encode())


# Hostile peers


async def test_nothing_from_the_network_reaches_the_terminal_raw() -> None:
    async with chatting() as (terminal, bob, name):
        await say(bob, b"\x1b[31mred\x1b]0;title\x07\x9b2J\r\x08\x00\xc2\x9b5m", b"caf\xe9")
        await terminal.until(f"{name}: caf\ufffd")
        assert rf"{name}: \x1b[31mred\x1b]0;title\x07{chr(0xFFFD)}2J\r\x08\x00\x9b5m" in terminal.lines
        for raw in (b"\x1b[31m", b"\x1b]0;title", b"\x07", b"\x9b", b"\x00"):
            assert raw not in terminal.raw


async def test_a_giant_message_is_cut() -> None:
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
    """It is as it was, and the peers see us go, whatever ends the chat."""
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


async def test_what_was_typed_last_has_left() -> None:
    async with chatting() as (terminal, bob, _):
        await terminal.type("bye\r" + CTRL_D)
        assert await terminal.finish() == 0
        assert await heard(bob) == "bye"


async def test_a_terminal_that_goes_away() -> None:
    """The signal may come first, or the failure to write there."""
    async with chatting() as (terminal, bob, _):
        assert await terminal.hang_up() in (129, 1)
        assert (await bob.hear_until("leave"))["peerId"] == 1


@pytest.mark.parametrize(("key", "status"), [(CTRL_C, 130), (CTRL_D, 0)])
async def test_a_terminal_that_cannot_be_drawn_on(key: str, status: int) -> None:
    """Such as that of an editor: it is a line in, a line out."""
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
    """Earlier output is shown, and the error below that."""
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
