"""Commands that tests start can be interrupted, whatever the shell does that runs the tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from cli.networks import line, started

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell; children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def bootstrap() -> Iterator[str]:
    """The address of a DHT node that begins a network."""
    with started("dht", "--listen", "127.0.0.1:0") as process:
        yield line(process).decode()
