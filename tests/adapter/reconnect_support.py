"""An address of a kept connection, for tests in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
import trio.testing

from adapter.support import (
    KEY,
    WIRE,
    attach,
)
from peersockets_core import Address
from peersockets_trio import (
    Backoff,
    KeptConnection,
    KeyPair,
    Node,
    RemoteProtocolError,
    open_node,
)
from peersockets_trio.runtime.background import background_tasks

EXACT = Backoff(jitter=(1.0, 1.0))
"""A backoff without randomness."""


QUICK = Backoff(first=0.01, longest=0.02)


ADDRESS = Address("host.example", 4200)


class Line:
    """Stands for the address: while a node answers there, dials lead to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dialled: list[float] = []
        self.answering: Node | None = None

        self._nursery: trio.Nursery | None = None
        self._streams: set[trio.abc.Stream] = set()  # our ends
        monkeypatch.setattr("peersockets_trio.node.connect", self._connect)
        monkeypatch.setattr("peersockets_trio.node.remote_address", self._remote_address)

    async def _connect(self, host: str, port: int, timeout: float) -> trio.abc.Stream:
        assert (host, port) == ADDRESS
        assert timeout == 10
        self.dialled.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if self.answering is None or self._nursery is None:
            raise OSError("nobody is there")
        ours, theirs = trio.testing.memory_stream_pair()
        self._streams.add(ours)
        self._nursery.start_soon(_answer, self.answering, theirs, WIRE)
        return ours

    def _remote_address(self, stream: trio.abc.Stream) -> Address | None:
        return ADDRESS if stream in self._streams else None

    @asynccontextmanager
    async def answered(self, key_pair: KeyPair | None = None) -> AsyncIterator[Node]:
        """Let a node with the drive open answer there for the length of the block."""
        async with (
            open_node(key_pair=key_pair) as node,
            node.open_drive(KEY),
            background_tasks() as self._nursery,
        ):
            self.answering = node
            try:
                yield node
            finally:
                self.answering = self._nursery = None


async def _answer(node: Node, stream: trio.abc.Stream, wire: Any) -> None:
    with suppress(RemoteProtocolError, trio.BrokenResourceError):  # the dialler may think better of it
        await attach(node, stream, False, wire)


def keep(node: Node, **options: Any) -> KeptConnection:
    return node.keep_connected(ADDRESS, wire=WIRE, backoff=EXACT, **options)
