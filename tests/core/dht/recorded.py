"""The datagrams that real HyperDHT nodes have sent each other: see tests/interop/hyperswarm/record.js."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_RECORDED: Any = json.loads((Path(__file__).parent / "datagrams.json").read_text())
DATAGRAMS: list[dict[str, Any]] = _RECORDED["datagrams"]
HANDSHAKE: dict[str, Any] = _RECORDED["handshake"]


def values(*kinds: str) -> list[tuple[bytes, Any]]:
    """The values of these kinds of messages, and what the reference reads in them."""
    return [
        (bytes.fromhex(recorded["value"]), recorded["decoded"])
        for recorded in DATAGRAMS
        if recorded["decoded"] is not None and recorded["kind"].rpartition(" ")[0] in kinds
    ]
