"""The lifetime of connections with real peers, their number, and the survivor of two."""

import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import attrs
import pytest
import trio

from interop.real_peer import (
    HOST,
    WIRE,
    RealPeer,
    RealTopic,
    Role,
    dial,
    digest,
    listen,
    meet,
    nothing_waits,
    numbered,
    open_real_peer,
    our_key,
    webapp,
)
from peersockets_trio import (
    DEFAULT_LIMITS,
    Drive,
    DriveKey,
    KeyPair,
    Node,
    PeerEvents,
    PeerJoined,
    PeerLeft,
    Topic,
    open_node,
)

pytestmark = pytest.mark.interop

CROWD: Final = 50
IDLE: Final = 60.0  # seconds: three times the silence that either side allows


@attrs.frozen
class Meeting:
    """A node and a real peer of its own, members of a drive and both on its topic."""

    node: Node
    drive: Drive
    events: PeerEvents
    peer: RealPeer
    member: int
    ours: Topic
    theirs: RealTopic

    async def both_ways(self) -> None:
        await self.ours.send(self.member, b"out")
        assert (await self.theirs.receive())[1] == b"out"
        await self.theirs.send(our_key(self.node), b"in")
        assert (await self.ours.receive()).message == b"in"

    async def leave(self) -> PeerLeft:
        """Wait until the peer leaves."""
        left = await self.events.receive()
        assert isinstance(left, PeerLeft)
        return left

    def undisturbed(self) -> bool:
        return nothing_waits(self.events) and not self.peer.happened("connection-closed")


async def _idle(meeting: Meeting) -> None:
    await trio.sleep(IDLE)
    assert meeting.undisturbed()
    await meeting.both_ways()


async def _silent(meeting: Meeting) -> None:
    began = trio.current_time()
    await meeting.both_ways()
    await meeting.peer.call("silence")
    left = await meeting.leave()
    assert trio.current_time() - began >= DEFAULT_LIMITS.silence
    assert left.reason == "nothing received for 20 seconds"


async def _deaf(meeting: Meeting) -> None:
    # A real peer that does not read counts us as silent, and ends the connection.
    await meeting.peer.call("pauseSockets")
    await meeting.leave()
    closed = await meeting.peer.wait_event("connection-closed")
    assert closed["error"] == "ETIMEDOUT"


async def _unread(meeting: Meeting) -> None:
    # We do not read: this makes neither the peer nor us silent.
    count, size = 40, 1024 * 1024
    await meeting.theirs.send_many(our_key(meeting.node), count=count, size=size)
    await trio.sleep(1.75 * DEFAULT_LIMITS.silence)
    waiting = meeting.ours.statistics().waiting_bytes
    assert DEFAULT_LIMITS.receive_bytes - 2 * size < waiting < DEFAULT_LIMITS.receive_bytes + 2 * size
    received = [(await meeting.ours.receive()).message for _ in range(count)]
    assert digest(received) == digest(numbered(count, size))
    assert meeting.undisturbed()
    await meeting.both_ways()


async def _play(scenario: Callable[[Meeting], Awaitable[None]], role: Role) -> None:
    async with open_real_peer() as peer, open_node() as node:
        created = await peer.call("createDrive")
        async with node.open_drive(created["key"]) as drive, drive.watch() as events:
            member = await meet(node, drive, peer, role)
            assert await events.receive() == PeerJoined(member, peer.public_key, WIRE)
            async with drive.join("chat") as ours:
                theirs = await peer.join("chat", webapp=webapp(drive))
                await scenario(Meeting(node, drive, events, peer, member, ours, theirs))


@pytest.mark.slow
async def test_idle_silent_and_unread_connections_live_as_long_as_they_should() -> None:
    # All at once, because real time passes.
    roles: tuple[Role, Role] = ("initiator", "responder")
    async with trio.open_nursery() as nursery:
        for scenario in (_idle, _silent, _deaf, _unread):
            for role in roles:
                nursery.start_soon(_play, scenario, role, name=f"{scenario.__name__} as {role}")


