"""`peersockets_trio.node`: identity, arguments, peers, and the end of a node by an error."""

from __future__ import annotations

import errno
from typing import Any

import pytest
import trio
import trio.testing

from adapter.support import (
    KEY,
    LOOPBACK,
    OTHER_KEY,
    WIRE,
    connect_lockstep,
    connect_memory,
    connect_tcp,
    fill,
    limited,
    meet,
    raw_member,
)
from peersockets_trio import (
    KeyPair,
    Limits,
    PeerGone,
    PeerJoined,
    PeerLeft,
    UnknownPeer,
    open_node,
)
from peersockets_trio.runtime.connection_task import attached
from peersockets_trio.testing import join_side

SEED = bytes(range(32))


# Identity


async def test_the_key_pair_is_the_identity() -> None:
    key_pair = KeyPair(SEED)
    async with open_node(key_pair=key_pair) as node:
        assert node.public_keys == key_pair.public_keys
        with pytest.raises(TypeError):
            node.public_keys["hypercore9"] = b""  # type: ignore[index]


async def test_a_node_without_key_pair_has_a_new_identity() -> None:
    async with open_node() as alice, open_node() as bob:
        assert alice.public_keys != bob.public_keys


# Bad use


@pytest.mark.parametrize(
    ("port", "error"),
    [(-1, ValueError), (65536, ValueError), ("80", TypeError), (None, TypeError), (1.5, TypeError)],
)
async def test_invalid_ports(port: Any, error: type[Exception]) -> None:
    async with open_node() as node:
        with pytest.raises(error, match="port"):
            await node.listen_tcp(port, host=LOOPBACK)
        with pytest.raises(error, match="port"):
            await node.connect_tcp(LOOPBACK, port, wire=WIRE)


async def test_port_zero_cannot_be_dialled() -> None:
    async with open_node() as node:
        with pytest.raises(ValueError, match="port must be from 1 to 65535, not 0"):
            await node.connect_tcp(LOOPBACK, 0, wire=WIRE)


async def test_unknown_wires() -> None:
    wire: Any = "hypercore8"
    stream, other = trio.testing.memory_stream_pair()
    async with open_node() as node:
        with pytest.raises(ValueError, match=r"wire must be one of hypercore9.*'hypercore8'"):
            await node.connect_tcp(LOOPBACK, 1, wire=wire)
        with pytest.raises(ValueError, match="wire must be one of"):
            await node.attach(stream, wire=wire, initiator=True)
    await stream.aclose()
    await other.aclose()


@pytest.mark.parametrize(
    ("key", "error"),
    [
        ("", ValueError),
        ("hyper://", ValueError),
        ("00" * 31, ValueError),
        ("0g" * 32, ValueError),
        ("\udc80" * 64, ValueError),
        ("https://example.org/", ValueError),
        (b"short", ValueError),
        (bytes(33), ValueError),
        (None, TypeError),
        (7, TypeError),
    ],
)
async def test_a_drive_key_must_be_valid(key: Any, error: type[Exception]) -> None:
    async with open_node() as node:
        with pytest.raises(error, match="key"):
            node.open_drive(key)


async def test_unknown_topic_scopes() -> None:
    scope: Any = "planet"
    async with open_node() as node:
        with pytest.raises(ValueError, match="topic_scope must be one of drive, network, not 'planet'"):
            node.open_drive(KEY, topic_scope=scope)


async def test_a_port_in_use_leaves_the_node_as_it_was() -> None:
    async with open_node() as node:
        (listener,) = await node.listen_tcp(0, host=LOOPBACK)
        with pytest.raises(OSError, match="in use") as caught:
            await node.listen_tcp(listener.address[1], host=LOOPBACK)
        assert caught.value.errno == errno.EADDRINUSE
        assert await node.listen_tcp(0, host=LOOPBACK)


async def test_a_closed_node() -> None:
    async with open_node() as node:
        drive = node.open_drive(KEY)
        topic = drive.join("chat")
        events = drive.watch()
    stream, other = trio.testing.memory_stream_pair()
    assert drive.closed
    assert topic.closed
    assert events.closed
    for use in (
        lambda: node.listen_tcp(0, host=LOOPBACK),
        lambda: node.connect_tcp(LOOPBACK, 1, wire=WIRE),
        lambda: node.attach(stream, wire=WIRE, initiator=True),
    ):
        with pytest.raises(trio.ClosedResourceError):
            await use()
    with pytest.raises(trio.ClosedResourceError):
        node.open_drive(KEY)
    await stream.aclose()
    await other.aclose()


# Peers


@pytest.mark.parametrize("peer_id", [0, 1, -1, 2**70])
async def test_unknown_peers(peer_id: int) -> None:
    async with open_node() as node:
        with pytest.raises(UnknownPeer, match=f"peer_id {peer_id} ") as caught:
            node.peer(peer_id)
        assert caught.value.peer_id == peer_id


@pytest.mark.parametrize("peer_id", ["1", None, 1.0, True])
async def test_a_peer_id_must_be_a_number(peer_id: Any) -> None:
    async with meet() as (alice, _):
        with pytest.raises(TypeError, match="peer_id must be int"):
            alice.node.peer(peer_id)


