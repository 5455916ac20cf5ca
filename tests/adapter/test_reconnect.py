"""`peersockets_trio.reconnect`: a connection that is made again, in virtual time and over TCP."""

from __future__ import annotations

import itertools
from contextlib import suppress

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from adapter.reconnect_support import ADDRESS, EXACT, Line, keep
from adapter.support import (
    KEY,
    LARGER_KEY,
    SMALLER_KEY,
    WIRE,
    limited,
    tasks,
)
from peersockets_trio import (
    Backoff,
    Connected,
    ConnectionInfo,
    Disconnected,
    KeptConnection,
    PeerJoined,
    PeerLeft,
    Refused,
    UnexpectedKey,
    open_node,
)
from peersockets_trio.reconnect import DEFAULT_BACKOFF
from peersockets_trio.testing import join_side

# How long to wait


def test_waits_grow_to_the_longest() -> None:
    waits = [EXACT.seconds(failures) for failures in range(1, 12)]
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60])
    assert EXACT.seconds(10**9) == pytest.approx(60)


@pytest.mark.parametrize(("number", "factor"), [(0.0, 0.66), (1.0, 1.32)])
def test_waits_are_spread(number: float, factor: float) -> None:
    backoff = Backoff(random=lambda: number)
    assert backoff.seconds(3) == pytest.approx(4 * factor)


def test_waits_are_random_unless_given() -> None:
    assert len({DEFAULT_BACKOFF.seconds(1) for _ in range(10)}) > 1


# In virtual time


async def test_an_address_without_a_node_is_dialled_less_and_less(
    line: Line, autojump_clock: MockClock
) -> None:
    with limited():
        async with open_node() as node, keep(node) as kept:
            assert kept.connected is None
            assert kept.address == ADDRESS
            waits = []
            for _ in range(8):
                event = await kept.receive()
                assert isinstance(event, Disconnected)
                assert event.reason == "nobody is there"
                assert type(event.error) is OSError
                waits.append(event.retry_in)
            assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60])
            gaps = [later - earlier for earlier, later in itertools.pairwise(line.dialled)]
            assert gaps == pytest.approx(waits[:-1])


async def test_a_node_that_appears_later_is_met(line: Line, autojump_clock: MockClock) -> None:
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive, keep(node) as kept:
            assert isinstance(await kept.receive(), Disconnected)
            async with line.answered() as other:
                event = await kept.receive()
                info = ConnectionInfo(other.public_keys[WIRE], WIRE, ADDRESS)
                assert event == Connected(info)
                assert kept.connected == info
                assert (await join_side(node, drive)).peer_id == 1


async def test_a_key_that_comes_back_has_its_old_id(line: Line, autojump_clock: MockClock) -> None:
    with limited():
        async with (
            open_node() as node,
            node.open_drive(KEY) as drive,
            drive.watch() as events,
            keep(node) as kept,
        ):
            for key_pair, peer_id in ((SMALLER_KEY, 1), (LARGER_KEY, 2), (SMALLER_KEY, 1)):
                async with line.answered(key_pair):
                    while not isinstance(await kept.receive(), Connected):
                        pass
                    joined = await events.receive()
                    assert joined == PeerJoined(peer_id, key_pair.public_keys[WIRE], WIRE)
                left = await events.receive()
                assert isinstance(left, PeerLeft)
                assert left.peer_id == peer_id
                event = await kept.receive()
                assert isinstance(event, Disconnected)
                assert (event.reason, event.error) == ("", None)
                assert kept.connected is None


@pytest.mark.parametrize(
    ("lasting", "waits"),
    [(14.0, [1, 2, 4, 8]), (16.0, [1, 1, 1, 1])],
    ids=["short", "long"],
)
async def test_a_connection_that_lasted_resets_the_waits(
    line: Line, autojump_clock: MockClock, lasting: float, waits: list[float]
) -> None:
    with limited():
        async with open_node() as node, keep(node) as kept:
            retries = []
            for _ in range(4):
                async with line.answered():
                    while not isinstance(await kept.receive(), Connected):
                        pass
                    await trio.sleep(lasting)
                event = await kept.receive()
                assert isinstance(event, Disconnected)
                retries.append(event.retry_in)
            assert retries[0] == pytest.approx(waits[0])
            # Nobody is there for an instant, which is a failure only if it is dialled in it.
            assert retries == pytest.approx(waits)


