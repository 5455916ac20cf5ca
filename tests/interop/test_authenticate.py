"""Deciding about a remote that is a real peer of either generation."""

from typing import Final

import attrs
import pytest
import trio

from interop.generations import GENERATIONS, Generation
from interop.real_peer import RealPeer, Role, held_up, next_join, nothing_waits
from peersockets_trio import DEFAULT_LIMITS, ConnectionInfo, Node, Refused, UnexpectedKey, open_node

pytestmark = [
    pytest.mark.interop,
    pytest.mark.parametrize("real", GENERATIONS, ids=lambda real: real.wire),
]

# On a slow machine, a keepalive or a timeout would change the number of bytes sent.
HOUR: Final = 3600.0
QUIET: Final = attrs.evolve(DEFAULT_LIMITS, keepalive=HOUR, hypercore11_keepalive=HOUR, handshake_time=HOUR)


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


async def test_a_real_peer_that_is_accepted_after_a_while(real: Generation, role: Role) -> None:
    """While it waits, it sees no sign of our drive. After that it is like any other peer."""
    decision = Decision()
    async with real.open_peer() as peer, open_node(authenticate=decision, limits=QUIET) as node:
        created = await peer.call("createDrive")
        async with node.open_drive(created["key"]) as drive, drive.watch() as events:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(real.dial, node, peer, role)
                sent = await bytes_sent_on_hold(node, peer, decision)
                assert sent == await bytes_sent_without_a_drive(real, role)
                assert not peer.happened("peer-add")
                assert nothing_waits(events)
                decision.accept.set()
            joined = await next_join(events, peer.public_key)
            await peer.wait_event("peer-add", publicKey=real.our_key(node).hex())
            await real.both_ways(node, drive, peer, joined.peer_id)


class Decision:
    """An `authenticate` that accepts the remote when the test says so."""

    def __init__(self) -> None:
        self.pending = trio.Event()
        self.accept = trio.Event()

    async def __call__(self, info: ConnectionInfo) -> None:
        self.pending.set()
        await self.accept.wait()


async def bytes_sent_on_hold(node: Node, peer: RealPeer, decision: Decision) -> int:
    """Return how many bytes a node has sent when only the decision makes it send more."""
    await decision.pending.wait()
    # The handshake is over on our side. Let the remote send more, since an answer would show.
    await peer.call("createDrive")
    await held_up(node)
    return node.statistics().bytes_sent


async def bytes_sent_without_a_drive(real: Generation, role: Role) -> int:
    """Return how many bytes a node sends on hold if it has no drive open that it could reveal."""
    decision = Decision()
    async with real.open_peer() as peer, open_node(authenticate=decision, limits=QUIET) as node:
        await peer.call("createDrive")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(real.dial, node, peer, role)
            sent = await bytes_sent_on_hold(node, peer, decision)
            nursery.cancel_scope.cancel()
        return sent


async def test_a_real_peer_with_the_key_that_we_expect(real: Generation) -> None:
    async with real.open_peer() as peer, open_node() as node:
        created = await peer.call("createDrive")
        async with node.open_drive(created["key"]) as drive, drive.watch() as events:
            with pytest.raises(UnexpectedKey) as caught:
                await real.dial(node, peer, "initiator", expect=bytes(32))
            assert caught.value.actual == peer.public_key
            await real.dial(node, peer, "initiator", expect=peer.public_key)
            joined = await next_join(events, peer.public_key)
            # On the first attempt, the peer did not even learn who dialled.
            await peer.wait_event("connection", publicKey=real.our_key(node).hex())
            assert len(peer.happened("connection")) == 1
            await real.both_ways(node, drive, peer, joined.peer_id)
