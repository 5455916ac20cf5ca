"""Streams between our code and real udx-native over a line that loses, delays and reorders packets."""

from __future__ import annotations

import pytest
import trio

from interop.udx_peer import KIB, MIB, OLD, Meeting, digest, meet, pseudorandom, tally
from interop.udx_transfer import transfer

pytestmark = pytest.mark.interop

LINE = {"delay": 0.005, "jitter": 0.002, "reorder": 0.01, "reorder_delay": 0.003, "duplicate": 0.005}

lossy = pytest.mark.parametrize(
    ("loss", "size"), [(0.0, 4 * MIB), (0.01, 2 * MIB), (0.05, 2 * MIB), (0.2, 256 * KIB)]
)


async def send(meeting: Meeting, data: bytes) -> None:
    for start in range(0, len(data), 64 * KIB):
        await meeting.stream.send_all(data[start : start + 64 * KIB])
    await meeting.stream.send_eof()


async def check_line(meeting: Meeting, loss: float) -> None:
    """Check that the line was as bad as it should be."""
    assert meeting.relay is not None
    both = (await meeting.relay.change()).values()
    assert any(counts.get("reordered") for counts in both)
    assert any(counts.get("lost") for counts in both) == bool(loss)


@lossy
async def test_we_send_data(loss: float, size: int) -> None:
    data = pseudorandom("ours", size)
    async with meet(relay={**LINE, "loss": loss}) as meeting:
        await send(meeting, data)
        assert tally(await meeting.wait_event("end")) == digest(data)
        assert await meeting.receive_all() == b""
        assert (await meeting.wait_event("close"))["error"] is None
        await check_line(meeting, loss)


@lossy
async def test_the_peer_sends_data(loss: float, size: int) -> None:
    async with meet(relay={**LINE, "loss": loss}) as meeting:
        await meeting.call("source", seed="theirs", size=size)
        assert await meeting.receive_all() == pseudorandom("theirs", size)
        await meeting.stream.send_eof()
        assert (await meeting.wait_event("close"))["error"] is None
        await check_line(meeting, loss)


@pytest.mark.parametrize("package", ["udx-native", OLD])
async def test_the_peer_echoes_data(package: str) -> None:
    loss, data = 0.05, pseudorandom("ours", 512 * KIB)
    async with meet(role="echo", relay={**LINE, "loss": loss}, package=package) as meeting:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, meeting, data)
            assert await meeting.receive_all() == data
        assert (await meeting.wait_event("close"))["error"] is None
        await check_line(meeting, loss)


async def test_a_narrow_line() -> None:
    """Its queue overflows again and again."""
    data = pseudorandom("ours", 4 * MIB)
    async with meet(relay={"delay": 0.01, "bandwidth": 20e6, "queue": 30_000}) as meeting:
        await send(meeting, data)
        assert tally(await meeting.wait_event("end")) == digest(data)


@pytest.mark.slow
async def test_a_dead_line_ends_both_sides() -> None:
    async with meet(relay={"delay": 0.001}) as meeting:
        assert meeting.relay is not None
        await meeting.stream.send_all(b"hello")
        await meeting.call("flush")
        await meeting.relay.change(loss=1.0)
        await meeting.call("source", seed="theirs", size=KIB)
        await meeting.stream.send_all(b"lost")
        with pytest.raises(trio.BrokenResourceError, match="not answered"):
            await meeting.receive_all()
        assert (await meeting.wait_event("close"))["error"] is not None


async def test_a_transfer_through_loss_shows_equal_digests() -> None:
    """`python -m interop.udx_transfer` does the same with 64 MiB."""
    lines: list[str] = []
    await transfer(2, 0.05, lines.append)
    digests = [line.split("sha256 ")[1][:64] for line in lines if "sha256" in line]
    assert digests[0] == digests[1] != digests[2] == digests[3]
    assert sum("the line lost" in line for line in lines) == 2
