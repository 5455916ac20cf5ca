"""Slow lines that cut everything to pieces, and TCP that is reset: every message arrives unchanged."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from random import Random

import pytest
import trio
import trio.testing

from adapter.support import KEY, LOOPBACK, all_tasks_blocked, limited, tasks
from chaos.support import nothing_left
from peersockets_core import WIRES, WireName
from peersockets_trio import (
    Limits,
    PeerGone,
    PeerJoined,
    PeerLeft,
    RemoteProtocolError,
    Topic,
    open_node,
)
from peersockets_trio.testing import ChaosStream, Cut, connect_nodes, open_node_pair

COUNT = 100
NARROW = Limits(send_buffer=2000, receive_messages=5)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("wire", WIRES)
async def test_everything_arrives_over_a_bad_line(
    wire: WireName, seed: int, autojump_clock: trio.testing.MockClock
) -> None:
    with limited():
        async with nothing_left():
            await talk_over_a_bad_line(wire, Random(seed))


async def talk_over_a_bad_line(wire: WireName, random: Random) -> None:
    def streams() -> tuple[trio.abc.Stream, trio.abc.Stream]:
        make = random.choice((trio.testing.memory_stream_pair, trio.testing.lockstep_stream_pair))
        near, far = (
            ChaosStream(end, random, largest_chunk=random.choice((20, 200, 5000)), longest_delay=0.3)
            for end in make()
        )
        return near, far

    messages = [random.randbytes(random.choice((0, 1, 100, 1000))) for _ in range(COUNT)]
    received: dict[str, list[bytes]] = {"here": [], "there": []}
    connect = partial(connect_nodes, wire=wire, streams=streams)
    async with open_node_pair(connect=connect, limits=NARROW) as (alice, bob):
        here, there = alice.drive.join("chat"), bob.drive.join("chat")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, here, alice.peer_id, messages)
            nursery.start_soon(send, there, bob.peer_id, messages[::-1])
            nursery.start_soon(receive, here, received["here"], Random(1))
            nursery.start_soon(receive, there, received["there"], Random(2))
        for side in (alice, bob):
            with pytest.raises(trio.WouldBlock):
                side.events.receive_nowait()
    assert received == {"here": messages[::-1], "there": messages}


async def send(topic: Topic, peer_id: int, messages: list[bytes]) -> None:
    for message in messages:
        await topic.send(peer_id, message)


async def receive(topic: Topic, received: list[bytes], random: Random) -> None:
    while len(received) < COUNT:
        received.append((await topic.receive()).message)
        await trio.sleep(random.choice((0, 0, 0.5)))


@pytest.mark.parametrize("wire", WIRES)
async def test_tcp_connections_that_are_reset(wire: WireName) -> None:
    """Each reset comes a little later than the last: no socket stays, and every message arrives."""
    with limited():
        async with nothing_left():
            await reset_again_and_again(wire)


async def reset_again_and_again(wire: WireName) -> None:
    async with (
        open_node() as alice,
        open_node() as bob,
        alice.open_drive(KEY) as drive,
        bob.open_drive(KEY) as same,
        drive.watch() as events,
        same.join("chat") as outbox,
    ):
        (listener,) = await alice.listen_tcp(0, host=LOOPBACK)
        for after in range(0, 2000, 100):
            stream = ChaosStream(
                await trio.open_tcp_stream(LOOPBACK, listener.address[1]), cut_sending=Cut(after)
            )
            with suppress(RemoteProtocolError, trio.BrokenResourceError):
                await bob.attach(stream, wire=wire, initiator=True)
                while same.peers or not stream.sent >= after:
                    for peer_id in same.peers:
                        with suppress(PeerGone):
                            await outbox.send(peer_id, bytes(50))
                    await all_tasks_blocked(0.001)
            while tasks(alice) or tasks(bob):
                await all_tasks_blocked(0.001)
            assert not drive.peers
        seen = []
        with suppress(trio.WouldBlock):
            while True:
                seen.append(events.receive_nowait())
        assert len(seen) > 10
        assert [type(event) for event in seen] == [PeerJoined, PeerLeft] * (len(seen) // 2)
        assert any(isinstance(event, PeerLeft) and "reset" in event.reason for event in seen)
