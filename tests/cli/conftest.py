"""Fixtures for the tests of the commands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cli.networks import line, started


@pytest.fixture
def bootstrap() -> Iterator[str]:
    """The address of a DHT node that begins a network."""
    with started("dht", "--listen", "127.0.0.1:0") as process:
        yield line(process).decode()
