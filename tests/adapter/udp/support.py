"""The parts that the tests of UDX over real sockets share."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from adapter.support import LOOPBACK, limited
from peersockets_core.udx import DEFAULT_UDX_LIMITS, UdxLimits
from peersockets_trio.udp import UdpSocket, UdxStream, open_udp_socket
from peersockets_trio.udp.datagrams import Datagrams

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


@contextmanager
def bound(host: str = LOOPBACK) -> Iterator[Datagrams]:
    """A socket without tasks."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        yield Datagrams(sock)


def read(receiver: Datagrams) -> list[tuple[bytes, int]]:
    """Read everything, which loopback has delivered by the time that the sender returns."""
    runs: list[tuple[bytes, int]] = []
    while receiver.read(lambda data, size, _: runs.append((bytes(data), size))):
        pass
    return runs


def pieces(runs: list[tuple[bytes, int]]) -> list[bytes]:
    return [data[at : at + size] for data, size in runs for at in range(0, len(data) or 1, size or 1)]
