"""The members of a drive, as we and a real hyperdrive 10 see them."""

import base64
import os

import pytest
import trio

from interop.node_peer import JsonObject
from interop.real_peer import (
    WIRE,
    RealPeer,
    Role,
    connect,
    digest,
    listen,
    meet,
    next_join,
    nothing_waits,
    open_real_peer,
    our_key,
    webapp,
)
from peersockets_trio import Drive, Node, PeerGone, PeerJoined, PeerLeft, open_node

pytestmark = pytest.mark.interop


def on(drive: Drive, node: Node) -> JsonObject:
    """Return the fields of a real peer's event about us."""
    return {"drive": drive.key.public_key.hex(), "publicKey": our_key(node).hex()}


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
            assert info.address == ("127.0.0.1", peer.port)
        assert nothing_waits(events)


async def test_closing_our_drive_is_a_leave_for_the_real_peer_and_opening_it_again_a_join(
    node: Node, drive: Drive, peer: RealPeer, member: int
) -> None:
    drive.close()
    await peer.wait_event("peer-remove", **on(drive, node))
    assert await peer.call("peers", key=drive.key.public_key.hex()) == {"publicKeys": []}
    async with node.open_drive(drive.key) as again, again.watch() as events:
        await peer.wait_event("peer-add", **on(drive, node))
        assert (await next_join(events, peer.public_key)).peer_id == member
    assert not peer.happened("connection-closed")


async def test_a_real_peer_that_closes_the_drive_leaves_and_may_come_back(
    node: Node, drive: Drive, peer: RealPeer, role: Role
) -> None:
    async with open_real_peer() as reader, drive.watch() as events:
        member = await meet(node, drive, reader, role)
        joined = PeerJoined(member, reader.public_key, WIRE)
        assert await events.receive() == joined
        await reader.call("closeDrive", key=drive.key.public_key.hex())
        assert await events.receive() == PeerLeft(member, reader.public_key, WIRE)
        assert not drive.peers
        await reader.call("openDrive", key=drive.key.public_key.hex())
        assert await events.receive() == joined
        assert not reader.happened("connection-closed")


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


async def test_a_killed_process_is_a_leave(node: Node, drive: Drive, peer: RealPeer, member: int) -> None:
    async with drive.watch() as events:
        assert await events.receive() == PeerJoined(member, peer.public_key, WIRE)
        await peer.process.kill()
        left = await events.receive()
        assert isinstance(left, PeerLeft)
        assert left.peer_id == member
        assert not drive.peers


async def test_a_watch_begins_with_the_present_members_and_watches_are_independent(
    node: Node, drive: Drive, peer: RealPeer, member: int, role: Role
) -> None:
    joined = PeerJoined(member, peer.public_key, WIRE)
    async with open_real_peer() as second, drive.watch() as early:
        assert early.receive_nowait() == joined
        later_joined = PeerJoined(await meet(node, drive, second, role), second.public_key, WIRE)
        assert later_joined.peer_id != member
        async with drive.watch() as late:
            assert [late.receive_nowait() for _ in range(2)] == [joined, later_joined]
            assert nothing_waits(late)
            assert early.receive_nowait() == later_joined
            early.close()
            await second.call("disconnect")
            assert isinstance(await late.receive(), PeerLeft)
            with pytest.raises(trio.ClosedResourceError):
                await early.receive()


async def test_members_are_members_of_their_own_drives_only(node: Node, peer: RealPeer, role: Role) -> None:
    keys = [(await peer.call("createDrive"))["key"] for _ in range(3)]
    drives = [node.open_drive(key) for key in [*keys[:2], os.urandom(32)]]
    member = await meet(node, drives[0], peer, role)
    async with drives[1].watch() as events:
        assert (await events.receive()).peer_id == member
    assert [list(drive.peers) for drive in drives] == [[member], [member], []]
    assert node.peer(member).drives == (drives[0].key, drives[1].key)
    assert await peer.call("peers", key=keys[2]) == {"publicKeys": []}


async def test_a_peer_without_the_drive_is_no_member_and_gets_none_of_its_messages(
    node: Node, drive: Drive, network: Drive, stranger: RealPeer, role: Role
) -> None:
    beaker, plain = await stranger.join("chat", webapp=webapp(drive)), await stranger.join("chat")
    async with drive.watch() as events, drive.join("chat") as scoped, network.join("chat") as ours:
        await connect(node, stranger, role)
        await plain.send(our_key(node), b"hello")
        message = await ours.receive()
        assert (message.message, message.public_key) == (b"hello", stranger.public_key)
        assert not drive.peers
        with pytest.raises(PeerGone):
            await scoped.send(message.peer_id, b"for members")
        with pytest.raises(PeerGone):
            scoped.send_nowait(message.peer_id, b"for members")
        assert await scoped.broadcast(b"for members") == 0
        await ours.send(message.peer_id, b"for everybody")
        assert await plain.receive() == (our_key(node), b"for everybody")
        assert await beaker.received() == digest([])
        assert nothing_waits(events)
        assert not stranger.happened("peer-add")


