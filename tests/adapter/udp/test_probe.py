"""`peersockets_trio.udp.probe`: the second socket of a swarm."""

from __future__ import annotations

import pytest
import trio

from adapter.support import limited
from peersockets_trio.udp import open_probe_socket

HOST = "127.0.0.1"


async def test_datagrams_go_out_and_come_in() -> None:
    async with open_probe_socket(HOST) as alice, open_probe_socket(HOST) as bob:
        sending, receiving = trio.open_memory_channel[tuple[bytes, tuple[str, int]]](10)
        address = bob.address
        alice.send_datagram(b"nobody listens", address)
        with limited():
            await trio.lowlevel.wait_readable(bob.socket)
        await trio.testing.wait_all_tasks_blocked()
        bob.on_datagram = lambda data, source: sending.send_nowait((data, source))
        alice.send_datagram(b"question", address)
        with limited():
            assert await receiving.receive() == (b"question", alice.address)


async def test_a_datagram_that_cannot_be_sent_is_lost() -> None:
    async with open_probe_socket(HOST) as probe:
        probe.send_datagram(bytes(100_000), (HOST, 9))
        probe.send_datagram(b"", ("255.255.255.255", 9))


async def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(OSError, match="assign"):
        async with open_probe_socket("192.0.2.1"):
            raise AssertionError
