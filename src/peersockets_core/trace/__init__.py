"""Recorded sessions: they prove that two implementations send the same bytes, and serve as test vectors for
further implementations.

`read` and `write` implement the file format (docs/traces.md), `replay` plays a session again, `transcript`
decrypts a session, and `Recording` records one of our own.
"""

from .entries import (
    CloseCommand,
    ClosedReport,
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
    OpenCommand,
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
from .replay import Cutter, replay, said
from .transcript import Transcript, WireMessage

__all__ = [
    "VERSION",
    "CloseCommand",
    "CloseReport",
    "ClosedReport",
    "Command",
    "Comparison",
    "Cutter",
    "Digest",
    "End",
    "Ended",
    "Entry",
    "HandshakeReport",
    "Keepalive",
    "Kill",
    "MessageReport",
    "OpenCommand",
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
    "WireMessage",
    "draw_secrets",
    "read",
    "replay",
    "said",
    "write",
]