async def test_a_drive_scoped_message_of_a_stranger_is_dropped(
    node: Node, drive: Drive, network: Drive, stranger: RealPeer, role: Role
) -> None:
    beaker, plain = await stranger.join("chat", webapp=webapp(drive)), await stranger.join("chat")
    async with drive.join("chat") as scoped, network.join("chat") as ours:
        await connect(node, stranger, role)
        await beaker.send(our_key(node), b"forbidden")
        await plain.send(our_key(node), b"allowed")
        assert (await ours.receive()).message == b"allowed"
        assert nothing_waits(scoped)
        assert scoped.statistics().received_messages == 0


async def test_a_bare_stream_is_heard_in_network_scope_and_a_watch_reports_nothing(
    node: Node, drive: Drive, network: Drive, peer: RealPeer
) -> None:
    async with drive.watch() as events, network.join("chat") as ours:
        sent = await peer.call(
            "rawExtension",
            port=await listen(node),
            name="peersockets/v0/chat",
            message=base64.b64encode(b"from outside").decode(),
        )
        message = await ours.receive()
        assert (message.message, message.public_key.hex()) == (b"from outside", sent["publicKey"])
        assert node.peer(message.peer_id).drives == ()
        await ours.send(message.peer_id, b"to outside")
        answer = await peer.wait_event("raw-message", name="peersockets/v0/chat")
        assert base64.b64decode(answer["message"]) == b"to outside"
        await peer.call("rawClose")
        await peer.wait_event("raw-closed")
        assert nothing_waits(events)


@pytest.mark.parametrize("capability", [bytes(32), b"", b"short"], ids=["wrong", "empty", "short"])
async def test_a_wrong_capability_ends_the_connection_with_a_clear_reason(
    node: Node, drive: Drive, peer: RealPeer, capability: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "peersockets")
    async with drive.watch() as events:
        raw = await peer.call(
            "rawOpen", port=await listen(node), discoveryKey=webapp(drive), capability=capability.hex()
        )
        await peer.wait_event("raw-closed")
        assert nothing_waits(events)
        await meet(node, drive, peer, "initiator")  # the node is unharmed
    [reason] = [text for text in caplog.messages if "disconnected" in text and raw["publicKey"] in text]
    assert f"invalid remote capability for drive {drive.key}" in reason


async def test_a_real_drive_whose_only_peer_is_ours_does_not_wait_for_data(
    node: Node, role: Role, peer: RealPeer
) -> None:
    async with node.open_drive(os.urandom(32)) as drive:
        await meet(node, drive, peer, role)
        key = drive.key.public_key.hex()
        missing = await peer.call("readFile", key=key, path="/missing")
        assert missing["missing"] is True
        updated = await peer.call("update", key=key)
        assert updated["updated"] is False
        listed = await peer.call("readdir", key=key, path="/")
        assert listed["entries"] == []


async def test_the_writer_of_a_drive_whose_only_peer_is_ours_continues_to_work(
    drive: Drive, peer: RealPeer, member: int
) -> None:
    key = drive.key.public_key.hex()
    await peer.call("writeFile", key=key, path="/hello.txt", content="hello")
    read = await peer.call("readFile", key=key, path="/hello.txt")
    missing = await peer.call("readFile", key=key, path="/missing")
    listed = await peer.call("readdir", key=key, path="/")
    await peer.call("update", key=key)
    assert (read["content"], missing["missing"], listed["entries"]) == ("hello", True, ["hello.txt"])
    assert list(drive.peers) == [member]


async def test_two_real_drives_replicate_with_us_among_them(
    node: Node, drive: Drive, peer: RealPeer, member: int, role: Role
) -> None:
    key = drive.key.public_key.hex()
    async with open_real_peer() as reader, drive.watch() as events:
        second = await meet(node, drive, reader, role)
        await reader.call("connect", port=peer.port)
        await reader.wait_event("peer-add", drive=key, publicKey=peer.public_key.hex())
        for content in ("first", "second"):
            await peer.call("writeFile", key=key, path="/file", content=content)
            await reader.call("update", key=key)
            read = await reader.call("readFile", key=key, path="/file")
            assert read["content"] == content
        assert [events.receive_nowait().peer_id for _ in range(2)] == [member, second]
        assert nothing_waits(events)
