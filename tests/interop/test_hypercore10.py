"""A real hyperdrive 11 peer, on hypercore 10. It speaks the same wire as hyperdrive 13."""

import os
from collections.abc import AsyncIterator

import pytest

from interop.hyperdrive13 import WIRE, Meeting, meet, on, open_real_peer, our_key
from interop.real_peer import RealPeer, Role, digest, numbered
from peersockets_trio import Drive, Node, PeerJoined, PeerLeft, open_node

pytestmark = pytest.mark.interop


@pytest.fixture
async def peer() -> AsyncIterator[RealPeer]:
    async with open_real_peer("hypercore10") as peer:
        yield peer


@pytest.fixture
async def met(node: Node, drive: Drive, peer: RealPeer, role: Role) -> Meeting:
    return Meeting(node, drive, peer, await meet(node, drive, peer, role))


async def test_messages_of_every_size_go_both_ways(met: Meeting) -> None:
    theirs = await met.join("chat")
    async with met.drive.join("chat") as ours:
        for size in (0, 1, 252, 253, 65_536, 1_000_000):
            message = os.urandom(size)
            await ours.send(met.member, message)
            assert await theirs.receive() == (our_key(met.node), message)
            await theirs.send(our_key(met.node), message)
            assert await ours.receive() == (met.member, message, met.peer.public_key)


@pytest.mark.parametrize("cork", [False, True], ids=["plain", "corked"])
async def test_a_burst_arrives_complete_and_in_order_both_ways(met: Meeting, cork: bool) -> None:
    theirs = await met.join("burst", quiet=True)
    count, size = 10_000, 32
    async with met.drive.join("burst") as ours:
        for message in numbered(count, size):
            await ours.send(met.member, message)
        sent = await met.peer.call(
            "sendMany",
            handle=theirs.handle,
            publicKey=our_key(met.node).hex(),
            count=count,
            size=size,
            cork=cork,
        )
        received: list[bytes] = []
        while len(received) < count:
            received += [message.message for message in await ours.receive_batch()]
    assert digest(received) == sent == digest(numbered(count, size))
    while (tally := await theirs.received())["count"] < count:
        pass
    assert tally == sent


async def test_a_drive_is_left_and_joined_again(met: Meeting) -> None:
    met.drive.close()
    await met.peer.wait_event("peer-remove", **on(met.drive, met.node))
    async with met.node.open_drive(met.drive.key) as again, again.watch() as events:
        assert await events.receive() == PeerJoined(met.member, met.peer.public_key, WIRE)
        await Meeting(met.node, again, met.peer, met.member).both_ways()


async def test_a_real_peer_does_not_wait_for_us_and_its_leave_is_seen(met: Meeting) -> None:
    await met.peer.call("update", key=met.drive.key.public_key.hex())
    async with met.drive.watch() as events:
        assert isinstance(await events.receive(), PeerJoined)
        await met.peer.process.kill()
        assert isinstance(await events.receive(), PeerLeft)


async def test_two_of_its_generations_and_ours_share_a_drive(met: Meeting, role: Role) -> None:
    async with open_real_peer() as newer, open_node() as node, node.open_drive(met.drive.key) as drive:
        member = await meet(met.node, met.drive, newer, role)
        assert list(met.drive.peers) == [met.member, member]
        await Meeting(met.node, met.drive, newer, member).both_ways()
        await Meeting(node, drive, newer, await meet(node, drive, newer, role)).both_ways()
