"""The parts that the tests of UDX over real sockets share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from adapter.support import LOOPBACK, limited
from peersockets_core.udx import DEFAULT_UDX_LIMITS, UdxLimits
from peersockets_trio.udp import UdpSocket, UdxStream, open_udp_socket

SMALL_WINDOW = UdxLimits(window=20_000, window_excess=2_000, send_buffer=20_000)
"""So that a stream is soon full."""


@asynccontextmanager
async def sockets(
    limits: UdxLimits = DEFAULT_UDX_LIMITS, *, linger: float = 5.0
) -> AsyncIterator[tuple[UdpSocket, UdpSocket]]:
    with limited():
        async with (
            open_udp_socket(LOOPBACK, limits=limits, linger=linger) as alice,
            open_udp_socket(LOOPBACK, limits=limits, linger=linger) as bob,
        ):
            yield alice, bob


def pair(alice: UdpSocket, bob: UdpSocket, number: int = 1) -> tuple[UdxStream, UdxStream]:
    """Two ends of one stream."""
    return alice.connect(number, number + 1000, bob.address), bob.connect(
        number + 1000, number, alice.address
    )


@asynccontextmanager
async def streams(limits: UdxLimits = DEFAULT_UDX_LIMITS) -> AsyncIterator[tuple[UdxStream, UdxStream]]:
    async with sockets(limits) as (alice, bob):
        ours, theirs = pair(alice, bob)
        async with ours, theirs:
            yield ours, theirs
