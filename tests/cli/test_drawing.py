"""`peersockets chat` in a terminal: the lines above the input line, at every width."""

from __future__ import annotations

import pytest

from cli.chatting import chatting, heard, say
from cli.support import ANY_PORT, COMMAND, KEY
from cli.terminal import LEFT, open_terminal
from peersockets_trio.cli.text import rows


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
    """This holds for any padding, and after the terminal has been made narrower."""
    other = "7 (0123abcd): I am somebody else"
    async with chatting(columns=columns) as (terminal, bob, name):
        first = " " * (columns - len(f"{name}: "))
        for filling in (first, first + "x" * (columns - 4), "x" * (columns // 2)):
            await say(bob, f"{filling}{other}".encode())
        await say(bob, b"* 7 (0123abcd) left")
        await terminal.settle("left")  # drawings on their way still have the old width
        terminal.resize(columns - 10, 24)
        await say(bob, ("x" * (columns - 10 - len(f"{name}: ")) + other).encode())
        await say(bob, b"the end")
        await terminal.settle("the end")
        beginnings = [line for line in terminal.lines if line]
        for beginning in beginnings:
            assert beginning.startswith((name[:5], "    ", "* ", ">")), beginnings
        assert not [line for line in terminal.lines if "(0123abcd)" in line]


async def test_a_new_window_size() -> None:
    async with chatting(columns=100) as (terminal, bob, name):
        await terminal.type("x" * 60)
        await terminal.settle("x" * 60)
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
    """The terminal may cut long rows or wrap them. The cursor stays within the line."""
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


async def test_earlier_output_stays_when_the_terminal_becomes_narrower() -> None:
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
