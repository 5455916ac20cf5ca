"""`peersockets_trio.testing.chaos`: a stream like any other, and its faults."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import trio
import trio.testing

from adapter.support import LOOPBACK, limited
from peersockets_trio.testing import ChaosStream, Cut, Fault

DATA = bytes(range(256)) * 4


def pair(**options: Any) -> tuple[ChaosStream, trio.abc.HalfCloseableStream]:
    ours, theirs = trio.testing.memory_stream_pair()
    return ChaosStream(ours, **options), theirs


async def read_all(stream: trio.abc.Stream) -> bytes:
    data = b""
    while chunk := await stream.receive_some():
        data += chunk
    return data


# Without faults


@pytest.mark.parametrize("options", [{}, {"largest_chunk": 3000}, {"longest_delay": 1.0}], ids=str)
async def test_a_half_closeable_stream_like_any_other(
    options: dict[str, Any], autojump_clock: trio.testing.MockClock
) -> None:
    """It passes the checks that Trio applies to its own streams."""

    async def make() -> tuple[ChaosStream, ChaosStream]:
        ours, theirs = trio.testing.memory_stream_pair()
        return ChaosStream(ours, **options), ChaosStream(theirs, **options)

    async def make_clogged() -> tuple[ChaosStream, ChaosStream]:
        ours, theirs = trio.testing.lockstep_stream_pair()
        return ChaosStream(ours, **options), ChaosStream(theirs, **options)

    await trio.testing.check_half_closeable_stream(make, make_clogged)


async def test_the_same_seed_behaves_in_the_same_way(autojump_clock: trio.testing.MockClock) -> None:
    async def run(seed: int) -> list[tuple[float, int]]:
        stream, far = pair(random=Random(seed), largest_chunk=100, longest_delay=2.0)
        start, seen = trio.current_time(), []

        async def receive() -> None:
            while chunk := await stream.receive_some():
                seen.append((round(trio.current_time() - start, 6), len(chunk)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            nursery.start_soon(stream.send_all, DATA)
            await far.send_all(DATA)
            await far.send_eof()
        assert await far.receive_some() == DATA
        assert (stream.sent, stream.received) == (len(DATA), len(DATA))
        return seen

    first = await run(1)
    assert first == await run(1) != await run(2)
    assert sum(size for _, size in first) == len(DATA)
    assert {1, 100} >= {min(1, *(size for _, size in first)), 100}
    assert all(size <= 100 for _, size in first)
    assert 0 < first[-1][0] <= 2.0 * len(first) + 2.0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"largest_chunk": 0}, "largest_chunk must be 1 or more, not 0"),
        ({"longest_delay": -1}, "longest_delay must be 0 or more, not -1"),
    ],
)
def test_bad_options(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        pair(**options)


@pytest.mark.parametrize("arguments", [(-1,), (0, "explosion")])
def test_bad_cuts(arguments: Any) -> None:
    with pytest.raises(ValueError, match=r"'after'|'fault'"):
        Cut(*arguments)


# Faults


@pytest.mark.parametrize("fault", ["reset", "eof"])
@pytest.mark.parametrize("after", [0, 1, 500, len(DATA) - 1])
async def test_sending_breaks_at_a_byte(after: int, fault: Fault) -> None:
    stream, far = pair(cut_sending=Cut(after, fault), largest_chunk=100)
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_all(DATA)
    assert await read_all(far) == DATA[:after]
    assert stream.sent == after
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_all(b"more")
    if fault == "eof":
        await far.send_all(b"the other direction")
        assert await stream.receive_some() == b"the other direction"
        await stream.send_eof()
        await stream.wait_send_all_might_not_block()
    else:
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        with pytest.raises(trio.BrokenResourceError):
            await far.send_all(b"the other direction")
    await stream.aclose()


@pytest.mark.parametrize("fault", ["reset", "eof"])
async def test_the_far_end_learns_of_it_before_there_is_more_to_send(fault: Fault) -> None:
    stream, far = pair(cut_sending=Cut(len(DATA), fault))
    await stream.send_all(DATA)
    assert await read_all(far) == DATA


async def test_sending_falls_silent() -> None:
    stream, far = pair(cut_sending=Cut(500, "silence"))
    for _ in range(2):
        await stream.send_all(DATA)
    assert stream.sent == 500
    assert await far.receive_some() == DATA[:500]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(far.receive_some)
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        nursery.cancel_scope.cancel()
    await far.send_all(b"the other direction")
    assert await stream.receive_some() == b"the other direction"


@pytest.mark.parametrize("after", [0, 1, 500])
async def test_receiving_ends_at_a_byte(after: int) -> None:
    stream, far = pair(cut_receiving=Cut(after, "eof"), largest_chunk=100)
    await far.send_all(DATA)
    assert await read_all(stream) == DATA[:after]
    await stream.send_all(b"the other direction")
    assert await far.receive_some() == b"the other direction"


@pytest.mark.parametrize("after", [0, 1, 500])
async def test_receiving_is_reset_at_a_byte(after: int) -> None:
    stream, far = pair(cut_receiving=Cut(after))
    await far.send_all(DATA)
    for number in range(0, after, 250):
        assert await stream.receive_some(250) == DATA[number : min(number + 250, after)]
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_all(b"more")
    assert await read_all(far) == b""


async def test_receiving_falls_silent_until_closed() -> None:
    stream, far = pair(cut_receiving=Cut(500, "silence"))
    await far.send_all(DATA)
    assert await stream.receive_some() == DATA[:500]
    with limited():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_closed, stream)
            await trio.testing.wait_all_tasks_blocked()
            await far.send_all(DATA)  # the far end notices nothing
            await far.send_eof()
            await trio.testing.wait_all_tasks_blocked()
            await stream.aclose()
    assert stream.received == 500


async def expect_closed(stream: ChaosStream) -> None:
    with pytest.raises(trio.ClosedResourceError):
        await stream.receive_some()


async def test_a_reset_wakes_a_task_waiting_in_the_other_direction() -> None:
    stream, _ = pair(cut_sending=Cut(3))

    async def receive() -> None:
        with pytest.raises(trio.BrokenResourceError, match="reset"):
            await stream.receive_some()

    with limited():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked()
            await stream.send_all(b"abc")


async def test_tcp_is_reset_in_earnest() -> None:
    outcome: list[BaseException] = []

    async def serve(stream: trio.SocketStream) -> None:
        try:
            await read_all(stream)
        except trio.BrokenResourceError as error:
            outcome.append(error)

    with limited():
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(_serve, serve)
            client = await trio.open_tcp_stream(LOOPBACK, listeners[0].socket.getsockname()[1])
            stream = ChaosStream(client, cut_sending=Cut(10))
            await stream.send_all(bytes(10))
            while not outcome:
                await trio.testing.wait_all_tasks_blocked(0.001)
            nursery.cancel_scope.cancel()
    assert isinstance(outcome[0].__cause__, ConnectionResetError)


async def _serve(
    handler: Any, task_status: trio.TaskStatus[list[trio.SocketListener]] = trio.TASK_STATUS_IGNORED
) -> None:
    await trio.serve_tcp(handler, 0, host=LOOPBACK, task_status=task_status)
