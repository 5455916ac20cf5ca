"""Text for people: what comes from the network never reaches a terminal raw."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from prompt_toolkit.utils import get_cwidth

from peersockets_core import PeerEvent, PeerJoined

UNREACHABLE: Final = "nobody can ever be reached: give --swarm, --listen or --connect"
"""What a command says that waits for peers without a way to meet any."""
_SHOWN: Final = 2000
"""Characters of one message that are shown: a screen full, and no more of what a peer may send."""
_SHOWN_LINES: Final = 100
"""Lines of one message that are shown."""
_LONGEST_CHARACTER: Final = 4  # bytes, in UTF-8
_SHORT_KEY: Final = 4  # bytes

# A drive's URL, or a drive key or a seed that may have lost or gained some characters.
_KEY: Final = re.compile(
    r"(?:hyper|pear)://[^\s'\"]+|\b[0-9a-f]{32,}\b|\b[ybndrfg8ejkmcpqxot1uwisza345h769]{40,}\b", re.IGNORECASE
)
_INDENT: Final = "    "
# A peer's name, as `short_name` writes it.
_NAME: Final = re.compile(r"(\d\s*)\(([0-9a-fA-F]{8}\))")
# Control characters, line and paragraph separators, lone surrogates.
_ESCAPED_CATEGORIES: Final = frozenset({"Cc", "Zl", "Zp", "Cs"})
# What changes the direction of the text that follows. Other format characters stay: emoji and many scripts
# need joiners.
_BIDI_CLASSES: Final = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def printable(text: str) -> str:
    """Escape, visibly, every character that could move the cursor or turn the text around it.

    Whatever prints text calls it, once for each line; on what is printable already it changes nothing.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(character) if _is_unsafe(character) else character for character in text)


def without_keys(text: str) -> str:
    """Hide what looks like a secret key."""
    return _KEY.sub("(a key)", text)


def show_message_untrusted(message: bytes) -> list[str]:
    """The lines of a message, for people; raises nothing.

    What looks like the name of a peer is broken up: a terminal that is made narrower later on may begin a row
    with it.

    Bytes that are not UTF-8 are shown replaced; of a long message the beginning is shown, and its size told.
    """
    text = message[: (_SHOWN + 1) * _LONGEST_CHARACTER].decode(errors="replace")
    lines = text[:_SHOWN].replace("\r\n", "\n").split("\n")
    if len(text) > _SHOWN or len(lines) > _SHOWN_LINES:
        del lines[_SHOWN_LINES:]
        lines[-1] += f" ... ({len(message)} bytes)"
    return [_NAME.sub(r"\1\\x28\2", printable(line)) for line in lines]


def rows(line: str, columns: int) -> list[str]:
    """Cut a line into rows of a terminal, all but the first of them indented.

    So no row of a message looks like the beginning of another line, whatever it is filled up with.
    """
    cut, row, width = [], "", 0
    indent = _INDENT if columns > 2 * len(_INDENT) else ""
    for character in line:
        size = get_cwidth(character)
        if width + size > columns:
            cut.append(row)
            row, width = indent, len(indent)
        row += character
        width += size
    return [*cut, row]


def short_name(peer_id: int, public_key: bytes) -> str:
    """A peer's id and the beginning of its key."""
    return f"{peer_id} ({short_key(public_key)})"


def short_key(public_key: bytes) -> str:
    """The beginning of a key."""
    return public_key[:_SHORT_KEY].hex()


def outcome(event: PeerEvent) -> str:
    """What an event says of its peer."""
    if isinstance(event, PeerJoined):
        return f"joined on {event.wire}"
    reason = f": {event.reason}" if event.reason else ""
    unsent = f" ({event.unsent} bytes for it did not leave)" if event.unsent else ""
    return f"left{reason}{unsent}"


def _is_unsafe(character: str) -> bool:
    return (
        unicodedata.category(character) in _ESCAPED_CATEGORIES
        or unicodedata.bidirectional(character) in _BIDI_CLASSES
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
