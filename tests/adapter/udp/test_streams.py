"""`peersockets_trio.udp.streams`: streams of UDX that behave like Trio's streams."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from adapter.udp.support import SMALL_WINDOW, pair, sockets, streams
from peersockets_trio.testing import cancelled_at
from peersockets_trio.udp import UdxStream


async def fill(stream: UdxStream) -> int:
    """Send until the remote has closed its window and the buffer is full. Return the number of bytes sent."""
    sent = 0

    async def send() -> None:
        nonlocal sent
        while True:
            await stream.send_all(bytes(1000))
            sent += 1000

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        while stream.core.sending.window or stream.writable:
            await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
    return sent


async def test_trios_own_checks() -> None:
    async with sockets() as (alice, bob), sockets(SMALL_WINDOW) as (carol, dave):
        numbers = itertools.count(1)

        async def make() -> tuple[UdxStream, UdxStream]:
            return pair(alice, bob, next(numbers))

        async def make_clogged() -> tuple[UdxStream, UdxStream]:
            ours, theirs = pair(carol, dave, next(numbers))
            await fill(ours)
            await fill(theirs)
            return ours, theirs

        await trio.testing.check_half_closeable_stream(make, make_clogged)


async def test_closing_sends_accepted_bytes() -> None:
    async with sockets() as (alice, bob):
        ours, theirs = pair(alice, bob)
        await ours.send_all(bytes(1_000_000))
        await ours.aclose()
        received = 0
        async for data in theirs:
            received += len(data)
        assert received == 1_000_000
        await theirs.aclose()
        assert not alice.endpoint.streams
        assert not bob.endpoint.streams


async def test_abandoning_destroys_the_stream() -> None:
    async with streams() as (ours, theirs):
        await trio.aclose_forcefully(ours)
        with pytest.raises(trio.BrokenResourceError, match="destroyed"):
            await theirs.receive_some()
        with pytest.raises(trio.BrokenResourceError, match="destroyed"):
            await theirs.send_all(b"x")


async def test_a_remote_that_does_not_read_holds_up_the_sender_until_it_does() -> None:
    async with streams(SMALL_WINDOW) as (ours, theirs):
        sent = await fill(ours)
        assert sent < 100_000
        received = 0
        while received < sent:
            received += len(await theirs.receive_some(700))
        await ours.send_all(b"more")
        assert await theirs.receive_some() == b"more"


async def test_received_bytes_can_be_taken_in_parts() -> None:
    async with streams() as (ours, theirs):
        await ours.send_all(bytes(range(100)))
        parts = [await theirs.receive_some(30) for _ in range(4)]
        assert [len(part) for part in parts] == [30, 30, 30, 10]
        assert b"".join(parts) == bytes(range(100))


async def test_bytes_that_the_caller_may_change_are_copied() -> None:
    async with streams() as (ours, theirs):
        data = bytearray(b"a" * 600_000)
        await ours.send_all(data)
        data[:] = b"b" * len(data)
        await ours.send_eof()
        assert {byte async for part in theirs for byte in part} == {ord("a")}


async def test_an_unconnected_stream_connects_to_the_first_sender() -> None:
    async with sockets() as (alice, bob):
        theirs = bob.open_stream(7)
        ours = alice.connect(1, 7, bob.address)
        await ours.send_all(b"hello")
        address = await theirs.wait_early()
        assert address == alice.address
        theirs.connect(1, address)
        assert await theirs.receive_some() == b"hello"
        assert theirs.remote_address == alice.address


async def test_a_stream_that_was_never_connected_just_ends() -> None:
    async with sockets() as (alice, _):
        stream = alice.open_stream(7)
        await stream.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await stream.wait_early()
        with pytest.raises(trio.ClosedResourceError):
            stream.connect(1, alice.address)
        assert not alice.endpoint.streams


async def test_cancelling_loses_nothing_and_repeats_nothing() -> None:
    async with streams(SMALL_WINDOW) as (ours, theirs):
        sent, received = bytearray(), bytearray()

        async def receive_to_the_end() -> None:
            parts: list[bytes | bytearray] = []

            async def receive() -> None:
                parts.append(await theirs.receive_some(1000))

            for step in itertools.cycle((1, 2)):
                if not await cancelled_at(step, receive):
                    part = parts.pop()
                    received.extend(part)
                    if not part:
                        return
                assert not parts

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive_to_the_end)
            cancelled = 0
            for number in range(300):
                message = bytes([number % 256]) * 1500
                if await cancelled_at(1 + number % 3, lambda message=message: ours.send_all(message)):  # type: ignore[misc]
                    cancelled += 1
                else:
                    sent += message
            assert 0 < cancelled < 300
            await ours.send_eof()
        assert received == sent


async def test_closing_wakes_waiting_tasks() -> None:
    async with sockets(SMALL_WINDOW) as (alice, bob):
        ours, _ = pair(alice, bob)
        await fill(ours)
        waiting = alice.open_stream(99)
        async with trio.open_nursery() as nursery:

            async def closed(wait: Callable[[], Awaitable[object]]) -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await wait()

            nursery.start_soon(closed, lambda: ours.send_all(b"more"))
            nursery.start_soon(closed, ours.receive_some)
            nursery.start_soon(closed, waiting.wait_early)
            await trio.testing.wait_all_tasks_blocked()
            await trio.aclose_forcefully(ours)
            await waiting.aclose()


async def test_one_task_waits_at_a_time() -> None:
    async with streams() as (ours, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(ours.wait_received)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await ours.wait_received()
        nursery.cancel_scope.cancel()
    async with streams() as (ours, theirs):
        with trio.move_on_after(0):
            await ours.wait_received()
        await theirs.send_all(b"x")
        assert await ours.receive_some() == b"x"