async def test_closing_ends_the_dialling_and_the_connection(line: Line, autojump_clock: MockClock) -> None:
    with limited():
        async with open_node() as node:
            kept = keep(node)
            await kept.receive()
            kept.close()
            kept.close()
            count = len(line.dialled)
            await trio.sleep(1000)
            assert len(line.dialled) == count
            assert kept.closed
            with pytest.raises(trio.ClosedResourceError, match="KeptConnection is closed"):
                await kept.receive()
            async with line.answered() as other:
                async with keep(node) as again:
                    assert isinstance(await again.receive(), Connected)
                    assert len(tasks(other)) == 1
                assert again.connected is None
                await trio.sleep(0.1)
                assert not tasks(other)
                assert not tasks(node)


async def test_closing_before_it_has_begun(line: Line, autojump_clock: MockClock) -> None:
    with limited():
        async with open_node() as node:
            keep(node).close()
            await trio.sleep(10)
        assert line.dialled == []


async def test_a_receiver_learns_of_the_closing(line: Line, autojump_clock: MockClock) -> None:
    events: list[object] = []

    async def read(kept: KeptConnection) -> None:
        try:
            async for event in kept:
                events.append(event)
        except trio.ClosedResourceError:
            events.append(None)

    with limited():
        async with trio.open_nursery() as nursery, open_node() as node:
            nursery.start_soon(read, keep(node))
            await trio.sleep(5)
        assert len(events) == 3 + 1  # at 0, 1 and 3 seconds, and in the end


async def test_leaving_the_node_is_at_once(line: Line, autojump_clock: MockClock) -> None:
    with limited():
        async with line.answered():
            async with open_node() as node, node.open_drive(KEY):
                kept = keep(node)
                await kept.receive()
                start = trio.current_time()
            assert trio.current_time() == start
            assert kept.closed
            assert len(line.dialled) == 1
        with pytest.raises(trio.ClosedResourceError):
            keep(node)


async def test_unread_events_are_bounded(line: Line, autojump_clock: MockClock) -> None:
    """The last event always shows the current state."""
    every_second = Backoff(longest=1.0, jitter=(1.0, 1.0))
    with limited():
        async with (
            open_node() as node,
            node.keep_connected(ADDRESS, wire=WIRE, backoff=every_second) as kept,
        ):
            await trio.sleep(500)
            assert len(line.dialled) >= 500
            async with line.answered():
                await trio.sleep(2)
                unread = []
                with suppress(trio.WouldBlock):
                    while True:
                        unread.append(kept.receive_nowait())
        assert len(unread) == 64
        assert [type(event) for event in unread[-2:]] == [Disconnected, Connected]


async def test_another_key_than_expected_is_reported_and_tried_again(
    line: Line, autojump_clock: MockClock
) -> None:
    expected = SMALLER_KEY.public_keys[WIRE]
    with limited():
        async with open_node() as node, keep(node, expect=expected.hex()) as kept:
            async with line.answered(LARGER_KEY):
                event = await kept.receive()
                assert isinstance(event, Disconnected)
                assert isinstance(event.error, UnexpectedKey)
                assert event.reason == str(event.error)
            async with line.answered(SMALLER_KEY):
                while not isinstance(event, Connected):
                    event = await kept.receive()
                assert event.info.public_key == expected


async def test_a_remote_that_we_refuse_is_tried_again(line: Line, autojump_clock: MockClock) -> None:
    async def refuse(info: ConnectionInfo) -> None:
        if line.dialled[-1] < 3:
            raise Refused("not before three o'clock")

    with limited():
        async with line.answered(), open_node(authenticate=refuse) as node, keep(node) as kept:
            kinds = [await kept.receive() for _ in range(3)]
            assert [type(event) for event in kinds] == [Disconnected, Disconnected, Connected]
            assert isinstance(kinds[0], Disconnected)
            assert kinds[0].reason == "refused: not before three o'clock"


async def test_a_bug_in_authenticate_does_not_count_as_a_failure(
    line: Line, autojump_clock: MockClock
) -> None:
    async def buggy(info: ConnectionInfo) -> None:
        raise ZeroDivisionError

    async def run() -> None:
        async with open_node(authenticate=buggy) as node:
            keep(node)
            await trio.sleep_forever()

    with limited():
        async with line.answered():
            with pytest.raises(ExceptionGroup) as caught:
                await run()
            assert caught.group_contains(ZeroDivisionError)
