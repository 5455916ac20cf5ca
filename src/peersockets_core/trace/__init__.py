"""Recorded sessions: they prove that two implementations send the same bytes, and serve as test vectors for
further implementations.

`read` and `write` implement the file format (docs/traces.md), `replay` plays a session again, `transcript`
decrypts a session, and `Recording` records one of our own.
"""

from .entries import (
    ClosedReport,
    CloseDrive,
    CloseReport,
    Command,
    Comparison,
    Digest,
    End,
    Ended,
    Entry,
    HandshakeReport,
    Keepalive,
    Kill,
    MessageReport,
    OpenDrive,
    OpenReport,
    Received,
    Register,
    Report,
    Secrets,
    Send,
    Sent,
    Side,
    Trace,
    Unregister,
)
from .format import VERSION, read, write
from .player import Player
from .recording import Recording, draw_secrets
from .replay import Cut, replay, said
from .transcript import Message, Transcript

__all__ = [
    "VERSION",
    "CloseDrive",
    "CloseReport",
    "ClosedReport",
    "Command",
    "Comparison",
    "Cut",
    "Digest",
    "End",
    "Ended",
    "Entry",
    "HandshakeReport",
    "Keepalive",
    "Kill",
    "Message",
    "MessageReport",
    "OpenDrive",
    "OpenReport",
    "Player",
    "Received",
    "Recording",
    "Register",
    "Report",
    "Secrets",
    "Send",
    "Sent",
    "Side",
    "Trace",
    "Transcript",
    "Unregister",
    "draw_secrets",
    "read",
    "replay",
    "said",
    "write",
]
