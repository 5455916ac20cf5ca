"""The control channel of protomux: its number, and the types of its messages. Source: protomux 3.12.1."""

from __future__ import annotations

from typing import Final

CONTROL: Final = 0
"""The channel's number."""

BATCH: Final = 0
OPEN: Final = 1
REJECT: Final = 2
CLOSE: Final = 3
