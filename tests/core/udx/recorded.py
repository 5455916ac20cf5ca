"""The packets that real udx-native streams sent each other: see tests/interop/udx/record.js."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import attrs


@attrs.frozen
class Session:
    """Datagrams between two streams, and the data that Bob received."""

    name: str
    datagrams: list[tuple[str, float, bytes]]
    """The sender, the seconds since the beginning, and the bytes."""
    data: bytes
    messages: list[bytes]
    error: str | None

    def of(self, side: str) -> list[bytes]:
        return [data for sender, _, data in self.datagrams if sender == side]


def _load() -> list[Session]:
    recorded = json.loads((Path(__file__).parent / "sessions.json").read_text("utf-8"))
    return [
        Session(
            name,
            [
                (entry["from"], entry["ms"] / 1000, bytes.fromhex(entry["hex"]))
                for entry in session["datagrams"]
            ],
            bytes.fromhex(session["bob"]["data"]),
            [bytes.fromhex(message) for message in session["bob"]["messages"]],
            session["bob"]["error"],
        )
        for name, session in recorded.items()
    ]


SESSIONS: Final = _load()
ALICE_ID: Final = 11
BOB_ID: Final = 22
