"""`peersockets_trio.runtime.slots`: limits that follow the process's descriptors, and the peers that give
way.
"""

from __future__ import annotations

import logging
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import pytest
import trio
import trio.testing

from adapter.support import (
    KEY,
    LOOPBACK,
    WIRE,
    all_tasks_blocked,
    connect_memory,
    limited,
    raw_tcp_peer,
    tasks,
)
from peersockets_core import HandshakeCompleted
from peersockets_trio import Limits, Node, PeerJoined, open_node
from peersockets_trio.runtime.slots import connection_slots, handshake_slots
from peersockets_trio.testing.internals import node_runtime


@contextmanager
def descriptors(limit: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Make it look as if other parts of the program had taken all remaining descriptors."""
    taken: list[int] = []
    try:
        highest = max(map(int, os.listdir("/proc/self/fd")))
        while not taken or taken[-1] <= highest:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        with descriptors(taken[-1] + 1):
            yield
    finally:
        for descriptor in taken:
            os.close(descriptor)


@pytest.mark.parametrize(
    ("limit", "connections", "handshakes"), [(1024, 896, 448), (256, 224, 112), (64, 48, 24), (8, 1, 1)]
)
def test_slots_follow_the_descriptors(limit: int, connections: int, handshakes: int) -> None:
    with descriptors(limit):
        assert connection_slots(Limits()) == connections
        assert handshake_slots(Limits()) == handshakes
        assert connection_slots(Limits(connections=1)) == handshake_slots(Limits(handshakes=1)) == 1


def test_where_descriptors_have_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    infinity = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _: (infinity, infinity))
    assert connection_slots(Limits()) == Limits().connections
    assert handshake_slots(Limits()) == Limits().handshakes


async def test_idle_strangers_give_way_and_members_do_not() -> None:
    with limited():
        async with (
            open_node(limits=Limits(connections=4)) as node,
            node.open_drive(KEY) as drive,
            AsyncExitStack() as stack,
        ):
            (listener,) = await node.listen_tcp(0, host=LOOPBACK)
            member = await stack.enter_async_context(raw_tcp_peer(listener.address))
            await member.join()
            strangers = []
            for _ in range(4):
                stranger = await stack.enter_async_context(raw_tcp_peer(listener.address))
                await stranger.flush()
                await stranger.until(HandshakeCompleted)
                strangers.append(stranger)
            await strangers[0].until_dropped()
            assert len(tasks(node)) == 4
            newcomer = await stack.enter_async_context(raw_tcp_peer(listener.address))
            await newcomer.join()
            await strangers[1].until_dropped()
            assert len(drive.peers) == 2


async def test_a_former_member_is_a_stranger() -> None:
    with limited():
        async with open_node(limits=Limits(connections=1)) as node, AsyncExitStack() as stack:
            (listener,) = await node.listen_tcp(0, host=LOOPBACK)
            former = await stack.enter_async_context(raw_tcp_peer(listener.address))
            async with node.open_drive(KEY):
                await former.join()
            next_one = await stack.enter_async_context(raw_tcp_peer(listener.address))
            await next_one.flush()
            await next_one.until(HandshakeCompleted)
            await former.until_dropped()


async def test_connections_that_we_dialled_give_way_to_nobody() -> None:
    with limited():
        async with (
            open_node(limits=Limits(connections=1, handshakes=1)) as node,
            open_node() as other,
            AsyncExitStack() as stack,
        ):
            await connect_memory(node, other)
            (listener,) = await node.listen_tcp(0, host=LOOPBACK)
            turned_away = await stack.enter_async_context(raw_tcp_peer(listener.address))
            await turned_away.until_dropped()
            assert len(tasks(node)) == len(tasks(other)) == 1


async def test_a_flood_does_not_end_a_handshake_that_we_began() -> None:
    with limited():
        async with open_node(limits=Limits(handshakes=1)) as node, AsyncExitStack() as stack:
            (listener,) = await node.listen_tcp(0, host=LOOPBACK)
            with socket.create_server((LOOPBACK, 0)) as silent:
                nursery = await stack.enter_async_context(trio.open_nursery())
                nursery.start_soon(_dial, node, silent.getsockname())
                await all_tasks_blocked()
                dialled = tasks(node)
                for _ in range(3):
                    await stack.enter_async_context(raw_tcp_peer(listener.address))
                    await all_tasks_blocked()
                assert len(dialled) == 1
                assert dialled[0] in tasks(node)
                nursery.cancel_scope.cancel()


async def _dial(node: Node, address: tuple[str, int]) -> None:
    await node.connect_tcp(*address, wire=WIRE)


async def test_a_stranger_gives_way_when_descriptors_run_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive, AsyncExitStack() as stack:
            (listener,) = await node.listen_tcp(0, host=LOOPBACK)
            stranger = await stack.enter_async_context(raw_tcp_peer(listener.address))
            await stranger.flush()
            await stranger.until(HandshakeCompleted)
            dialling = trio.socket.socket()  # has its descriptor already
            with no_descriptor_left():
                await dialling.connect(listener.address)
                await stranger.until_dropped()
                while len(tasks(node)) != 1 or tasks(node)[0].info is not None:
                    await all_tasks_blocked()
            dialling.close()
            assert not drive.peers
    assert [record.getMessage() for record in caplog.records] == [
        "cannot accept connections: Too many open files"
    ]


async def test_a_lack_of_descriptors_is_logged_once_a_minute_and_passes(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no busy loop, and nobody is refused: connections wait in the kernel."""
    caplog.set_level(logging.WARNING)
    attempts: list[float] = []
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive, drive.watch() as events:
            (listener,) = await node.listen_tcp(0, host=LOOPBACK)
            report = node_runtime(node).telemetry
            exhausted = report.exhausted

            def count(error: OSError, now: float) -> None:
                attempts.append(now)
                exhausted(error, 30.0 * len(attempts))  # half a minute from one attempt to the next

            monkeypatch.setattr(report, "exhausted", count)
            async with raw_tcp_peer(listener.address) as member:
                await member.join()
                waiting = trio.socket.socket()
                with no_descriptor_left():
                    await waiting.connect(listener.address)
                    while len(attempts) < 4:
                        await trio.testing.wait_all_tasks_blocked(0.05)
                assert len(caplog.records) == 2
                assert all(record.exc_info is None for record in caplog.records)
                while len(tasks(node)) < 2:
                    await all_tasks_blocked()
                waiting.close()
                assert len(drive.peers) == 1
                assert isinstance(await events.receive(), PeerJoined)
    assert attempts == sorted(attempts)
