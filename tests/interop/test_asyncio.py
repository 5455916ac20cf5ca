"""The asyncio adapter with real peers of either generation, in the scenarios of the Trio adapter."""

from __future__ import annotations

import asyncio

import pytest
import trio

from aio.threaded import open_threaded_node
from interop.generations import GENERATIONS, Generation
from interop.real_peer import Role, next_join
from peersockets_core import PeerLeft, Refused, UnexpectedKey
from peersockets_core.info import ConnectionInfo

pytestmark = [
    pytest.mark.interop,
    pytest.mark.parametrize("real", GENERATIONS, ids=lambda real: real.wire),
]


async def test_messages_go_both_ways_and_the_peer_leaves(real: Generation, role: Role) -> None:
    async with real.open_peer() as peer, open_threaded_node() as node:
        created = await peer.call("createDrive")
        async with node.open_drive(created["key"]) as drive, drive.watch() as events:
            await real.dial(node, peer, role)
            joined = await next_join(events, peer.public_key)
            await peer.wait_event("peer-add", publicKey=real.our_key(node).hex())
            assert drive.peers[joined.peer_id].public_key == peer.public_key
            await real.both_ways(node, drive, peer, joined.peer_id)
            await peer.call("disconnect", publicKey=real.our_key(node).hex())
            left = await events.receive()
            assert isinstance(left, PeerLeft)
            assert (left.peer_id, left.unsent) == (joined.peer_id, 0)


async def test_a_clean_end_of_ours_delivers_everything(real: Generation, role: Role) -> None:
    """Every accepted message arrives before the peer sees us leave."""
    async with real.open_peer() as peer:
        created = await peer.call("createDrive")
        async with open_threaded_node() as node, node.open_drive(created["key"]) as drive:
            chat = drive.join("chat")
            await real.dial(node, peer, role)
            async with drive.watch() as events:
                joined = await next_join(events, peer.public_key)
            await peer.wait_event("peer-add", publicKey=real.our_key(node).hex())
            theirs = await real.join(peer, drive, "chat")
            for number in range(1000):
                await chat.send(joined.peer_id, b"%d" % number)
        for number in range(1000):
            _, message = await theirs.receive()
            assert message == b"%d" % number
        await peer.wait_event("peer-remove", publicKey=real.our_key(node).hex())


async def test_a_real_peer_that_is_refused(real: Generation, role: Role) -> None:
    asked: list[ConnectionInfo] = []

    async def refuse(info: ConnectionInfo) -> None:
        asked.append(info)
        raise Refused("a stranger")

    async with real.open_peer() as peer, open_threaded_node(authenticate=refuse) as node:
        created = await peer.call("createDrive")
        async with node.open_drive(created["key"]) as drive:
            if role == "initiator":
                with pytest.raises(Refused, match="a stranger"):
                    await real.dial(node, peer, role)
            else:
                await real.dial(node, peer, role)
            await peer.wait_event("connection-closed")
            [info] = asked
            assert (info.public_key, info.wire) == (peer.public_key, real.wire)
            assert not peer.happened("peer-add")
            assert not drive.peers


async def test_a_real_peer_that_is_accepted_after_a_while(real: Generation, role: Role) -> None:
    waiting, decided = trio.Event(), asyncio.Event()
    token = trio.lowlevel.current_trio_token()
    loops: list[asyncio.AbstractEventLoop] = []

    async def wait(info: ConnectionInfo) -> None:
        loops.append(asyncio.get_running_loop())
        token.run_sync_soon(waiting.set)
        await decided.wait()

    async with (
        real.open_peer() as peer,
        open_threaded_node(authenticate=wait) as node,
        trio.open_nursery() as nursery,
    ):
        created = await peer.call("createDrive")
        async with node.open_drive(created["key"]) as drive, drive.watch() as events:
            nursery.start_soon(real.dial, node, peer, role)
            await waiting.wait()
            await peer.wait_event("connection", publicKey=real.our_key(node).hex())
            assert not peer.happened("peer-add")
            loops[0].call_soon_threadsafe(decided.set)
            joined = await next_join(events, peer.public_key)
            await peer.wait_event("peer-add", publicKey=real.our_key(node).hex())
            await real.both_ways(node, drive, peer, joined.peer_id)


async def test_a_real_peer_with_the_key_that_we_expect(real: Generation) -> None:
    async with real.open_peer() as peer, open_threaded_node() as node:
        with pytest.raises(UnexpectedKey) as caught:
            await real.dial(node, peer, "initiator", expect=bytes(32))
        assert caught.value.actual == peer.public_key
        info = await real.dial(node, peer, "initiator", expect=peer.public_key)
        assert info is not None
        assert info.public_key == peer.public_key
