"""The console of a chat whose input or output is no terminal. `test_terminal.py` tests the other one."""

from __future__ import annotations

import pytest

from peersockets_trio.cli.console import LineConsole, open_console
from peersockets_trio.cli.ending import Ending
from peersockets_trio.cli.lines import MAX_LINE


async def test_lines_go_to_stdout_and_errors_to_stderr(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    async with open_console(Ending()) as console:
        assert isinstance(console, LineConsole)
        assert not console.interactive
        console.write("*", "peer 1 has joined")
        console.write("1>", "bell \x07")
        console.complain("no such command")
    shown = capfdbinary.readouterr()
    assert shown.out.splitlines()[0] == b"* peer 1 has joined"
    assert b"\x07" not in shown.out
    assert b"no such command" in shown.err


async def test_a_line_beyond_the_bound_is_not_sent(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = iter([b"a", b"x" * (MAX_LINE + 1), b"\nlast \xff\n", b""])
    monkeypatch.setattr("peersockets_trio.cli.streams.read", lambda size: next(pieces))
    async with open_console(Ending()) as console:
        assert [line async for line in console.lines()] == ["last \udcff"]
    assert f"line of more than {MAX_LINE} bytes" in capfd.readouterr().err
