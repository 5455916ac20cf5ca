"""A recorded session between two peers of the JavaScript reference.

Recorded with hypercore-protocol 8.0.7 over simple-hypercore-protocol 2.1.2, simple-handshake 3.0.0,
noise-protocol 3.0.1, sodium-native 3.4.1, hypercore-crypto 2.3.2 and abstract-extension 3.1.1, with every
secret fixed. A, the initiator, has the extensions "peersockets/v0/chat" and "zzz". B has "" and
"peersockets/v0/chat". Both open the drive. A sends "hello" as chat, something as "zzz", and "again" as chat.
B answers "hi". A sends a Status, a Want and a keepalive, and closes the drive.
"""

from __future__ import annotations

from peersockets_core import DriveKey

DRIVE_KEY = DriveKey(bytes([0x44]) * 32)
SEEDS = {"A": bytes([0xA0]) * 32, "B": bytes([0xB0]) * 32}
EPHEMERAL_SECRETS = {"A": bytes([0xA1]) * 32, "B": bytes([0xB1]) * 32}
NONCES = {"A": bytes([0xA2]) * 24, "B": bytes([0xB2]) * 24}
PUBLIC_KEYS = {
    "A": bytes.fromhex("d62052fb0bdeb1cb5e1ae5a6b299856b19a6b51f2af7e10ffc053d84a2630909"),
    "B": bytes.fromhex("c08d794e2b647bb5feda48d4bc1cdd5ba51a8cb97abeffc4ceb7039b98da1f79"),
}
HANDSHAKE_HASH = bytes.fromhex(
    "286ecc897937d230e086a7eb1ce946eadc7fb7a6d9aaae4f4f4c91e2bf08ebec"
    "9e20edd10268666d503331602dc330b0f33ddf59600b1334306034a36bf1cf50"
)
NAMES = {"A": ["peersockets/v0/chat", "zzz"], "B": ["", "peersockets/v0/chat"]}

CHUNKS: list[tuple[str, bytes]] = [
    (side, bytes.fromhex(chunk))
    for side, chunk in (
        (
            "A",
            (
                "3ac306fb0ef2bf8b7f93bad98155fa37daec74db0c4cbeda6c6f1dba9d365582520a18a2a2a2a2a2a2a2a2a2a2a2"
                "a2a2a2a2a2a2a2a2a2a2a2a2a2"
            ),
        ),
        (
            "B",
            (
                "7ad3337e4d4ee503a66976feb1fadf5bd21ba96fc2b1571b3e980d87cf49797510ab358d18e983c41ef644c9ff3c"
                "2c9dfc936ca58dafc806e4941a40c7d48a6cf632456e0a08fda7d9ba970b67a3355cdc5809343f5482c1c3f5a325"
                "6dc00fedb52796ad0db38c0b7ad2e1065d995e50d6cd37c73a65cd62ceadc0"
            ),
        ),
        (
            "A",
            (
                "5af02d7c22943aaa563d052841efb5451f8407dbb09235b5121206cf953cf2fecfa80221ed73341310bfe20c1c72"
                "aa3349c6cf168c75ca1d7001d901dbcdd0a23bd4de4eadf02283381a055b7fb22c7fca35435cddcc8b37276c0c"
            ),
        ),
        (
            "A",
            (
                "0d5dfde7d08af700fc8fb49571fc781eb5d2f4a43b9d5a1360b9c7598b740257c947a24e213bda2fd209a019cc5b"
                "bdac407ff2ada9e61b9bb0aff004c4e846e181b5899b605f"
            ),
        ),
        (
            "B",
            (
                "c4ccc7ea21d2b971c2b17a53d0fbf68572246e2e77ee73a97ade01c4e688028ad14446d98200c2e6a265aaf3b825"
                "8f120025dc98ad81d9224ed4d58146ba9a888ec5d04201db"
            ),
        ),
        ("A", "d42220f6f03d2559c44e954b02b23c981a70dceb8e14e024ea65ff0f"),
        ("A", "004b2c42e2c7b389"),
        ("A", "548c0ea01c29d107ed0a5a9bbff01e19c51cd4c998690f"),
        ("A", "f9f06809c4daa9e4"),
        ("A", "b4fd473c8a8b"),
        ("A", "482769b648fc5ba6"),
        ("A", "dc"),
        ("B", "7a3d5a04fc06bd39d8b3a658c2a247925bc43cba081b21e6c6"),
        ("B", "4d4db58d74"),
        ("A", "6bba"),
        ("B", "4b1f"),
    )
]
"""Each message with its sender, in order. The first three are the handshake."""

WAYS = [("A", "B"), ("B", "A"), ("A", "B")]
"""The sender and the receiver of each of the handshake's three messages."""


def sent_by(side: str) -> bytes:
    """Return everything that one side sent."""
    return b"".join(chunk for sender, chunk in CHUNKS if sender == side)
