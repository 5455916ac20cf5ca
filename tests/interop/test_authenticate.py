"""Deciding who may talk, where the remote is a real peer of either generation."""

import pytest
import trio

from interop.generations import GENERATIONS, Generation
from interop.real_peer import Role, next_join, nothing_waits
from peersockets_trio import ConnectionInfo, Refused, UnexpectedKey, open_node

pytestmark = [
    pytest.mark.interop,
    pytest.mark.parametrize("real", GENERATIONS, ids=lambda real: real.wire),
]


async def test_a_real_peer_that_is_refused(
    real: Generation, role: Role, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "peersockets")
    asked: list[ConnectionInfo] = []

    async def refuse(info: ConnectionInfo) -> None:
        asked.append(info)
        raise Refused("a stranger")

    async with real.open_peer() as peer, open_node(authenticate=refuse) as node:
        created = await peer.call("createDrive")
        async with node.open_drive(created["key"]) as drive, drive.watch() as events:
            if role == "initiator":
                with pytest.raises(Refused, match="a stranger"):
                    await real.dial(node, peer, role)
            else:
                await real.dial(node, peer, role)
            await peer.wait_event("connection-closed")
            (info,) = asked
            assert (info.public_key, info.wire) == (peer.public_key, real.wire)
            assert not peer.happened("peer-add")
            assert not drive.peers
            assert nothing_waits(events)
    (line,) = [text for text in caplog.messages if "refused: a stranger" in text]
    assert peer.public_key.hex() in line


async def test_a_real_peer_that_is_accepted_in_its_own_time(real: Generation, role: Role) -> None:
    """While it waits, it has no sign of our drive; and then it is as any other."""
    decided = trio.Event()

    async def wait(info: ConnectionInfo) -> None:
        await decided.wait()

    async with real.open_peer() as peer, open_node(authenticate=wait) as node, trio.open_nursery() as nursery:
        created = await peer.call("createDrive")
        async with node.open_drive(created["key"]) as drive, drive.watch() as events:
            nursery.start_soon(real.dial, node, peer, role)
            await peer.wait_event("connection", publicKey=real.our_key(node).hex())
            said = node.statistics().bytes_sent
            assert said == await said_before_the_decision(real, role)
            assert not peer.happened("peer-add")
            assert nothing_waits(events)
            decided.set()
            joined = await next_join(events, peer.public_key)
            await peer.wait_event("peer-add", publicKey=real.our_key(node).hex())
            await real.both_ways(node, drive, peer, joined.peer_id)


async def said_before_the_decision(real: Generation, role: Role) -> int:
    """How many bytes a node says while it decides that has no drive open, and so none to give away."""

    async def wait(info: ConnectionInfo) -> None:
        await trio.sleep_forever()

    async with real.open_peer() as peer, open_node(authenticate=wait) as node, trio.open_nursery() as nursery:
        nursery.start_soon(real.dial, node, peer, role)
        await peer.wait_event("connection", publicKey=real.our_key(node).hex())
        nursery.cancel_scope.cancel()
        return node.statistics().bytes_sent


async def test_a_real_peer_that_has_the_key_we_expect(real: Generation) -> None:
    async with real.open_peer() as peer, open_node() as node:
        created = await peer.call("createDrive")
        async with node.open_drive(created["key"]) as drive, drive.watch() as events:
            with pytest.raises(UnexpectedKey) as caught:
                await real.dial(node, peer, "initiator", expect=bytes(32))
            assert caught.value.actual == peer.public_key
            await real.dial(node, peer, "initiator", expect=peer.public_key)
            joined = await next_join(events, peer.public_key)
            # The first time, it did not even learn who called.
            await peer.wait_event("connection", publicKey=real.our_key(node).hex())
            assert len(peer.happened("connection")) == 1
            await real.both_ways(node, drive, peer, joined.peer_id)
