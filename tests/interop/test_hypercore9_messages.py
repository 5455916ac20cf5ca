"""Messages between our node and npm peersockets 1.0.0, and the names of topics on the wire."""

import os
from typing import Final

import pytest
import trio

from interop.real_peer import (
    RealPeer,
    digest,
    meet,
    nothing_waits,
    numbered,
    open_real_peer,
    our_key,
    webapp,
)
from peersockets_trio import Drive, MessageTooLarge, Node

pytestmark = pytest.mark.interop

KIB: Final = 1024
MIB: Final = 1024 * KIB
LARGEST: Final = 8 * MIB - 1  # a frame body, without one byte of extension id
SIZES: Final = [0, 1, *range(125, 131), 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB, LARGEST]

NAMES: Final = [
    "",
    "/a//b/",
    "Größe Ελληνικά 日本語",
    "\0\n\u2028",
    "\ue000",  # in UTF-16 order after the next name, and by code points before it
    "\N{GRINNING FACE}",
    "\U0010ffff",
    "\uffff",
    "x" * (64 * KIB),
]


async def test_every_size_arrives_both_ways(node: Node, network: Drive, peer: RealPeer, member: int) -> None:
    theirs = await peer.join("sizes")
    async with network.join("sizes") as ours:
        for size in SIZES:
            message = os.urandom(size)
            await ours.send(member, message)
            assert await theirs.receive() == (our_key(node), message), size
            await theirs.send(our_key(node), message)
            assert await ours.receive() == (member, message, peer.public_key), size


async def test_one_byte_more_than_a_real_peer_accepts_is_refused(
    network: Drive, peer: RealPeer, member: int
) -> None:
    theirs = await peer.join("sizes")
    async with network.join("sizes") as ours:
        with pytest.raises(MessageTooLarge, match=f"{LARGEST + 1} bytes.*limit of {LARGEST} "):
            await ours.send(member, bytes(LARGEST + 1))
        await ours.send(member, b"the connection lives")
        assert (await theirs.receive())[1] == b"the connection lives"


async def test_a_longer_extension_id_leaves_less_room(network: Drive, peer: RealPeer, member: int) -> None:
    theirs = await peer.join("zzz")
    others = [network.join(f"topic {i}") for i in range(127)]
    async with network.join("zzz") as ours:
        await ours.send(member, bytes(LARGEST))  # its id is 127
        others.append(network.join("topic 127"))
        with pytest.raises(MessageTooLarge):
            await ours.send(member, bytes(LARGEST))
        await ours.send(member, bytes(LARGEST - 1))
        assert [len((await theirs.receive())[1]) for _ in range(2)] == [LARGEST, LARGEST - 1]


async def test_a_burst_arrives_complete_and_in_order_both_ways(
    node: Node, network: Drive, peer: RealPeer, member: int
) -> None:
    count, size = 10_000, 20
    theirs, their_fence = await peer.join("burst", quiet=True), await peer.join("fence")
    async with network.join("burst") as ours, network.join("fence") as fence:
        received: list[bytes] = []

        async def receive() -> None:
            await theirs.send_many(our_key(node), count=count, size=size)
            while len(received) < count:
                received.extend(message.message for message in await ours.receive_batch())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            for message in numbered(count, size):
                await ours.send(member, message)
            await fence.send(member, b"")
            await their_fence.receive()
    assert digest(received) == digest(numbered(count, size)) == await theirs.received()


async def test_a_broadcast_reaches_all_members(node: Node, drive: Drive, peer: RealPeer, member: int) -> None:
    async with open_real_peer() as other, drive.join("chat") as ours:
        await meet(node, drive, other, "initiator")
        topics = [await real.join("chat", webapp=webapp(drive)) for real in (peer, other)]
        assert await ours.broadcast(b"to all") == 2
        for theirs in topics:
            assert await theirs.receive() == (our_key(node), b"to all")


async def test_the_two_scopes_are_plain_peersockets_and_beakers_webapp(
    node: Node, drive: Drive, network: Drive, peer: RealPeer, member: int
) -> None:
    plain, beaker = await peer.join("chat"), await peer.join("chat", webapp=webapp(drive))
    async with network.join("chat") as ours_plain, drive.join("chat") as ours_beaker:
        for ours, theirs, text in ((ours_plain, plain, b"plain"), (ours_beaker, beaker, b"beaker")):
            await ours.send(member, text)
            assert await theirs.receive() == (our_key(node), text)
            await theirs.send(our_key(node), text)
            assert (await ours.receive()).message == text
        assert nothing_waits(ours_plain)
        assert nothing_waits(ours_beaker)
    assert await plain.received() == digest([b"plain"])
    assert await beaker.received() == digest([b"beaker"])


