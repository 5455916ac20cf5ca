"""`peersockets_trio.cli.text`: nothing from the network reaches a terminal raw."""

from __future__ import annotations

import ast
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from peersockets_core import PeerJoined, PeerLeft
from peersockets_trio.cli import text as text_module
from peersockets_trio.cli.text import outcome, printable, rows, short_name, show_message_untrusted

BELL, ESC, CSI, DEL = "\x07", "\x1b", "\x9b", "\x7f"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("grüß dich 日本語 🎉", "grüß dich 日本語 🎉"),
        ("👩\u200d👩\u200d👧 e\u0301", "👩\u200d👩\u200d👧 e\u0301"),
        (f"{ESC}[2Jgone", r"\x1b[2Jgone"),
        (f"{ESC}]0;title{BELL}", r"\x1b]0;title\x07"),
        (f"{CSI}31m", r"\x9b31m"),
        (f"a\rb\bc{DEL}\0\t", r"a\rb\x08c\x7f\x00\t"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("\u202eevil\u202c \u2066x\u2069", r"\u202eevil\u202c \u2066x\u2069"),
        ("\udfff", r"\udfff"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.binary(max_size=200))
def test_no_bytes_move_the_cursor(message: bytes) -> None:
    for line in show_message_untrusted(message):
        assert not any(unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs") for character in line)


@given(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=100))
def test_ordinary_text_is_shown_as_it_is(text: str) -> None:
    assert show_message_untrusted(text.encode()) == [text]


@pytest.mark.parametrize(
    ("message", "lines"),
    [
        (b"", [""]),
        (b"one\ntwo\r\nthree", ["one", "two", "three"]),
        (b"ends\n", ["ends", ""]),
        (b"caf\xe9 \xff\xfe", ["caf\ufffd \ufffd\ufffd"]),
        (b"x" * 2000, ["x" * 2000]),
        (b"x" * 2001, ["x" * 2000 + " ... (2001 bytes)"]),
        ("ü".encode() * 2000, ["ü" * 2000]),
        (b"x\n" * 99, ["x"] * 99 + [""]),
        (b"x\r\n" * 100, ["x"] * 99 + ["x ... (300 bytes)"]),
        ("🎉".encode() * 2001, ["🎉" * 2000 + " ... (8004 bytes)"]),
    ],
)
def test_messages(message: bytes, lines: list[str]) -> None:
    assert show_message_untrusted(message) == lines


def test_a_huge_message_is_cut() -> None:
    """This includes characters with the longest escapes."""
    (line,) = show_message_untrusted(b"\x1b" * 8_000_000)
    assert line.endswith(" ... (8000000 bytes)")
    assert len(line) < 10_000


def test_names() -> None:
    assert short_name(2, bytes.fromhex("a1b2c3d4") + bytes(28)) == "2 (a1b2c3d4)"


def test_outcomes() -> None:
    key = bytes(32)
    assert outcome(PeerJoined(1, key, "hypercore9")) == "joined on hypercore9"
    assert outcome(PeerLeft(1, key, "hypercore9")) == "left"
    left = PeerLeft(1, key, "hypercore9", "reset\n", 5)
    assert printable(outcome(left)) == r"left: reset\n (5 bytes for it were not sent)"


@given(st.text(), st.integers(1, 200))
def test_printable_text_stays_the_same(text: str, columns: int) -> None:
    once = printable(text)
    assert printable(once) == once
    cut = rows(once, columns)
    indent = "    " if columns > 8 else ""
    assert all(row.startswith(indent) for row in cut[1:])
    assert cut[0] + "".join(row.removeprefix(indent) for row in cut[1:]) == once
    if columns > 9:
        assert all(get_cwidth(row) <= columns for row in cut)


@given(st.text("0 ():7abcdef01\u0661"), st.integers(2, 40))
def test_no_row_begins_like_another_peers_line(text: str, columns: int) -> None:
    """This holds even if the terminal itself wraps the rows again."""
    name = re.compile(r"\d+ \([0-9a-f]{8}\)")
    for line in show_message_untrusted((text + " 7 (0123abcd): hello").encode()):
        assert not name.search(line)


CLI = Path(text_module.__file__).parent
PRINTERS = {"streams.py", "log.py", "completion.py", "__init__.py"}
"""Modules that make lines printable, and modules whose output never comes from a remote or a file."""


@pytest.mark.parametrize("path", sorted(CLI.glob("*.py")), ids=lambda path: path.name)
def test_no_other_module_prints(path: Path) -> None:
    tree = ast.walk(ast.parse(path.read_text()))
    calls = {ast.unparse(node.func) for node in tree if isinstance(node, ast.Call)}
    printing = {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"} & calls
    assert not printing or path.name in PRINTERS
