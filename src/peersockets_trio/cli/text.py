"""Text for people: text from the network never reaches a terminal raw."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from peersockets_core import PeerEvent, PeerJoined

UNREACHABLE: Final = "nobody can ever be reached: give --swarm, --listen or --connect"
"""The message of a command that waits for peers without a way to meet any."""
_SHOWN: Final = 2000
"""The most characters of a message that are shown: about a screen full."""
_SHOWN_LINES: Final = 100
"""The most lines of a message that are shown."""
_LONGEST_CHARACTER: Final = 4  # bytes, in UTF-8
_SHORT_KEY: Final = 4  # bytes

# A drive's URL, but not the placeholder hyper://KEY of our own texts; or a drive key or seed that may have
# lost or gained some characters.
_KEY: Final = re.compile(
    r"(?:hyper|pear)://(?!KEY(?:[\s)]|$))[^\s'\"]+|\b[0-9a-f]{32,}\b|\b[ybndrfg8ejkmcpqxot1uwisza345h769]{40,}\b",
    re.IGNORECASE,
)
_INDENT: Final = "    "
# A peer's name, as `short_name` writes it.
_NAME: Final = re.compile(r"(\d\s*)\(([0-9a-fA-F]{8}\))")
# Control characters, line and paragraph separators, lone surrogates.
_ESCAPED_CATEGORIES: Final = frozenset({"Cc", "Zl", "Zp", "Cs"})
# Characters that change the direction of the text after them. Other format characters stay, because emoji
# and many scripts need joiners.
_BIDI_CLASSES: Final = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def printable(text: str) -> str:
    """Escape every character that could move the cursor or change the direction of text, so that it shows.

    Every function that prints text calls this once for each line. It does not change printable text.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(character) if _is_unsafe(character) else character for character in text)


def without_keys(text: str) -> str:
    """Replace everything that looks like a secret key."""
    return _KEY.sub("(a key)", text)


def show_message_untrusted(message: bytes) -> list[str]:
    """Return the lines of a message for people; raises nothing.

    Text that looks like the name of a peer is broken up, because a terminal that becomes narrower later could
    begin a row with it.

    Bytes that are not UTF-8 are replaced. A long message is cut, and its size is shown.
    """
    text = message[: (_SHOWN + 1) * _LONGEST_CHARACTER].decode(errors="replace")
    lines = text[:_SHOWN].replace("\r\n", "\n").split("\n")
    if len(text) > _SHOWN or len(lines) > _SHOWN_LINES:
        del lines[_SHOWN_LINES:]
        lines[-1] += f" ... ({len(message)} bytes)"
    return [_NAME.sub(r"\1\\x28\2", printable(line)) for line in lines]


def rows(line: str, columns: int, indent: str = _INDENT) -> list[str]:
    """Cut a line into rows of a terminal, and indent all but the first.

    The indentation keeps a row of a message from looking like the beginning of another line.
    """
    from prompt_toolkit.utils import get_cwidth  # only terminals need it, and it takes 7 MiB

    cut, row, width = [], "", 0
    indent = indent if columns > 2 * len(indent) else ""
    for character in line:
        size = get_cwidth(character)
        if width + size > columns:
            cut.append(row)
            row, width = indent, len(indent)
        row += character
        width += size
    return [*cut, row]


def short_name(peer_id: int, public_key: bytes) -> str:
    """Return a peer's id and the beginning of its key."""
    return f"{peer_id} ({short_key(public_key)})"


def short_key(public_key: bytes) -> str:
    """Return the beginning of a key."""
    return public_key[:_SHORT_KEY].hex()


def outcome(event: PeerEvent) -> str:
    """Return the text of an event, without the name of its peer."""
    if isinstance(event, PeerJoined):
        return f"joined on {event.wire}"
    reason = f": {event.reason}" if event.reason else ""
    unsent = f" ({event.unsent} bytes for it were not sent)" if event.unsent else ""
    return f"left{reason}{unsent}"


def _is_unsafe(character: str) -> bool:
    return (
        unicodedata.category(character) in _ESCAPED_CATEGORIES
        or unicodedata.bidirectional(character) in _BIDI_CLASSES
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
