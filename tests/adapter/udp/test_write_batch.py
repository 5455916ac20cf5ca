"""`peersockets_trio.udp.write_batch`: writes in close succession leave together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from adapter.udp.support import pair, sockets
from peersockets_core.udx import Transmission
from peersockets_trio.udp import UdxStream


async def test_streams_that_write_at_once_share_few_datagrams(mock_clock: trio.testing.MockClock) -> None:
    """For most of them, ENDs ride on data, and acknowledgements on answers."""
    number = 50

    async def ask(stream: UdxStream) -> None:
        await stream.send_all(b"question")
        await stream.send_eof()
        assert await stream.receive_some() == b"answer"
        await stream.aclose()

    async def answer(stream: UdxStream) -> None:
        assert await stream.receive_some() == b"question"
        await stream.send_all(b"answer")
        await stream.aclose()

    async with sockets() as (alice, bob):
        async with trio.open_nursery() as nursery:
            for each in range(number):
                ours, theirs = pair(alice, bob, each)
                nursery.start_soon(ask, ours)
                nursery.start_soon(answer, theirs)
        assert not alice.endpoint.streams
        assert alice.endpoint.statistics().sent + bob.endpoint.statistics().sent < 6 * number


async def test_writes_that_follow_each_other_leave_together(
    monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    """This holds whichever task Trio runs first in a turn."""
    async with sockets() as (alice, bob):
        ours, _ = pair(alice, bob)
        asked = 0
        ask = alice.endpoint.datagrams_to_send

        def count(now: float) -> Iterator[Transmission]:
            nonlocal asked
            asked += 1
            return ask(now)

        monkeypatch.setattr(alice.endpoint, "datagrams_to_send", count)
        for _ in range(15):
            await ours.send_all(bytes(16 * 1024))
        assert asked == 1, "the first one leaves at once"
        await trio.testing.wait_all_tasks_blocked()
        assert asked > 1, "the others leave when no further one comes"
        before = asked
        await ours.send_all(bytes(256 * 1024))
        assert asked == before + 1, "much leaves at once"


async def test_a_task_that_writes_is_interrupted_once_a_batch(
    mock_clock: trio.testing.MockClock,
) -> None:
    """Otherwise, handling udx-native's acknowledgements takes a sender more time than its data."""
    async with sockets() as (alice, bob):
        ours, _ = pair(alice, bob)
        heard: list[bytes] = []
        alice.on_datagram = lambda data, _: heard.append(bytes(data))

        async def write(turns: int) -> None:
            for _ in range(turns):
                await ours.send_all(b"x")

        await write(2)  # the second one opens a batch
        bob.send_datagram(b"during the first wait", alice.address)
        await write(20)
        assert heard == [b"during the first wait"]
        bob.send_datagram(b"afterwards", alice.address)
        await write(20)
        assert len(heard) == 1
        await trio.testing.wait_all_tasks_blocked()
        assert heard[1:] == [b"afterwards"]
