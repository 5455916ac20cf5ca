"""`peersockets_trio.cli.completing`: completion of commands, peers and topics with Tab."""

from __future__ import annotations

import pytest

from peersockets_trio.cli.completing import Completion, complete

COMMANDS = ("peers", "to", "topic", "help", "quit")
PEERS = {1: b"\xab" * 32, 12: b"\xac" * 32, 3: b"\x1f" * 32}
TOPICS = ("chat", "chess", "a b")
ONE, TWELVE, THREE = "1 (abababab)", "12 (acacacac)", "3 (1f1f1f1f)"


@pytest.mark.parametrize(
    ("typed", "text", "shown"),
    [
        # Nothing to complete
        ("", "", ()),
        ("hello", "hello", ()),
        ("//to", "//to", ()),
        (" /to", " /to", ()),
        ("/x", "/x", ()),
        ("/x 1", "/x 1", ()),
        ("/to 1 h", "/to 1 h", ()),
        ("/to 9", "/to 9", ()),
        # Commands
        ("/", "/", ("/peers", "/to", "/topic", "/help", "/quit")),
        ("/p", "/peers ", ()),
        ("/t", "/to", ()),
        ("/to", "/to", ("/to", "/topic")),
        ("/top", "/topic ", ()),
        # Peers
        ("/to ", "/to ", (ONE, TWELVE, THREE)),
        ("/to 3", "/to 3 ", ()),
        ("/to 1", "/to 1", (ONE, TWELVE)),
        ("/to  12", "/to  12 ", ()),
        ("/to a", "/to a", (ONE, TWELVE)),
        ("/to aC", "/to 12 ", ()),
        ("/disconnect ab", "/disconnect 1 ", ()),
        # Topics, whose names may have spaces
        ("/topic ", "/topic ", TOPICS),
        ("/topic c", "/topic ch", ()),
        ("/topic ch", "/topic ch", ("chat", "chess")),
        ("/topic a b", "/topic a b ", ()),
    ],
)
def test_completion(typed: str, text: str, shown: tuple[str, ...]) -> None:
    assert complete(typed, COMMANDS, PEERS, TOPICS) == Completion(text, shown)


def test_only_some_of_many_choices_are_shown() -> None:
    peers = {number: bytes(32) for number in range(1, 1001)}
    shown = complete("/to ", COMMANDS, peers, TOPICS).shown
    assert (len(shown), shown[0], shown[-1]) == (21, "1 (00000000)", "and 980 more")
