"""`peersockets chat` in a terminal: what the user types, completes and pastes, and the suspended chat."""

from __future__ import annotations

import shlex

import trio

from cli.chatting import chatting, heard, say
from cli.support import ANY_PORT, COMMAND, KEY, pipe
from cli.terminal import CTRL_D, CTRL_Z, LEFT, TAB, UP, open_terminal

PASTE = "\x1b[200~{}\x1b[201~"
BACKSPACE = "\x7f"


async def test_the_input_line_survives_incoming_messages() -> None:
    async with chatting() as (terminal, bob, name):
        await terminal.type("half a li")
        await terminal.until("> half a li")
        for number in range(3):
            await say(bob, f"message {number}".encode())
            await terminal.until(f"{name}: message {number}\n> half a li")
        await terminal.say("ne")
        assert await heard(bob) == "half a line"


async def test_a_flood_does_not_stop_typing() -> None:
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


async def test_pasted_lines_are_one_message() -> None:
    async with chatting() as (terminal, bob, name):
        await terminal.type(PASTE.format("one\r\ntwo\n/quit"))
        await terminal.until("/quit")
        await terminal.say("")
        assert await heard(bob) == "one\ntwo\n/quit"
        await say(bob, b"three\nfour")
        await terminal.until(f"{name}: three\n    four\n")


async def test_pasted_control_characters_are_sent_and_shown_harmless() -> None:
    async with chatting() as (terminal, bob, _):
        await terminal.type(PASTE.format("a\x1b[31mb\x07c\u202ed"))
        await terminal.settle("> a")
        await terminal.say("")
        assert await heard(bob) == "a\x1b[31mb\x07c\u202ed"
        await terminal.until(r"> a\x1b[31mb\x07c\u202ed")
        for raw in (b"\x1b[31m", b"\x07"):
            assert raw not in terminal.raw


async def test_each_line_typed_ahead_is_a_message() -> None:
    """A terminal without bracketed paste sends pasted text like this."""
    async with chatting() as (terminal, bob, _):
        await terminal.type("one\rtwo\rthree\r")
        assert [await heard(bob) for _ in range(3)] == ["one", "two", "three"]


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
    """The shell gets the terminal as it was, and the half-typed line is back afterwards."""
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
