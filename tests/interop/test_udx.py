"""Streams between our code and real udx-native."""

from __future__ import annotations

import base64

import pytest
import trio
import trio.testing

from interop.udx_peer import (
    HOST,
    KIB,
    MIB,
    OLD,
    OURS,
    THEIRS,
    Meeting,
    base64_of,
    digest,
    meet,
    open_udx_peer,
    pseudorandom,
    tally,
)
from peersockets_core.udx import UdxLimits
from peersockets_trio.udp import UdxStream, open_udp_socket

pytestmark = pytest.mark.interop

SIZES = [0, 1, 1152, 1153, 100 * KIB, 5 * MIB, 64 * MIB]


async def send_and_end(stream: UdxStream, data: bytes, size: int = 256 * KIB) -> None:
    for start in range(0, len(data), size):
        await stream.send_all(data[start : start + size])
    await stream.send_eof()


@pytest.mark.parametrize("size", SIZES)
async def test_the_peer_echoes(size: int) -> None:
    data = pseudorandom("ours", size)
    async with meet(role="echo") as meeting, trio.open_nursery() as nursery:
        nursery.start_soon(send_and_end, meeting.stream, data)
        assert await meeting.receive_all() == data
        closed = await meeting.wait_event("close")
        assert closed["error"] is None
        assert tally(closed) == digest(data)


@pytest.mark.parametrize("size", SIZES)
async def test_we_echo(size: int) -> None:
    data = pseudorandom("theirs", size)
    async with meet() as meeting:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_source, meeting, size)
            async for received in meeting.stream:
                await meeting.stream.send_all(received)
            await meeting.stream.send_eof()
        closed = await meeting.wait_event("close")
        assert closed["error"] is None
        assert tally(closed) == digest(data)


async def _source(meeting: Meeting, size: int) -> None:
    await meeting.call("source", seed="theirs", size=size)


async def test_both_directions_at_once() -> None:
    ours, theirs = pseudorandom("ours", 8 * MIB), pseudorandom("theirs", 8 * MIB)
    async with meet(role="half") as meeting, trio.open_nursery() as nursery:  # its half ends with the source
        nursery.start_soon(send_and_end, meeting.stream, ours)
        nursery.start_soon(_source, meeting, len(theirs))
        assert await meeting.receive_all() == theirs
        assert tally(await meeting.wait_event("end")) == digest(ours)
        assert (await meeting.wait_event("close"))["error"] is None


@pytest.mark.parametrize("size", [1, 100, 16 * KIB])
async def test_many_small_writes(size: int) -> None:
    data = pseudorandom("ours", 200 * size)
    async with meet() as meeting:
        await send_and_end(meeting.stream, data, size)
        assert tally(await meeting.wait_event("end")) == digest(data)


async def test_the_peers_half_ends_first() -> None:
    async with meet(role="half") as meeting:
        await meeting.call("source", seed="theirs", size=1000)
        assert await meeting.receive_all() == pseudorandom("theirs", 1000)
        await send_and_end(meeting.stream, pseudorandom("ours", MIB))
        closed = await meeting.wait_event("close")
        assert (closed["error"], tally(closed)) == (None, digest(pseudorandom("ours", MIB)))


async def test_our_half_ends_first() -> None:
    async with meet(role="half") as meeting:
        await meeting.stream.send_all(b"question")
        await meeting.stream.send_eof()
        assert tally(await meeting.wait_event("end")) == digest(b"question")
        await meeting.call("source", seed="theirs", size=MIB)
        assert await meeting.receive_all() == pseudorandom("theirs", MIB)
        assert (await meeting.wait_event("close"))["error"] is None


async def test_the_peer_destroys_its_stream() -> None:
    async with meet() as meeting:
        await meeting.stream.send_all(b"hello")
        await meeting.call("flush")
        await meeting.call("destroy")
        with pytest.raises(trio.BrokenResourceError, match="destroyed"):
            await meeting.stream.receive_some()
        with pytest.raises(trio.BrokenResourceError, match="destroyed"):
            await meeting.stream.send_all(b"more")


async def test_we_destroy_our_stream() -> None:
    async with meet() as meeting:
        await meeting.stream.send_all(b"hello")
        await trio.aclose_forcefully(meeting.stream)
        closed = await meeting.wait_event("close")
        assert "connection reset by peer" in closed["error"]


async def test_leaving_destroys_open_streams() -> None:
    async with open_udx_peer() as peer:
        async with open_udp_socket(HOST) as udp:
            stream = udp.connect(OURS, THEIRS, (HOST, peer.port))
            await peer.call("open", local=THEIRS, remote=OURS, port=udp.address[1])
            await stream.send_all(b"hello")
        assert (await peer.wait_event("close", local=THEIRS))["error"] is not None


