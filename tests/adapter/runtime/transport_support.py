"""Sockets and readers for the tests of transports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
import trio
import trio.testing

from adapter.support import (
    LOOPBACK,
    limited,
)
from peersockets_trio.runtime.transport import SocketTransport

SMALL: Final = 61
"""A buffer in which hardly any frame fits."""


def set_read_size(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Let the next buffer have another size: that of this test's run, if it has no socket yet."""
    monkeypatch.setattr("peersockets_trio.runtime.transport.READ_SIZE", size)


@asynccontextmanager
async def tcp_pair() -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream]]:
    """The two ends of a connection over loopback."""
    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    async with listener:
        ours = await trio.open_tcp_stream(*listener.socket.getsockname())
        theirs = await listener.accept()
    async with ours, theirs:
        yield ours, theirs


async def read(reader: SocketTransport) -> bytes:
    """Read once. The returned bytes are no longer in the buffer."""
    await reader.wait()
    data = reader.take()
    assert data is not None
    return bytes(data)


@asynccontextmanager
async def full_reader(
    monkeypatch: pytest.MonkeyPatch, data: bytes
) -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream, SocketTransport]]:
    """A sender, a receiver, and its transport, whose buffer of 10 bytes a first read of `data` has filled."""
    set_read_size(monkeypatch, 10)
    with limited():
        async with tcp_pair() as (ours, theirs):
            reader = SocketTransport(theirs, 45)
            await ours.send_all(data)
            assert await read(reader) == data[:10]
            yield ours, theirs, reader