async def test_the_facts_about_a_peer() -> None:
    async with meet(connect_tcp) as (alice, bob):
        peer = alice.node.peer(alice.peer_id)
        assert peer.peer_id == alice.peer_id == 1
        assert peer.public_key == bob.node.public_keys[WIRE]
        assert peer.wire == WIRE
        assert peer.address is not None
        assert peer.address[0] == LOOPBACK
        assert peer.drives == (KEY,)
        assert alice.drive.peers == {alice.peer_id: peer}
        async with alice.node.open_drive(OTHER_KEY) as other, bob.node.open_drive(OTHER_KEY):
            await join_side(alice.node, other)
            assert alice.node.peer(alice.peer_id).drives == (KEY, OTHER_KEY)
        bob.drive.close()
        assert await alice.events.receive() == PeerLeft(1, peer.public_key, WIRE)
        known = alice.node.peer(alice.peer_id)
        assert known.drives == ()
        assert known.address == peer.address


async def test_peer_ids_stay_the_same(autojump_clock: trio.testing.MockClock) -> None:
    """They are the same for every drive and watch, and when a key comes back. Another key gets another id."""
    seeds = [bytes([number]) * 32 for number in (1, 2)]
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive, drive.watch() as events:
            for seed, peer_id in ((seeds[0], 1), (seeds[1], 2), (seeds[0], 1)):
                async with (
                    open_node(key_pair=KeyPair(seed)) as visitor,
                    visitor.open_drive(KEY),
                    visitor.open_drive(OTHER_KEY),
                ):
                    await connect_memory(visitor, node)
                    key = visitor.public_keys[WIRE]
                    assert await events.receive() == PeerJoined(peer_id, key, WIRE)
                    async with node.open_drive(OTHER_KEY) as other:
                        assert (await join_side(node, other)).peer_id == peer_id
                left = await events.receive()
                assert isinstance(left, PeerLeft)
                assert left.peer_id == peer_id
            assert node.peer(1).address is None


# After an error


async def test_a_crash_of_the_application_ends_its_node_only() -> None:
    with limited():
        async with open_node() as alice, alice.open_drive(KEY) as drive, drive.watch() as events:

            async def crash_once_joined() -> None:
                async with open_node() as bob, bob.open_drive(KEY), trio.open_nursery() as nursery:
                    await connect_tcp(bob, alice)
                    assert isinstance(await events.receive(), PeerJoined)
                    nursery.start_soon(_crash)

            with pytest.raises(ExceptionGroup) as caught:
                await crash_once_joined()
            assert caught.group_contains(ZeroDivisionError)
            assert isinstance(await events.receive(), PeerLeft)
            async with open_node() as carol, carol.open_drive(KEY):
                await connect_tcp(carol, alice)
                assert isinstance(await events.receive(), PeerJoined)


async def _crash() -> None:
    raise ZeroDivisionError


async def test_a_member_that_has_left_is_gone() -> None:
    async with meet() as (alice, bob), alice.drive.join("chat") as chat:
        bob.drive.close()
        assert isinstance(await alice.events.receive(), PeerLeft)
        with pytest.raises(PeerGone, match="peer 1 is gone") as caught:
            await chat.send(alice.peer_id, b"")
        assert caught.value.peer_id == alice.peer_id


# Disconnecting


async def test_disconnecting_a_peer_that_does_not_read(autojump_clock: trio.testing.MockClock) -> None:
    """The peer leaves at once, and messages that it has not taken are lost; other peers stay."""
    async with meet(connect_lockstep, limits=Limits(send_buffer=1000)) as (alice, bob):
        deaf = await raw_member(alice.node)
        joined = await alice.events.receive()
        chat = alice.drive.join("chat")
        sent = await fill(chat, joined.peer_id)
        before = trio.current_time()
        alice.node.disconnect(joined.peer_id, "it does not read")
        left = alice.events.receive_nowait()
        assert isinstance(left, PeerLeft)
        assert (left.peer_id, left.reason) == (joined.peer_id, "it does not read")
        assert sent * 500 <= left.unsent <= sent * 600
        await deaf.until_dropped()
        assert trio.current_time() == before
        assert list(alice.drive.peers) == [alice.peer_id]
        async with bob.drive.join("chat") as inbox:
            await chat.send(alice.peer_id, b"hello")
            assert (await inbox.receive()).message == b"hello"
        await trio.aclose_forcefully(deaf.stream)


async def test_disconnecting_has_a_reason() -> None:
    async with meet() as (alice, bob):
        alice.node.disconnect(alice.peer_id)
        left = await alice.events.receive()
        assert isinstance(left, PeerLeft)
        assert (left.reason, left.unsent) == ("disconnected here", 0)
        assert isinstance(await bob.events.receive(), PeerLeft)
        alice.node.disconnect(alice.peer_id)  # a second time changes nothing
        with pytest.raises(UnknownPeer):
            alice.node.disconnect(7)
        with pytest.raises(TypeError, match="peer_id must be int"):
            alice.node.disconnect("1")  # type: ignore[arg-type]


async def test_a_disconnected_peer_may_come_back() -> None:
    async with meet(connect_tcp) as (alice, bob):
        alice.node.disconnect(alice.peer_id)
        assert isinstance(await alice.events.receive(), PeerLeft)
        await connect_tcp(bob.node, alice.node)
        joined = await alice.events.receive()
        assert isinstance(joined, PeerJoined)
        assert joined.peer_id == alice.peer_id


@pytest.mark.parametrize("second", ["the same node", "another node"])
async def test_a_stream_is_attached_once(second: str) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    with limited():
        async with open_node() as node, open_node() as other, trio.open_nursery() as nursery:
            nursery.start_soon(lambda: other.attach(theirs, wire=WIRE, initiator=False))
            await node.attach(ours, wire=WIRE, initiator=True)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError, match="already belongs to a connection"):
                await (node if second == "the same node" else other).attach(ours, wire=WIRE, initiator=False)
            assert node.statistics().connections == other.statistics().connections == 1
    assert not attached
