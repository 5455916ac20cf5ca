"""`peersockets_asyncio.runtime`: peers, duplicates, and too many connections."""

from __future__ import annotations

import pytest

from aio.support import HOST, in_loop, meet, until
from peersockets_asyncio import open_node
from peersockets_core import (
    Limits,
    UnknownPeer,
)


@in_loop
async def test_the_oldest_stranger_gives_way() -> None:
    async with open_node(limits=Limits(connections=2)) as alice, open_node() as bob, open_node() as carol:
        [listener] = await alice.listen_tcp(0, host=HOST)
        await bob.connect_tcp(*listener.address, wire="hypercore9")
        await until(lambda: alice.machine.oldest_stranger() is not None)
        for node in (carol, carol):
            await node.connect_tcp(*listener.address, wire="hypercore11")
        await until(lambda: not (bob.machine.connections))
        await until(lambda: alice.machine.connections <= 2)


@in_loop
async def test_a_peer_that_is_known_by_its_id() -> None:
    async with meet() as (alice, bob):
        info = alice.node.peer(alice.peer_id)
        assert info.public_key == bob.node.public_keys["hypercore11"]
        assert info.address is not None
        assert info.drives == (alice.drive.key,)
        with pytest.raises(UnknownPeer):
            alice.node.peer(99)


@in_loop
async def test_a_peer_that_comes_back_on_a_second_connection_is_one_member() -> None:
    async with meet() as (alice, bob):
        [listener] = await bob.node.listen_tcp(0, host=HOST)
        await alice.node.connect_tcp(*listener.address, wire="hypercore11")
        await alice.chat.send(alice.peer_id, b"still here")
        assert (await bob.chat.receive()).message == b"still here"
        await until(lambda: not (alice.node.machine.connections > 1 or bob.node.machine.connections > 1))
        assert list(alice.drive.peers) == [alice.peer_id]
        await bob.chat.send(bob.peer_id, b"here, too")
        assert (await alice.chat.receive()).message == b"here, too"
