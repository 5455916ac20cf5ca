"""`peersockets_trio.node`: two connections to one key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from adapter.support import (
    KEY,
    LARGER_KEY,
    SMALLER_KEY,
    all_tasks_blocked,
    attach,
    check_folded,
    connect_hypercore11,
    connect_lockstep,
    connect_memory,
    connect_tcp,
    limited,
)
from peersockets_trio import (
    DEFAULT_LIMITS,
    Drive,
    KeyPair,
    Limits,
    Node,
    open_node,
)
from peersockets_trio.testing import Connect, join_side


@pytest.mark.parametrize("alice_dials", [(True, False), (False, True)])
@pytest.mark.parametrize("connect", [connect_memory, connect_lockstep, connect_tcp, connect_hypercore11])
async def test_simultaneous_connections_are_folded(alice_dials: tuple[bool, bool], connect: Connect) -> None:
    """If both sides dial, one connection stays, and no member leaves or joins because of that."""
    async with two_nodes() as (alice, bob, alice_drive, bob_drive):
        async with trio.open_nursery() as nursery:
            for alice_is_first in alice_dials:
                nursery.start_soon(connect, *((alice, bob) if alice_is_first else (bob, alice)))
        await check_folded(await join_side(alice, alice_drive), await join_side(bob, bob_drive))


@pytest.mark.parametrize("keys", [(SMALLER_KEY, LARGER_KEY), (LARGER_KEY, SMALLER_KEY)])
@pytest.mark.parametrize("dialled_again", ["by the same", "by the other"])
async def test_a_second_connection_is_folded(keys: tuple[KeyPair, KeyPair], dialled_again: str) -> None:
    async with two_nodes(*keys) as (alice, bob, alice_drive, bob_drive):
        await connect_tcp(alice, bob)
        sides = await join_side(alice, alice_drive), await join_side(bob, bob_drive)
        await connect_tcp(*((alice, bob) if dialled_again == "by the same" else (bob, alice)))
        await check_folded(*sides)


@pytest.mark.parametrize(
    "keys",
    [
        (SMALLER_KEY, LARGER_KEY),
        (LARGER_KEY, SMALLER_KEY),
    ],
    ids=["smaller key dials", "larger key dials"],
)
async def test_connections_that_finish_in_another_order_at_the_other_end(
    keys: tuple[KeyPair, KeyPair],
) -> None:
    """The last message of the first handshake is late, so Bob sees the second connection as the first."""
    first, second = Detour(), Detour()
    async with trio.open_nursery() as nursery:
        for detour in (first, second):
            nursery.start_soon(detour.run)
        second.open.set()
        async with two_nodes(*keys) as (alice, bob, alice_drive, bob_drive):
            for detour in (first, second):
                nursery.start_soon(attach, bob, detour.bob_end, False)
                await attach(alice, detour.alice_end, True)
            await all_tasks_blocked(0)
            first.open.set()
            await check_folded(await join_side(alice, alice_drive), await join_side(bob, bob_drive))


class Detour:
    """Two memory streams. Alice's later writes are held back until the stream is open."""

    def __init__(self) -> None:
        self.open = trio.Event()
        self._ends = [
            trio.StapledStream(trio.testing.MemorySendStream(), trio.testing.MemoryReceiveStream())
            for _ in range(2)
        ]
        self.alice_end, self.bob_end = self._ends

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._carry, self.bob_end.send_stream, self.alice_end.receive_stream)
            await self._carry_one(self.alice_end.send_stream, self.bob_end.receive_stream)
            await self.open.wait()
            await self._carry(self.alice_end.send_stream, self.bob_end.receive_stream)

    async def _carry(
        self, source: trio.testing.MemorySendStream, target: trio.testing.MemoryReceiveStream
    ) -> None:
        while await self._carry_one(source, target):
            pass

    async def _carry_one(
        self, source: trio.testing.MemorySendStream, target: trio.testing.MemoryReceiveStream
    ) -> bool:
        data = await source.get_data()
        if data:
            target.put_data(data)
        else:
            target.put_eof()
        return bool(data)


@asynccontextmanager
async def two_nodes(
    alice_key: KeyPair = SMALLER_KEY, bob_key: KeyPair = LARGER_KEY, *, limits: Limits = DEFAULT_LIMITS
) -> AsyncIterator[tuple[Node, Node, Drive, Drive]]:
    """Two nodes that have not met, with a drive open on each."""
    with limited():
        async with (
            open_node(key_pair=alice_key, limits=limits) as alice,
            open_node(key_pair=bob_key, limits=limits) as bob,
            alice.open_drive(KEY) as alice_drive,
            bob.open_drive(KEY) as bob_drive,
        ):
            yield alice, bob, alice_drive, bob_drive


@pytest.mark.parametrize(
    "keys",
    [
        (SMALLER_KEY, LARGER_KEY),
        (LARGER_KEY, SMALLER_KEY),
    ],
    ids=["larger key dials", "smaller key dials"],
)
async def test_nothing_is_lost_when_connections_are_folded(keys: tuple[KeyPair, KeyPair]) -> None:
    """Messages that one connection has accepted arrive, although the other replaces it and the reader is
    slow."""
    messages = [number.to_bytes(4, "big") * 25_000 for number in range(50)]
    received: list[bytes] = []
    async with (
        two_nodes(*keys, limits=Limits(receive_messages=10)) as (alice, bob, alice_drive, bob_drive),
        alice_drive.join("chat") as inbox,
        bob_drive.join("chat") as outbox,
        trio.open_nursery() as nursery,
    ):
        await connect_lockstep(bob, alice)
        peer_id = (await join_side(bob, bob_drive)).peer_id

        async def send() -> None:
            for message in messages:
                await outbox.send(peer_id, message)

        nursery.start_soon(send)
        await all_tasks_blocked(0)
        await connect_lockstep(bob, alice)
        await all_tasks_blocked(0)
        while len(received) < len(messages):
            received.append((await inbox.receive()).message)
        assert received == messages
