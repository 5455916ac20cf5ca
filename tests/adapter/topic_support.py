"""A topic between two nodes, for the tests of topics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapter.support import (
    connect_memory,
    meet,
)
from peersockets_trio import (
    Limits,
    Topic,
)
from peersockets_trio.testing import Connect, NodeSide

LARGEST = 8 * 1024 * 1024 - 1
"""A frame's body has the extension's id, one byte, before the message."""

NARROW = Limits(send_buffer=1000, receive_messages=1)


@asynccontextmanager
async def chat(
    connect: Connect = connect_memory, **options: Any
) -> AsyncIterator[tuple[NodeSide, Topic, Topic]]:
    """Bob's side, his end of a topic and Alice's."""
    async with (
        meet(connect, **options) as (alice, bob),
        bob.drive.join("chat") as outbox,
        alice.drive.join("chat") as inbox,
    ):
        yield bob, outbox, inbox


async def _send_nowait(topic: Topic, peer_id: Any, message: Any) -> None:
    topic.send_nowait(peer_id, message)


SENDS = pytest.mark.parametrize("send", [Topic.send, _send_nowait])
Send = Callable[[Topic, Any, Any], Awaitable[None]]
