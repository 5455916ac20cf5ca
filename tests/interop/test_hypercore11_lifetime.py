"""The data of real hyperdrives 13 beside us, the lifetime of connections, and their number."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import attrs
import pytest
import trio

from interop.hyperdrive13 import (
    WIRE,
    Meeting,
    connect,
    meet,
    open_meeting,
    open_real_peer,
    our_key,
)
from interop.real_peer import HOST, RealPeer, Role, listen, nothing_waits
from peersockets_trio import DEFAULT_LIMITS, Drive, DriveKey, Node, PeerJoined, PeerLeft, open_node

pytestmark = pytest.mark.interop

CROWD: Final = 50
IDLE: Final = 62.0  # seconds: an inactive real peer waits 20 to 40 s before it closes an unused connection
SILENCE: Final = 15.0  # seconds of silence allowed here: keepalives come every 5, and two may be late


@pytest.fixture
async def peer() -> AsyncIterator[RealPeer]:
    async with open_real_peer() as peer:
        yield peer


@pytest.fixture
async def met(role: Role) -> AsyncIterator[Meeting]:
    async with open_meeting(role) as met:
        yield met


async def test_a_real_drive_whose_only_peer_is_ours_does_not_wait_for_data(
    node: Node, peer: RealPeer, role: Role
) -> None:
    async with node.open_drive(os.urandom(32)) as drive:
        member = await meet(node, drive, peer, role)
        key = drive.key.public_key.hex()
        updated = await peer.call("update", key=key)
        missing = await peer.call("readFile", key=key, path="/missing")
        listed = await peer.call("readdir", key=key, path="/")
        assert (updated["updated"], missing["missing"], listed["entries"]) == (False, True, [])
        await Meeting(node, drive, peer, member).both_ways()


async def test_the_writer_of_a_drive_whose_only_peer_is_ours_continues_to_work(met: Meeting) -> None:
    key = met.drive.key.public_key.hex()
    await met.peer.call("writeFile", key=key, path="/hello.txt", content="hello")
    read = await met.peer.call("readFile", key=key, path="/hello.txt")
    missing = await met.peer.call("readFile", key=key, path="/missing")
    listed = await met.peer.call("readdir", key=key, path="/")
    await met.peer.call("update", key=key)
    assert (read["content"], missing["missing"], listed["entries"]) == ("hello", True, ["hello.txt"])
    assert list(met.drive.peers) == [met.member]
    await met.both_ways()


async def test_two_real_drives_replicate_with_us_among_them(met: Meeting, role: Role) -> None:
    key = met.drive.key.public_key.hex()
    await met.peer.call("writeFile", key=key, path="/early", content="early")
    async with open_real_peer() as reader, met.drive.watch() as events:
        member = await meet(met.node, met.drive, reader, role)
        await reader.call("connect", port=met.peer.port)
        await reader.wait_event("peer-add", drive=key, publicKey=met.peer.public_key.hex())
        for content in ("first", "second", "x" * 100_000):
            await met.peer.call("writeFile", key=key, path="/file", content=content)
            while (await reader.call("readFile", key=key, path="/file")).get("content") != content:
                await reader.call("update", key=key)
        assert (await reader.call("readFile", key=key, path="/early"))["content"] == "early"
        assert (await reader.call("readdir", key=key, path="/"))["entries"] == ["early", "file"]
        assert [events.receive_nowait().peer_id for _ in range(2)] == [met.member, member]
        assert nothing_waits(events)
        await met.both_ways()
        await attrs.evolve(met, peer=reader, member=member).both_ways("the reader's")
        assert not met.peer.happened("connection-closed")
        assert not reader.happened("connection-closed")


async def test_the_core_of_file_contents_is_refused_without_harm_and_may_be_opened_later(
    node: Node, peer: RealPeer, role: Role
) -> None:
    created = await peer.call("createDrive")
    await peer.call("writeFile", key=created["key"], path="/file", content="content")  # makes the core
    content = await peer.call("contentKey", key=created["key"])
    async with node.open_drive(created["key"]) as drive:
        member = await meet(node, drive, peer, role)
        met = Meeting(node, drive, peer, member)
        await met.both_ways()
        async with node.open_drive(content["key"]) as blobs, blobs.watch() as events:
            assert await events.receive() == met.joined
        await met.both_ways()
        assert list(drive.peers) == [member]
        assert not peer.happened("connection-closed")


@pytest.mark.parametrize("capability", [bytes(32), b"", b"short"], ids=["wrong", "empty", "short"])
async def test_a_wrong_capability_ends_the_connection_with_a_clear_reason(
    node: Node, drive: Drive, peer: RealPeer, role: Role, capability: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "peersockets")
    proof = {"discoveryKey": drive.key.discovery_key.hex(), "capability": capability.hex()}
    async with drive.watch() as events:
        if role == "initiator":
            opening = await peer.call("rawMux")
            await node.connect_tcp(HOST, opening["port"], wire=WIRE)
            await peer.call("rawOpen", mux=opening["mux"], **proof)
        else:
            await peer.call("rawOpen", port=await listen(node), **proof)
        await peer.wait_event("mux-closed")
        assert nothing_waits(events)
        await meet(node, drive, peer, "initiator")  # the node is unharmed
    [reason] = [text for text in caplog.messages if text.startswith("disconnected")]
    assert f"invalid remote capability for drive {drive.key}" in reason


async def _active(meeting: Meeting) -> None:
    await trio.sleep(IDLE)


async def _inactive(meeting: Meeting) -> None:
    await meeting.peer.call("setActive", drive=meeting.drive.key.public_key.hex(), active=False)
    await trio.sleep(IDLE)
    stopped = await meeting.peer.call("isDownloading", drive=meeting.drive.key.public_key.hex())
    assert stopped == {"downloading": False}


async def _reader(meeting: Meeting) -> None:
    async with open_real_peer(timeout=1000 * SILENCE) as reader:
        member = await meet(meeting.node, meeting.drive, reader, "initiator")
        theirs = attrs.evolve(meeting, peer=reader, member=member)
        await _inactive(theirs)
        await theirs.both_ways("the reader's")
        async with meeting.drive.watch() as events:
            assert [(await events.receive()).peer_id for _ in range(2)] == [meeting.member, member]
            await reader.call("disconnect")
            assert isinstance(await events.receive(), PeerLeft)


async def _idle(scenario: Callable[[Meeting], Awaitable[None]], role: Role) -> None:
    limits = attrs.evolve(DEFAULT_LIMITS, hypercore11_silence=SILENCE)
    async with open_meeting(role, limits=limits, timeout=1000 * SILENCE) as met, met.drive.watch() as events:
        assert await events.receive() == met.joined
        await scenario(met)
        await met.both_ways()
        assert met.member in met.drive.peers
        assert not met.peer.happened("peer-remove")
        assert not met.peer.happened("connection-closed")


async def _silent(role: Role) -> None:
    limits = attrs.evolve(DEFAULT_LIMITS, hypercore11_silence=SILENCE)
    async with open_meeting(role, limits=limits) as met, met.drive.watch() as events:
        assert await events.receive() == met.joined
        began = trio.current_time()
        await met.both_ways()
        await met.peer.call("silence")
        left = await events.receive()
        assert isinstance(left, PeerLeft)
        assert left.reason == f"nothing received for {SILENCE:g} seconds"
        assert trio.current_time() - began >= SILENCE


@pytest.mark.slow
async def test_idle_inactive_and_silent_connections_live_as_long_as_they_should() -> None:
    # All at once, because real time passes.
    roles: tuple[Role, Role] = ("initiator", "responder")
    async with trio.open_nursery() as nursery:
        for role in roles:
            for scenario in (_active, _inactive, _reader):
                nursery.start_soon(_idle, scenario, role, name=f"{scenario.__name__} as {role}")
            nursery.start_soon(_silent, role)


async def test_a_crowd_of_real_peers_on_one_node(node: Node) -> None:
    roles: tuple[Role, Role] = ("initiator", "responder")
    answered, all_met = trio.Event(), trio.Event()
    members: set[int] = set()

    async def take_part(drive: Drive, role: Role) -> None:
        async with open_real_peer() as peer:
            member = await meet(node, drive, peer, role)
            theirs = await Meeting(node, drive, peer, member).join("chat")
            members.add(member)
            if len(members) == CROWD:
                all_met.set()
            assert await theirs.receive() == (our_key(node), b"hello")
            await theirs.send(our_key(node), peer.public_key)
            await answered.wait()

    async with (
        node.open_drive(os.urandom(32)) as drive,
        drive.join("chat") as ours,
        drive.watch() as events,
    ):
        async with trio.open_nursery() as nursery:
            for i in range(CROWD):
                nursery.start_soon(take_part, drive, roles[i % 2])
            await all_met.wait()
            assert set(drive.peers) == members == set(range(1, CROWD + 1))
            assert await ours.broadcast(b"hello") == CROWD
            answers = [await ours.receive() for _ in range(CROWD)]
            answered.set()
        assert {answer.peer_id for answer in answers} == members
        assert all(answer.message == answer.public_key for answer in answers)
        history = [await events.receive() for _ in range(2 * CROWD)]
        assert sum(isinstance(event, PeerLeft) for event in history) == CROWD
        assert not drive.peers


async def test_a_second_connection_of_a_real_peer_is_folded_into_the_first(met: Meeting, role: Role) -> None:
    async with met.drive.watch() as events:
        await connect(met.node, met.peer, "responder" if role == "initiator" else "initiator")
        await met.peer.wait_event("connection-closed", error=None)
        await met.both_ways()
        assert await events.receive() == met.joined
        assert nothing_waits(events)
        assert (await met.peer.call("stats"))["connections"] == 1


async def test_two_of_our_nodes_meet() -> None:
    key = DriveKey.parse(os.urandom(32))
    async with (
        open_node() as node, node.open_drive(key) as drive, drive.watch() as events,
        drive.join("chat") as chat, open_node() as other, other.open_drive(key) as their_drive,
        their_drive.watch() as their_events, their_drive.join("chat") as their_chat,
    ):  # fmt: skip
        info = await node.connect_tcp(HOST, await listen(other), wire=WIRE)
        assert info.public_key == our_key(other)
        assert await events.receive() == PeerJoined(1, our_key(other), WIRE)
        assert await their_events.receive() == PeerJoined(1, our_key(node), WIRE)
        for ours, theirs, sender in ((chat, their_chat, node), (their_chat, chat, other)):
            await ours.send(1, b"hello")
            assert await theirs.receive() == (1, b"hello", our_key(sender))
        their_drive.close()
        assert await events.receive() == PeerLeft(1, our_key(other), WIRE)
