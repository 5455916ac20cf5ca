"""`peersockets_trio.testing.nodes`: nodes that meet in memory."""

from __future__ import annotations

import random
import subprocess
import sys
from functools import partial

import pytest
import trio
import trio.testing

from adapter.support import KEY, limited
from peersockets_core import WIRES, WireName
from peersockets_trio import Node, PeerLeft, RemoteProtocolError, open_node
from peersockets_trio.testing import ChaosStream, Cut, Fault, connect_nodes, open_node_pair, wait_for_members


@pytest.mark.parametrize("wire", WIRES)
async def test_a_pair_has_met(wire: WireName, autojump_clock: trio.testing.MockClock) -> None:
    async with open_node_pair(drive_key=KEY, wire=wire) as (alice, bob):
        for here, there in ((alice, bob), (bob, alice)):
            assert here.drive.key == KEY
            peer = here.drive.peers[here.peer_id]
            assert (peer.public_key, peer.wire, peer.address) == (there.node.public_keys[wire], wire, None)
        async with alice.drive.join("chat") as chat, bob.drive.join("chat") as same:
            await chat.send(alice.peer_id, b"hello")
            assert await same.receive() == (bob.peer_id, b"hello", alice.node.public_keys[wire])
        bob.drive.close()
        assert isinstance(await alice.events.receive(), PeerLeft)


async def test_hours_pass_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with open_node_pair() as (alice, _):
        await trio.sleep(6 * 3600)
        assert len(alice.drive.peers) == 1


@pytest.mark.parametrize("fault", ["eof", "reset", "silence"])
async def test_a_failed_handshake_raises_the_error_of_attach(
    fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    def streams() -> tuple[trio.abc.Stream, trio.abc.Stream]:
        ours, theirs = trio.testing.memory_stream_pair()
        return ChaosStream(ours, cut_sending=Cut(20, fault)), theirs

    with limited():
        async with open_node() as alice, open_node() as bob:
            with pytest.raises((RemoteProtocolError, trio.BrokenResourceError)):
                await connect_nodes(alice, bob, streams=streams)


async def test_a_slow_line_delivers_everything(autojump_clock: trio.testing.MockClock) -> None:
    generator = random.Random(4)

    def streams() -> tuple[trio.abc.Stream, trio.abc.Stream]:
        ours, theirs = trio.testing.memory_stream_pair()
        return ChaosStream(ours, generator, largest_chunk=20, longest_delay=0.5), theirs

    with limited():
        async with open_node_pair(connect=partial(connect_nodes, streams=streams)) as (alice, bob):
            async with bob.drive.join("chat") as inbox, alice.drive.join("chat") as outbox:
                for number in range(20):
                    await outbox.send(alice.peer_id, bytes([number]))
                assert [(await inbox.receive()).message for _ in range(20)] == [bytes([n]) for n in range(20)]
            assert trio.current_time() > 0


async def test_waiting_for_members(autojump_clock: trio.testing.MockClock) -> None:
    with limited():
        async with open_node() as alice, alice.open_drive(KEY) as drive:
            assert await wait_for_members(drive, 0) == {}
            async with trio.open_nursery() as nursery:
                for delay in (1, 2, 3):
                    nursery.start_soon(visit, alice, delay)
                assert list(await wait_for_members(drive, 3)) == [1, 2, 3]
                assert trio.current_time() == 3
                await wait_for_members(drive, 0)
                assert trio.current_time() == 13


async def visit(host: Node, delay: float) -> None:
    await trio.sleep(delay)
    async with open_node() as node, node.open_drive(KEY):
        await connect_nodes(node, host)
        await trio.sleep(10)


async def test_bad_waits() -> None:
    async with open_node() as alice, alice.open_drive(KEY) as drive:
        with pytest.raises(ValueError, match="count must be zero or more, not -1"):
            await wait_for_members(drive, -1)
        drive.close()
        with pytest.raises(trio.ClosedResourceError):
            await wait_for_members(drive, 1)


def test_programs_do_not_load_it() -> None:
    check = "import sys, peersockets_trio; sys.exit('peersockets_trio.testing' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
