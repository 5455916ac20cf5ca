"""A recorded connection over a stream: both ends meet, and each makes its reports."""

from __future__ import annotations

import re

import pytest
import trio

from cli.support import TIME
from peersockets_core import Address
from peersockets_trio.cli.live import meet


async def test_one_listens_and_the_other_connects(capsys: pytest.CaptureFixture[str]) -> None:
    sides = {}

    async def listen() -> None:
        stream, side = await meet([Address("127.0.0.1", 0)], [])
        async with stream:
            sides[side] = await stream.receive_some(5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        with trio.fail_after(TIME):
            while not (found := re.search(r"listening on 127\.0\.0\.1:(\d+)", capsys.readouterr().err)):
                await trio.lowlevel.checkpoint()
        stream, side = await meet([], [Address("127.0.0.1", int(found[1]))])
        async with stream:
            assert side == "initiator"
            await stream.send_all(b"hello")
    assert sides == {"responder": b"hello"}


async def test_no_peer_at_the_address() -> None:
    with trio.socket.socket() as probe:
        await probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        with pytest.raises(OSError, match="all attempts to connect"):
            await meet([], [Address("127.0.0.1", port)])
