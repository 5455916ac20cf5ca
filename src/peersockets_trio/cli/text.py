"""Text for people: what comes from the network never reaches a terminal raw."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from peersockets_core import PeerEvent, PeerJoined

UNREACHABLE: Final = "nobody can ever be reached: give --listen or --connect"
"""What a command says that waits for peers without a way to meet any."""
_SHOWN: Final = 2000
"""Characters of one message that are shown: a screen full, and no more of what a peer may send."""
_LONGEST_CHARACTER: Final = 4  # bytes, in UTF-8
_SHORT_KEY: Final = 4  # bytes

# A drive's URL, or a drive key or a seed that may have lost or gained some characters.
_KEY: Final = re.compile(
    r"(?:hyper|pear)://[^\s'\"]+|\b[0-9a-f]{32,}\b|\b[ybndrfg8ejkmcpqxot1uwisza345h769]{40,}\b", re.IGNORECASE
)
# Control characters, line and paragraph separators, lone surrogates.
_ESCAPED_CATEGORIES: Final = frozenset({"Cc", "Zl", "Zp", "Cs"})
# What changes the direction of the text that follows. Other format characters stay: emoji and many scripts
# need joiners.
_BIDI_CLASSES: Final = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def printable(text: str) -> str:
    """Escape, visibly, every character that could move the cursor or turn the text around it."""
    return "".join(_escape(character) if _is_unsafe(character) else character for character in text)


def without_keys(text: str) -> str:
    """Hide what looks like a secret key."""
    return _KEY.sub("(a key)", text)


def show_message_untrusted(message: bytes) -> list[str]:
    """The lines of a message, fit for a terminal; raises nothing.

    Bytes that are not UTF-8 are shown replaced; of a long message the beginning is shown, and its size told.
    """
    text = message[: (_SHOWN + 1) * _LONGEST_CHARACTER].decode(errors="replace")
    if len(text) > _SHOWN:
        text = f"{text[:_SHOWN]} ... ({len(message)} bytes)"
    return [printable(line) for line in text.replace("\r\n", "\n").split("\n")]


def short_name(peer_id: int, public_key: bytes) -> str:
    """A peer's id and the beginning of its key."""
    return f"{peer_id} ({public_key[:_SHORT_KEY].hex()})"


def outcome(event: PeerEvent) -> str:
    """What an event says of its peer."""
    if isinstance(event, PeerJoined):
        return f"joined on {event.wire}"
    reason = f": {printable(event.reason)}" if event.reason else ""
    unsent = f" ({event.unsent} bytes for it did not leave)" if event.unsent else ""
    return f"left{reason}{unsent}"


def _is_unsafe(character: str) -> bool:
    return (
        unicodedata.category(character) in _ESCAPED_CATEGORIES
        or unicodedata.bidirectional(character) in _BIDI_CLASSES
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
