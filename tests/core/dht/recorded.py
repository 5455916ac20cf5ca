"""Datagrams that real HyperDHT nodes sent each other: see tests/interop/hyperswarm/record.js."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_RECORDED: Any = json.loads((Path(__file__).parent / "datagrams.json").read_text())
DATAGRAMS: list[dict[str, Any]] = _RECORDED["datagrams"]
HANDSHAKE: dict[str, Any] = _RECORDED["handshake"]


def values(*kinds: str) -> list[tuple[bytes, Any]]:
    """Return the values of these kinds of messages, each with the fields that the reference read in it."""
    return [
        (bytes.fromhex(recorded["value"]), recorded["decoded"])
        for recorded in DATAGRAMS
        if recorded["decoded"] is not None and recorded["kind"].rpartition(" ")[0] in kinds
    ]
