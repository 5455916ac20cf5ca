"""A socket that is closed by others while its connection uses it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
import trio.testing

from adapter.runtime.transport_support import full_reader, read, tcp_pair
from adapter.support import (
    KEY,
    RawPeer,
    all_tasks_blocked,
    limited,
    tasks,
)
from peersockets_trio import PeerLeft, open_node
from peersockets_trio.runtime.transport import SocketTransport
from peersockets_trio.testing import join_side


async def test_closed_before_waiting() -> None:
    async with tcp_pair() as (_, theirs):
        reader = SocketTransport(theirs, 45)
        await theirs.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await reader.wait()


async def test_closed_while_waiting() -> None:
    async with tcp_pair() as (_, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(expect_closed, SocketTransport(theirs, 45).wait)
        await all_tasks_blocked(0)
        await theirs.aclose()


async def expect_closed(wait: Callable[[], Awaitable[None]]) -> None:
    with pytest.raises(trio.ClosedResourceError):
        await wait()


async def test_closed_between_waiting_and_taking() -> None:
    async with tcp_pair() as (ours, theirs):
        reader = SocketTransport(theirs, 45)
        await ours.send_all(b"too late")
        await reader.wait()
        await theirs.aclose()
        with pytest.raises(trio.ClosedResourceError):
            reader.take()


async def test_closed_between_full_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    async with full_reader(monkeypatch, bytes(30)) as (_, theirs, reader):
        await theirs.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await read(reader)


async def test_a_connection_whose_socket_is_closed() -> None:
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive, tcp_pair() as (ours, theirs):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(node.attach, theirs, wire="hypercore9", initiator=False))
                await RawPeer(ours).join()
            side = await join_side(node, drive)
            await theirs.aclose()
            left = await side.events.receive()
            assert isinstance(left, PeerLeft)
            assert left.reason
            await all_tasks_blocked()
            assert not tasks(node)
