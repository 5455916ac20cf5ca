"""Arguments of `Node.keep_connected` that are refused."""

from __future__ import annotations

import math
from typing import Any

import pytest

from adapter.support import (
    WIRE,
)
from peersockets_trio import (
    open_node,
)

BAD: list[tuple[Any, type[Exception], str]] = [
    ("host:1", TypeError, "address must be a pair"),
    (("host",), TypeError, "address must be a pair"),
    (None, TypeError, "address must be a pair"),
    ((1, 2), TypeError, "host must be str"),
    (("a..b", 2), ValueError, "host"),
    (("host", "2"), TypeError, "port must be int"),
    (("host", 0), ValueError, "port must be from 1"),
]


@pytest.mark.parametrize(("address", "error", "text"), BAD)
async def test_bad_addresses(address: Any, error: type[Exception], text: str) -> None:
    async with open_node() as node:
        with pytest.raises(error, match=text):
            node.keep_connected(address, wire=WIRE)


async def test_bad_wires_and_keys() -> None:
    wire: Any = "hypercore8"
    async with open_node() as node:
        with pytest.raises(ValueError, match="wire must be one of"):
            node.keep_connected(("host", 1), wire=wire)
        with pytest.raises(ValueError, match="expect must be a public key"):
            node.keep_connected(("host", 1), wire=WIRE, expect="00")


@pytest.mark.parametrize(
    ("timeout", "error"), [("5", TypeError), (None, TypeError), (-1, ValueError), (math.nan, ValueError)]
)
async def test_bad_timeouts(timeout: Any, error: type[Exception]) -> None:
    async with open_node() as node:
        with pytest.raises(error, match="timeout must be"):
            node.keep_connected(("host", 1), wire=WIRE, timeout=timeout)
        with pytest.raises(error, match="timeout must be"):
            await node.connect_tcp("host", 1, wire=WIRE, timeout=timeout)