async def test_a_topic_may_have_any_name(
    node: Node, drive: Drive, network: Drive, peer: RealPeer, member: int
) -> None:
    for name in NAMES:
        for opened, prefix in ((drive, webapp(drive)), (network, "")):
            theirs = await peer.join(name, webapp=prefix)
            async with opened.join(name) as ours:
                await ours.send(member, b"out")
                assert (await theirs.receive())[1] == b"out", name[:80]
                await theirs.send(our_key(node), b"in")
                assert (await ours.receive()).message == b"in", name[:80]


@pytest.mark.parametrize(
    "names",
    [NAMES, [f"topic {i}" for i in range(300)]],
    ids=["UTF-16 order", "ids over 127"],
)
async def test_many_topics_at_once_are_not_mixed_up(
    node: Node, network: Drive, peer: RealPeer, member: int, names: list[str]
) -> None:
    theirs = [await peer.join(name) for name in names]
    ours = [network.join(name) for name in names]
    for i, topic in enumerate(ours):
        await topic.send(member, b"to %d" % i)
        await theirs[i].send(our_key(node), b"from %d" % i)
    for i, topic in enumerate(ours):
        assert (await theirs[i].receive())[1] == b"to %d" % i
        assert (await topic.receive()).message == b"from %d" % i
        assert nothing_waits(topic)
        assert await theirs[i].received() == digest([b"to %d" % i])


async def test_topics_may_come_and_go_on_either_side_between_messages(
    node: Node, network: Drive, peer: RealPeer, member: int
) -> None:
    theirs = await peer.join("m")
    ours = network.join("m")

    async def both_ways(text: bytes) -> None:
        await ours.send(member, text)
        assert (await theirs.receive())[1] == text
        await theirs.send(our_key(node), text)
        assert (await ours.receive()).message == text

    await both_ways(b"alone")
    before, after = network.join("a"), network.join("z")
    await both_ways(b"ours in the middle")
    before.close()
    await both_ways(b"ours first")
    await peer.join("b")
    await peer.join("y")
    await both_ways(b"theirs in the middle")
    after.close()
    await both_ways(b"ours alone")


async def test_a_real_peers_stale_ids_do_no_lasting_harm(
    node: Node, drive: Drive, network: Drive, peer: RealPeer, member: int
) -> None:
    # abstract-extension 3.1.1 leaves a gap in the ids when it leaves a topic, until it joins the next one:
    # here it announces [m, z] and sends 1 for m and 2 for z.
    theirs = {name: await peer.join(name) for name in "amz"}
    ours = {name: network.join(name) for name in "amz"}
    await peer.call("leaveTopic", topic="a")
    await theirs["m"].send(our_key(node), b"with the id of z")
    await theirs["z"].send(our_key(node), b"with an id that is in no list")
    theirs["n"], ours["n"] = await peer.join("n"), network.join("n")
    for name in "mnz":
        await theirs[name].send(our_key(node), name.encode())
    assert [(await ours[name].receive()).message for name in "mn"] == [b"m", b"n"]
    assert [(await ours["z"].receive()).message for _ in range(2)] == [b"with the id of z", b"z"]
    await ours["z"].send(member, b"the connection lives")
    assert (await theirs["z"].receive())[1] == b"the connection lives"
    assert list(drive.peers) == [member]


async def test_messages_of_topics_that_are_not_joined_are_discarded(
    node: Node, network: Drive, peer: RealPeer, member: int
) -> None:
    theirs, their_fence = await peer.join("theirs"), await peer.join("fence")
    ours, fence = network.join("ours"), network.join("fence")
    await theirs.send(our_key(node), b"too early")
    await their_fence.send(our_key(node), b"")
    await fence.receive()
    await ours.send(member, b"too early")
    await fence.send(member, b"")
    await their_fence.receive()

    theirs_late, ours_late = await peer.join("ours"), network.join("theirs")
    await theirs.send(our_key(node), b"in time")
    assert (await ours_late.receive()).message == b"in time"
    await ours.send(member, b"in time")
    assert (await theirs_late.receive())[1] == b"in time"


async def test_two_handles_of_a_topic_both_receive_and_closing_one_leaves_the_other(
    node: Node, network: Drive, peer: RealPeer, member: int
) -> None:
    theirs = [await peer.join("chat") for _ in range(2)]
    first, second = network.join("chat"), network.join("chat")
    await theirs[0].send(our_key(node), b"to both")
    assert [(await ours.receive()).message for ours in (first, second)] == [b"to both"] * 2
    await first.send(member, b"to both")
    assert [(await topic.receive())[1] for topic in theirs] == [b"to both"] * 2

    first.close()
    await theirs[0].close()
    with pytest.raises(trio.ClosedResourceError):
        await first.send(member, b"")
    await theirs[1].send(our_key(node), b"to the second")
    assert (await second.receive()).message == b"to the second"
    await second.send(member, b"to the second")
    assert (await theirs[1].receive())[1] == b"to the second"
    assert await theirs[0].received() == digest([b"to both"])
