"""Clients and handlers, for the tests of requests."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from adapter.support import (
    all_tasks_blocked,
    connect_hypercore11,
    connect_memory,
    connect_tcp,
    meet,
    tasks,
)
from peersockets_core.topics.envelope import Kind, encode
from peersockets_trio import (
    Request,
    RequestError,
    RequestStatistics,
    Topic,
)
from peersockets_trio.testing import Connect, NodeSide

NOTHING = RequestStatistics()
CONNECTS = pytest.mark.parametrize("connect", [connect_memory, connect_tcp, connect_hypercore11])


@attrs.frozen
class End:
    """One of two ends of a topic."""

    side: NodeSide
    topic: Topic

    async def ask(self, data: bytes, *, timeout: float = math.inf) -> bytes:
        return await self.topic.request(self.side.peer_id, data, timeout=timeout)

    async def send(self, kind: Kind, number: int, body: bytes | str | None = None) -> None:
        """Send an envelope by hand."""
        await self.topic.send(self.side.peer_id, encode(kind, number, body))


@asynccontextmanager
async def ends(connect: Connect = connect_memory, **options: Any) -> AsyncIterator[tuple[End, End]]:
    """Yield Bob's end and Alice's. One asks and one answers as the test likes."""
    async with (
        meet(connect, **options) as (alice, bob),
        bob.drive.join("ask") as asking,
        alice.drive.join("ask") as answering,
    ):
        yield End(bob, asking), End(alice, answering)


async def shout(request: Request) -> bytes:
    return request.data.upper()


async def refuse(request: Request) -> bytes:
    raise RequestError(f"not you, {request.data.decode()}")


class Held:
    """A handler that holds requests until they are released, and counts their outcomes."""

    def __init__(self) -> None:
        self.release = trio.Event()
        self.begun: list[bytes] = []
        self.cancelled: list[bytes] = []

    async def __call__(self, request: Request) -> bytes:
        self.begun.append(request.data)
        try:
            await self.release.wait()
        except trio.Cancelled:
            self.cancelled.append(request.data)
            raise
        return b"at last: " + request.data


def cut_off(end: End) -> None:
    """End its connections without any farewell."""
    for task in tasks(end.side.node):
        task.cancel()


@asynccontextmanager
async def expecting(
    error: type[Exception], operation: Callable[[], Awaitable[object]], match: str | None = None
) -> AsyncIterator[None]:
    """Run an operation beside the block. It has to end with this error by the end of the block."""

    async def expect() -> None:
        with pytest.raises(error, match=match):
            await operation()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect)
        await all_tasks_blocked(0)
        yield
