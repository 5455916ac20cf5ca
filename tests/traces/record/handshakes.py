"""Handshakes of HyperDHT made by hyperdht's own code, as `hyperdht.js` prints them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import cbor2

SCRIPT: Final = Path(__file__).with_name("hyperdht.js")
FOLDER: Final = Path(__file__).parents[1] / "handshakes"
VERSION: Final = 1


def record(names: list[str]) -> Iterator[tuple[str, bytes]]:
    """Make the handshakes of these names, or all. Yield the name and the contents of each file."""
    printed = subprocess.run(["node", str(SCRIPT)], stdout=subprocess.PIPE, check=True, text=True).stdout
    for line in printed.splitlines():
        handshake = json.loads(line, object_hook=_bytes)
        name = handshake.pop("name")
        if not names or name in names:
            yield name, cbor2.dumps({"peersocketsHandshake": VERSION, **handshake})


def _bytes(item: dict[str, Any]) -> Any:
    return bytes.fromhex(item["hex"]) if item.keys() == {"hex"} else item