async def test_a_crowd_of_real_peers_on_one_node(node: Node, drive: Drive) -> None:
    roles: tuple[Role, Role] = ("initiator", "responder")
    answered, met = trio.Event(), trio.Event()
    members: set[int] = set()

    async def take_part(role: Role) -> None:
        async with open_real_peer() as peer:
            theirs = await peer.join("chat", webapp=webapp(drive))
            members.add(await meet(node, drive, peer, role))
            if len(members) == CROWD:
                met.set()
            assert await theirs.receive() == (our_key(node), b"hello")
            await theirs.send(our_key(node), peer.public_key)
            await answered.wait()

    async with trio.open_nursery() as nursery, drive.join("chat") as ours, drive.watch() as events:
        for i in range(CROWD):
            nursery.start_soon(take_part, roles[i % 2])
        await met.wait()
        assert set(drive.peers) == members == set(range(1, CROWD + 1))
        assert await ours.broadcast(b"hello") == CROWD
        answers = [await ours.receive() for _ in range(CROWD)]
        answered.set()
        assert {answer.peer_id for answer in answers} == members
        assert all(answer.message == answer.public_key for answer in answers)
        history = [await events.receive() for _ in range(2 * CROWD)]
        assert sum(isinstance(event, PeerLeft) for event in history) == CROWD
    assert not drive.peers


async def test_two_of_our_nodes_meet() -> None:
    key = DriveKey.parse(os.urandom(32))
    async with (
        open_node() as node, node.open_drive(key) as drive, drive.watch() as events,
        drive.join("chat") as chat,
        open_node() as other, other.open_drive(key) as their_drive, their_drive.watch() as their_events,
        their_drive.join("chat") as their_chat,
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
        their_chat.close()


async def _expect_one_connection(peer: RealPeer) -> None:
    """Wait until one of a real peer's two connections has ended."""
    await peer.wait_event("connection-closed")
    assert (await peer.call("stats"))["connections"] == 1


def _key_pairs(smaller: str) -> tuple[KeyPair, KeyPair]:
    """Return two identities, the first with the smaller hypercore9 key if `smaller` is "ours"."""
    low, high = sorted(
        (KeyPair.generate(os.urandom) for _ in range(2)), key=lambda pair: pair.x25519_public_key
    )
    return (low, high) if smaller == "ours" else (high, low)


@pytest.mark.parametrize("smaller", ["ours", "theirs"])
@pytest.mark.parametrize("deduplicating", [True, False], ids=["both fold", "only we fold"])
async def test_simultaneous_connections_with_a_real_peer_are_folded_to_one(
    smaller: str, deduplicating: bool
) -> None:
    ours, theirs = _key_pairs(smaller)
    async with open_node(key_pair=ours) as node, open_real_peer(seed=theirs.seed) as peer:
        await peer.call("setDeduplicate", on=deduplicating)
        created = await peer.call("createDrive")
        topic = await peer.join("chat", webapp=created["discoveryKey"])
        port = await listen(node)
        async with (
            node.open_drive(created["key"]) as drive,
            drive.watch() as events,
            drive.join("chat") as chat,
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(node.connect_tcp, HOST, peer.port, wire=WIRE))
                nursery.start_soon(partial(peer.call, "connect", port=port))
            assert await events.receive() == PeerJoined(1, theirs.x25519_public_key, WIRE)
            await _expect_one_connection(peer)
            await topic.send(our_key(node), b"in")
            assert (await chat.receive()).message == b"in"
            await chat.send(1, b"out")
            assert await topic.receive() == (our_key(node), b"out")
            assert list(drive.peers) == [1]
            assert nothing_waits(events)


@pytest.mark.parametrize("smaller", ["ours", "theirs"])
async def test_simultaneous_connections_of_two_of_our_nodes_are_folded_to_one(
    smaller: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "peersockets")
    key = DriveKey.parse(os.urandom(32))
    ours, theirs = _key_pairs(smaller)
    async with open_node(key_pair=ours) as node, open_node(key_pair=theirs) as other:
        ports = await listen(node), await listen(other)
        async with (
            node.open_drive(key) as drive, drive.watch() as events, drive.join("chat") as chat,
            other.open_drive(key) as their_drive, their_drive.watch() as their_events,
            their_drive.join("chat") as their_chat,
        ):  # fmt: skip
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(node.connect_tcp, HOST, ports[1], wire=WIRE))
                nursery.start_soon(partial(other.connect_tcp, HOST, ports[0], wire=WIRE))
            assert await events.receive() == PeerJoined(1, our_key(other), WIRE)
            assert await their_events.receive() == PeerJoined(1, our_key(node), WIRE)
            for i in range(100):
                await chat.send(1, b"%d" % i)
                assert (await their_chat.receive()).message == b"%d" % i
                await their_chat.send(1, b"%d" % i)
                assert (await chat.receive()).message == b"%d" % i
            # One connection ends on either side, and one does not.
            while sum("disconnected" in text for text in caplog.messages) < 2:
                await trio.lowlevel.checkpoint()
            await chat.send(1, b"still here")
            assert (await their_chat.receive()).message == b"still here"
            assert sum("disconnected" in text for text in caplog.messages) == 2
            assert nothing_waits(events)
            assert nothing_waits(their_events)


