"""Connecting to a host over TCP: names, refusals, cancellation, and hosts that do not answer."""

from __future__ import annotations

import math
import os
import socket
from errno import ECONNREFUSED
from typing import Any, Final

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from adapter.support import (
    LOOPBACK,
    all_tasks_blocked,
    limited,
    silent_port,
)
from chaos.support import open_files
from peersockets_trio import Disconnected, open_node
from peersockets_trio.runtime.telemetry import explain
from peersockets_trio.runtime.transport import connect
from ports import unused_port

TIMEOUT: Final = 10.0


@pytest.mark.parametrize(
    ("host", "listening"),
    [
        pytest.param(LOOPBACK, LOOPBACK, id="IPv4"),
        pytest.param("::1", "::1", id="IPv6"),
        pytest.param("localhost", LOOPBACK, id="name"),
    ],
)
async def test_connecting(host: str, listening: str) -> None:
    with limited():
        (listener,) = await trio.open_tcp_listeners(0, host=listening)
        async with listener:
            address = listener.socket.getsockname()
            async with await connect(host, address[1], TIMEOUT) as ours, await listener.accept() as theirs:
                assert ours.socket.getpeername() == address
                await ours.send_all(b"here")
                assert await theirs.receive_some() == b"here"


@pytest.mark.parametrize("host", [LOOPBACK, "::1", "localhost"])
async def test_a_refused_connection(host: str) -> None:
    """The error has the same text for every way to connect."""
    port = unused_port()
    with pytest.raises(OSError, match="all attempts") as failure:
        await connect(host, port, TIMEOUT)
    with pytest.raises(OSError, match="all attempts") as trios:
        await trio.open_tcp_stream(host, port)
    assert str(failure.value) == str(trios.value)
    assert host in str(failure.value)
    assert str(port) in str(failure.value)
    assert explain(failure.value) == f"{failure.value}: {os.strerror(ECONNREFUSED)}"


@pytest.mark.parametrize("host", [LOOPBACK, "::1", "localhost"])
async def test_cancelled_before_connecting(host: str) -> None:
    before = open_files()
    with trio.CancelScope() as scope:
        scope.cancel()
        await connect(host, unused_port(), TIMEOUT)
    assert scope.cancelled_caught
    assert open_files() == before


@pytest.mark.parametrize("host", [LOOPBACK, "localhost"])
async def test_a_host_that_does_not_answer(host: str, autojump_clock: MockClock) -> None:
    with silent_port() as port:
        before = open_files()
        with pytest.raises(TimeoutError, match=rf"^{host}:{port} did not answer within 3 seconds$"):
            await connect(host, port, 3)
        assert trio.current_time() == pytest.approx(3)
        assert open_files() == before


async def test_a_node_gives_a_host_ten_seconds(autojump_clock: MockClock) -> None:
    """It gets another time on request. The same holds for each dial of a kept connection."""
    cases: list[tuple[int, dict[str, Any]]] = [(10, {}), (25, {"timeout": 25})]
    with silent_port() as port:
        async with open_node() as node:
            for given, options in cases:
                began = trio.current_time()
                with pytest.raises(TimeoutError, match=f"within {given} seconds"):
                    await node.connect_tcp(LOOPBACK, port, wire="hypercore11", **options)
                assert trio.current_time() - began == pytest.approx(given)
                began = trio.current_time()
                async with node.keep_connected((LOOPBACK, port), wire="hypercore11", **options) as kept:
                    event = await kept.receive()
                assert isinstance(event, Disconnected)
                assert isinstance(event.error, TimeoutError)
                assert trio.current_time() - began == pytest.approx(given)


@pytest.mark.parametrize("host", [LOOPBACK, "localhost"])
async def test_cancelled_while_connecting(host: str) -> None:
    """The server accepts nobody, and its queue is full."""
    connected: list[trio.SocketStream] = []

    async def try_to_connect(port: int) -> None:
        connected.append(await connect(host, port, math.inf))

    with limited(), socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen(0)
        before = open_files()
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(try_to_connect, listener.getsockname()[1])
            await all_tasks_blocked()
            assert len(connected) < 10
            assert open_files() >= before + 10
            nursery.cancel_scope.cancel()
        for stream in connected:
            await stream.aclose()
        assert open_files() == before
