"""The members of a drive, as we and a real hyperdrive 13 see them."""

import os
from collections.abc import AsyncIterator

import attrs
import pytest
import trio

from interop.hyperdrive13 import (
    WIRE,
    Meeting,
    connect,
    meet,
    on,
    open_meeting,
    open_real_peer,
    our_key,
)
from interop.real_peer import HOST, RealPeer, Role, nothing_waits
from peersockets_trio import (
    ConnectionInfo,
    Drive,
    DriveKey,
    Instrument,
    Node,
    PeerGone,
    PeerJoined,
    PeerLeft,
    open_node,
)

pytestmark = pytest.mark.interop


@pytest.fixture
async def peer() -> AsyncIterator[RealPeer]:
    async with open_real_peer() as peer:
        yield peer


@pytest.fixture
async def stranger() -> AsyncIterator[RealPeer]:
    """A real peer that does not know the drive."""
    async with open_real_peer() as stranger:
        yield stranger


@pytest.fixture
async def met(role: Role) -> AsyncIterator[Meeting]:
    async with open_meeting(role) as met:
        yield met


async def test_both_sides_see_the_other_join(node: Node, drive: Drive, peer: RealPeer, role: Role) -> None:
    async with drive.watch() as events:
        await connect(node, peer, role)
        assert await events.receive() == PeerJoined(1, peer.public_key, WIRE)
        await peer.wait_event("peer-add", **on(drive, node))
        assert await peer.call("peers", key=drive.key.public_key.hex()) == {
            "publicKeys": [our_key(node).hex()]
        }
        [info] = drive.peers.values()
        assert (info.peer_id, info.public_key, info.wire) == (1, peer.public_key, WIRE)
        assert info.drives == (drive.key,)
        if role == "initiator":
            assert info.address == (HOST, peer.port)
        assert nothing_waits(events)


class Heard(Instrument):
    """Wakes tasks that wait for bytes to arrive."""

    def __init__(self) -> None:
        self.bytes = 0
        self.news = trio.lowlevel.ParkingLot()

    def data_received(self, info: ConnectionInfo, size: int) -> None:
        self.bytes += size
        self.news.unpark_all()


async def test_messages_go_both_ways(met: Meeting) -> None:
    await met.both_ways()


async def test_closing_our_drive_is_a_leave_for_the_real_peer_and_opening_it_again_a_join(
    met: Meeting,
) -> None:
    met.drive.close()
    await met.peer.wait_event("peer-remove", **on(met.drive, met.node))
    assert await met.peer.call("peers", key=met.drive.key.public_key.hex()) == {"publicKeys": []}
    async with met.node.open_drive(met.drive.key) as again, again.watch() as events:
        await met.peer.wait_event("peer-add", **on(again, met.node))
        assert await events.receive() == met.joined
        await attrs.evolve(met, drive=again).both_ways()
    assert not met.peer.happened("connection-closed")


@pytest.mark.parametrize("seen", [False, True], ids=["at once", "when the other side has seen it"])
async def test_closing_and_opening_our_drive_many_times_ends_in_the_last_state(
    met: Meeting, seen: bool
) -> None:
    met.drive.close()
    for _ in range(20):
        await trio.lowlevel.checkpoint()
        drive = met.node.open_drive(met.drive.key)
        if seen:
            await met.peer.wait_event("peer-add", **on(met.drive, met.node))
        drive.close()
    async with met.node.open_drive(met.drive.key) as again, again.watch() as events:
        assert await events.receive() == met.joined
        await attrs.evolve(met, drive=again).both_ways()
        assert await met.peer.call("peers", key=again.key.public_key.hex()) == {
            "publicKeys": [our_key(met.node).hex()]
        }
    assert not met.peer.happened("connection-closed")


@pytest.mark.parametrize("answered", [False, True], ids=["at once", "after its answer"])
async def test_our_drive_may_be_closed_before_the_real_peer_has_answered_and_opened_again(
    peer: RealPeer, role: Role, answered: bool
) -> None:
    # A corestore accepts a core that is stored but not open, but has to look it up first.
    key = DriveKey.parse(os.urandom(32))
    await peer.call("openDrive", key=key.public_key.hex())
    await peer.call("closeDrive", key=key.public_key.hex())
    heard = Heard()
    async with open_node(instruments=[heard]) as node:
        await connect(node, peer, role)
        before = heard.bytes
        node.open_drive(key).close()
        while answered and heard.bytes == before:
            await heard.news.park()
        async with node.open_drive(key) as drive, drive.watch() as events:
            assert await events.receive() == PeerJoined(1, peer.public_key, WIRE)
            await peer.call("openDrive", key=key.public_key.hex())
            await Meeting(node, drive, peer, 1).both_ways()
            assert not peer.happened("connection-closed")