@pytest.mark.parametrize("smaller", ["ours", "theirs"])
@pytest.mark.parametrize("deduplicating", [True, False], ids=["both fold", "only we fold"])
async def test_two_connections_dialled_by_one_side_are_folded_to_one(
    role: Role, smaller: str, deduplicating: bool
) -> None:
    ours, theirs = _key_pairs(smaller)
    async with open_node(key_pair=ours) as node, open_real_peer(seed=theirs.seed) as peer:
        await peer.call("setDeduplicate", on=deduplicating)
        created = await peer.call("createDrive")
        topic = await peer.join("chat", webapp=created["discoveryKey"])
        async with (
            node.open_drive(created["key"]) as drive,
            drive.watch() as events,
            drive.join("chat") as chat,
        ):
            member = await meet(node, drive, peer, role)
            await dial(node, peer, role)
            await _expect_one_connection(peer)
            await topic.send(our_key(node), b"in")
            assert (await chat.receive()).message == b"in"
            await chat.send(member, b"out")
            assert (await topic.receive())[1] == b"out"
            assert await events.receive() == PeerJoined(member, peer.public_key, WIRE)
            assert nothing_waits(events)


@pytest.mark.parametrize("smaller", ["ours", "theirs"])
@pytest.mark.parametrize("deduplicating", [True, False], ids=["both fold", "only we fold"])
async def test_folding_under_load_loses_no_message_and_keeps_their_order(
    smaller: str, deduplicating: bool
) -> None:
    size = 64 * 1024
    ours, theirs = _key_pairs(smaller)
    async with open_node(key_pair=ours) as node, open_real_peer(seed=theirs.seed) as peer:
        await peer.call("setDeduplicate", on=deduplicating)
        created = await peer.call("createDrive")
        topic = await peer.join("load", webapp=created["discoveryKey"], quiet=True)
        their_fence = await peer.join("fence", webapp=created["discoveryKey"])
        async with node.open_drive(created["key"]) as drive, drive.watch() as events:
            member = await meet(node, drive, peer, "initiator")
            port = await listen(node)
            async with (
                trio.open_nursery() as nursery,
                drive.join("load") as load,
                drive.join("fence") as fence,
            ):
                nursery.start_soon(partial(peer.call, "connect", port=port))
                for message in numbered(100_000, size):
                    await load.send(member, message)
                    if peer.happened("connection-closed"):
                        break
                await fence.send(member, b"")
                await their_fence.receive()
                sent = load.statistics().sent_messages
            assert await topic.received() == digest(numbered(sent, size))
            assert await events.receive() == PeerJoined(member, peer.public_key, WIRE)
            assert nothing_waits(events)
