"""`peersockets_trio.cli.text`: what comes from the network never reaches a terminal raw."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peersockets_core import PeerJoined, PeerLeft
from peersockets_trio.cli.text import outcome, printable, short_name, show_message_untrusted

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
        ("🎉".encode() * 2001, ["🎉" * 2000 + " ... (8004 bytes)"]),
    ],
)
def test_messages(message: bytes, lines: list[str]) -> None:
    assert show_message_untrusted(message) == lines


def test_a_giant_message_is_cut() -> None:
    """In characters that are escaped in the longest way, too."""
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
    assert outcome(left) == r"left: reset\n (5 bytes for it did not leave)"