async def test_closing_delivers_all_sent_data() -> None:
    data = pseudorandom("ours", 4 * MIB)
    async with meet() as meeting:
        await meeting.stream.send_all(data)
        await meeting.stream.aclose()
        closed = await meeting.wait_event("close")
        assert (closed["error"], tally(closed)) == (None, digest(data))


async def _until_asked(meeting: Meeting, times: int) -> None:
    """Wait until the remote has found our window closed and asked about it this many times."""
    asked = unread = received = 0
    while asked < times:
        await trio.testing.wait_all_tasks_blocked(0.05)
        before = unread, received
        unread, received = meeting.stream.core.unread, meeting.udp.endpoint.statistics().received
        if unread < meeting.udp.endpoint.limits.window or unread != before[0]:
            asked = 0
        elif received > before[1]:
            asked += 1


@pytest.mark.parametrize("package", ["udx-native", OLD])
async def test_our_window_fills_and_opens_again(package: str) -> None:
    """The current release asks about a closed window with heartbeats, an old release with data."""
    size = 2 * MIB
    async with meet(package=package, limits=UdxLimits(window=256 * KIB)) as meeting:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_source, meeting, size)
            await _until_asked(meeting, 2)
            unread = meeting.stream.core.unread
            assert 256 * KIB <= unread <= 256 * KIB + meeting.udp.endpoint.limits.window_excess
            assert await meeting.receive_all() == pseudorandom("theirs", size)
        await meeting.stream.send_eof()
        assert (await meeting.wait_event("close"))["error"] is None


@pytest.mark.parametrize("package", ["udx-native", OLD])
async def test_both_releases(package: str) -> None:
    data = pseudorandom("ours", 4 * MIB)
    async with meet(role="echo", package=package) as meeting, trio.open_nursery() as nursery:
        nursery.start_soon(send_and_end, meeting.stream, data)
        assert await meeting.receive_all() == data
        assert (await meeting.wait_event("close"))["error"] is None


async def test_a_hundred_streams_on_one_socket() -> None:
    count, size = 100, 64 * KIB
    async with open_udp_socket(HOST) as udp, open_udx_peer() as peer:
        streams = [udp.connect(OURS + i, THEIRS + i, (HOST, peer.port)) for i in range(count)]
        await peer.call("openMany", count=count, local=THEIRS, remote=OURS, port=udp.address[1], role="echo")
        echoed: list[bytes] = [b""] * count

        async def talk(number: int) -> None:
            data = pseudorandom(f"stream {number}", size)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_and_end, streams[number], data, 10_000)
                async for received in streams[number]:
                    echoed[number] += received

        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(talk, number)
        assert echoed == [pseudorandom(f"stream {number}", size) for number in range(count)]
        for number in range(count):
            assert (await peer.wait_event("close", local=THEIRS + number))["error"] is None
        assert not udp.endpoint.streams


@pytest.mark.slow
async def test_both_sides_are_idle_for_a_minute() -> None:
    limits = UdxLimits(keepalive=5.0)
    async with meet(role="echo", limits=limits, keepalive=5000) as meeting:
        await meeting.stream.send_all(b"before")
        assert await meeting.stream.receive_some() == b"before"
        sent = meeting.udp.endpoint.statistics().sent
        await trio.sleep(60)
        statistics = meeting.udp.endpoint.statistics()
        assert 2 <= statistics.sent - sent <= 60
        await meeting.stream.send_all(b"after")
        assert await meeting.stream.receive_some() == b"after"
        await meeting.stream.send_eof()
        assert await meeting.stream.receive_some() == b""
        assert (await meeting.wait_event("close"))["error"] is None


async def test_messages() -> None:
    async with meet() as meeting:
        meeting.stream.core.send_message(b"unordered")
        meeting.udp.wake()
        message = await meeting.wait_event("message")
        assert base64.b64decode(message["data"]) == b"unordered"
        await meeting.call("message", data=base64_of(b"ignored by the adapter"))
        await meeting.stream.send_all(b"hello")
        await meeting.call("flush")
        await meeting.call("write", data=base64_of(b"there"))
        assert await meeting.stream.receive_some() == b"there"


async def test_the_peer_changes_its_remote() -> None:
    """As after leaving a relay, the stream stays the same and its packets go to another address."""
    data = pseudorandom("ours", 2 * MIB)
    async with meet(role="echo", relay={"delay": 0.005}) as meeting, trio.open_nursery() as nursery:
        nursery.start_soon(send_and_end, meeting.stream, data)
        first = bytes(await meeting.stream.receive_some())
        meeting.stream.change_remote(THEIRS, (HOST, meeting.peer.port))
        await meeting.call("changeRemote", remote=OURS, port=meeting.udp.address[1])
        assert first + await meeting.receive_all() == data
        assert (await meeting.wait_event("close"))["error"] is None