async def test_a_real_peer_that_closes_the_drive_leaves_and_may_come_back(met: Meeting, role: Role) -> None:
    async with open_real_peer() as reader, met.drive.watch() as events:
        assert await events.receive() == met.joined
        member = await meet(met.node, met.drive, reader, role)
        joined = PeerJoined(member, reader.public_key, WIRE)
        for _ in range(3):
            assert await events.receive() == joined
            await reader.call("closeDrive", key=met.drive.key.public_key.hex())
            assert await events.receive() == PeerLeft(member, reader.public_key, WIRE)
            assert list(met.drive.peers) == [met.member]
            await reader.call("openDrive", key=met.drive.key.public_key.hex())
        assert await events.receive() == joined
        await attrs.evolve(met, peer=reader, member=member).both_ways()
        assert not reader.happened("connection-closed")


async def test_a_drive_may_be_opened_late_by_us(node: Node, peer: RealPeer, role: Role) -> None:
    created = await peer.call("createDrive")
    await connect(node, peer, role)
    async with node.open_drive(created["key"]) as drive, drive.watch() as events:
        assert await events.receive() == PeerJoined(1, peer.public_key, WIRE)
        await peer.wait_event("peer-add", **on(drive, node))
        await Meeting(node, drive, peer, 1).both_ways()


async def test_a_drive_may_be_opened_late_by_the_real_peer(
    node: Node, drive: Drive, stranger: RealPeer, role: Role
) -> None:
    async with drive.watch() as events:
        await connect(node, stranger, role)
        await stranger.call("openDrive", key=drive.key.public_key.hex())
        assert await events.receive() == PeerJoined(1, stranger.public_key, WIRE)
        await stranger.wait_event("peer-add", **on(drive, node))
        await Meeting(node, drive, stranger, 1).both_ways()


async def test_disconnecting_is_a_leave_and_the_id_stays(
    node: Node, drive: Drive, peer: RealPeer, role: Role
) -> None:
    async with drive.watch() as events:
        for _ in range(2):
            await connect(node, peer, role)
            assert await events.receive() == PeerJoined(1, peer.public_key, WIRE)
            await peer.wait_event("peer-add", **on(drive, node))
            await peer.call("disconnect", publicKey=our_key(node).hex())
            left = await events.receive()
            assert isinstance(left, PeerLeft)
            assert (left.peer_id, left.public_key) == (1, peer.public_key)


async def test_the_end_of_our_node_is_a_leave_for_the_real_peer(peer: RealPeer, role: Role) -> None:
    created = await peer.call("createDrive")
    async with open_node() as node, node.open_drive(created["key"]) as drive:
        await meet(node, drive, peer, role)
    await peer.wait_event("peer-remove", **on(drive, node))
    closed = await peer.wait_event("connection-closed", publicKey=our_key(node).hex())
    assert closed["error"] is None


async def test_a_killed_process_is_a_leave(met: Meeting) -> None:
    async with met.drive.watch() as events:
        assert await events.receive() == met.joined
        await met.peer.process.kill()
        left = await events.receive()
        assert isinstance(left, PeerLeft)
        assert left.peer_id == met.member
        assert not met.drive.peers


async def test_members_are_members_of_their_own_drives_only(node: Node, peer: RealPeer, role: Role) -> None:
    keys = [(await peer.call("createDrive"))["key"] for _ in range(3)]
    drives = [node.open_drive(key) for key in [*keys[:2], os.urandom(32)]]
    member = await meet(node, drives[0], peer, role)
    async with drives[1].watch() as events:
        assert (await events.receive()).peer_id == member
    assert [list(drive.peers) for drive in drives] == [[member], [member], []]
    assert node.peer(member).drives == (drives[0].key, drives[1].key)
    assert await peer.call("peers", key=keys[2]) == {"publicKeys": []}


async def test_a_topic_of_the_same_name_on_several_drives_is_not_mixed_up(met: Meeting) -> None:
    keys = [(await met.peer.call("createDrive"))["key"] for _ in range(3)]
    drives = [met.drive, *map(met.node.open_drive, keys)]
    theirs = [await met.join("chat", drive=drive) for drive in drives]
    ours = [drive.join("chat") for drive in drives]
    for drive in drives:
        async with drive.watch() as events:
            assert await events.receive() == met.joined
    for i in range(3):
        for drive, topic, real in zip(drives, ours, theirs, strict=True):
            text = b"%d of %s" % (i, drive.key.public_key.hex().encode())
            await topic.send(met.member, text)
            assert (await real.receive())[1] == text
            await real.send(our_key(met.node), text)
            assert (await topic.receive()).message == text
    assert all(nothing_waits(topic) for topic in ours)


async def test_a_peer_without_the_drive_never_joins(
    node: Node, drive: Drive, stranger: RealPeer, role: Role
) -> None:
    other = await stranger.call("createDrive")
    async with node.open_drive(other["key"]) as shared, drive.watch() as events:
        member = await meet(node, shared, stranger, role)
        await Meeting(node, shared, stranger, member).both_ways()
        async with drive.join("chat") as chat:
            with pytest.raises(PeerGone):
                await chat.send(member, b"for members")
            assert await chat.broadcast(b"for members") == 0
        assert not drive.peers
        assert nothing_waits(events)
        assert not stranger.happened("peer-add", drive=drive.key.public_key.hex())
