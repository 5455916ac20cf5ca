"""The sides of a recorded session, for the tests of the wire."""

from __future__ import annotations

from core import recorded
from core.support import (
    KEY,
    NOW,
    Cutter,
)
from peersockets_core import (
    Connection,
    DriveClosed,
    DriveOpened,
    Event,
    ExtensionNames,
    HandshakeCompleted,
    KeyPair,
    MessagesReceived,
)

DISCOVERY_KEY = KEY.discovery_key


MIB = 1024 * 1024


def played(side: str) -> Connection:
    """Let our side play one side of the recorded session."""
    given = iter((recorded.EPHEMERAL_SECRETS[side], recorded.NONCES[side]))
    extensions = ExtensionNames()
    for name in recorded.NAMES[side]:
        extensions.register(name)
    return Connection(
        wire="hypercore9",
        initiator=side == "A",
        key_pair=KeyPair.from_seed(recorded.SEEDS[side]),
        entropy=lambda size: next(given),
        now=NOW,
        extensions=extensions,
    )


def feed(ours: Connection, data: bytes, cut: Cutter) -> list[Event]:
    return [event for chunk in cut(data) for event in ours.receive_data(chunk, NOW)]


EXPECTED: dict[str, list[Event]] = {
    "B": [
        HandshakeCompleted("hypercore9", recorded.PUBLIC_KEYS["A"], recorded.HANDSHAKE_HASH),
        DriveOpened(recorded.DRIVE_KEY.discovery_key),
        MessagesReceived(None, "peersockets/v0/chat", [b"hello"]),
        MessagesReceived(None, "zzz", [b"not registered there"]),
        MessagesReceived(None, "peersockets/v0/chat", [b"again"]),
        DriveClosed(recorded.DRIVE_KEY.discovery_key),
    ],
    "A": [
        HandshakeCompleted("hypercore9", recorded.PUBLIC_KEYS["B"], recorded.HANDSHAKE_HASH),
        DriveOpened(recorded.DRIVE_KEY.discovery_key),
        MessagesReceived(None, "peersockets/v0/chat", [b"hi"]),
        DriveClosed(recorded.DRIVE_KEY.discovery_key),
    ],
}
