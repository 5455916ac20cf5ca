"""Two asyncio nodes on loopback, and a way to run a test in an event loop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs

from peersockets_asyncio import Drive, Node, PeerEvents, PeerJoined, Topic, open_node
from peersockets_core import DEFAULT_LIMITS, Limits, WireName

HOST: Final = "127.0.0.1"
KEY: Final = bytes(range(32))
SMALL: Final = Limits(send_buffer=64 * 1024, receive_messages=4, receive_bytes=64 * 1024)
"""Bounds that a few messages reach."""


def in_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test in an event loop, within a minute."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*arguments, **named), 60), debug=False)

    return run


@attrs.frozen
class Side:
    node: Node
    drive: Drive
    chat: Topic
    events: PeerEvents
    peer_id: int


async def side(node: Node, drive: Drive) -> Side:
    events = drive.watch()
    joined = await events.receive()
    assert isinstance(joined, PeerJoined)
    return Side(node, drive, drive.join("chat"), events, joined.peer_id)


@asynccontextmanager
async def meet(
    *, limits: Limits = DEFAULT_LIMITS, wire: WireName = "hypercore11"
) -> AsyncIterator[tuple[Side, Side]]:
    """Two nodes that are members of one drive. The first one dialled."""
    async with open_node(limits=limits) as alice, open_node(limits=limits) as bob:
        [listener] = await bob.listen_tcp(0, host=HOST)
        drives = alice.open_drive(KEY), bob.open_drive(KEY)
        await alice.connect_tcp(*listener.address, wire=wire)
        yield await side(alice, drives[0]), await side(bob, drives[1])


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until a condition holds. No event announces it."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def fill(alice: Side, payload: bytes = bytes(16 * 1024)) -> None:
    """Send until the other side's topic, its system's buffers and ours are full."""
    refused = 0
    while refused < 10:  # the loop has run this many times, and nothing could leave
        refused = 0 if alice.chat.send_nowait(alice.peer_id, payload) else refused + 1
        await asyncio.sleep(0.001)
