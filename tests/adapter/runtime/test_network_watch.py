"""`peersockets_trio.runtime.network_watch`: signs that the network has changed."""

from __future__ import annotations

import errno
import subprocess
import sys
from typing import Any

import pytest
import trio

from peersockets_trio.runtime.network_watch import NetworkWatch, clock_with_sleep
from peersockets_trio.udp import UdpSocket, open_udp_socket
from peersockets_trio.udp.datagrams import Datagrams


class Clock:
    """Trio's clock, which is ahead by the time slept."""

    def __init__(self) -> None:
        self.slept = 0.0

    def __call__(self) -> float:
        return trio.current_time() + self.slept


async def test_a_clock_that_is_ahead_of_ours() -> None:
    clock = Clock()
    async with open_udp_socket("127.0.0.1") as udp:
        watch = NetworkWatch(udp, clock)
        assert not watch.look([])
        clock.slept += 4.0  # a user has set it
        assert not watch.look([])
        clock.slept += 600.0
        assert watch.look([])
        assert not watch.look([])
        clock.slept -= 600.0
        assert not watch.look([])


async def test_the_real_clock_does_not_run_away() -> None:
    async with open_udp_socket("127.0.0.1") as udp:
        watch = NetworkWatch(udp)
        assert not watch.look([])
        assert clock_with_sleep() > 0


async def test_datagrams_that_leave_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> bool:
        raise OSError(errno.ENETUNREACH, "no network")

    def send(udp: UdpSocket) -> None:
        udp.send_datagram(b"x", udp.address)

    async with open_udp_socket("127.0.0.1") as udp:
        watch = NetworkWatch(udp)
        send(udp)
        assert not watch.look([])
        with monkeypatch.context() as patch:
            patch.setattr(Datagrams, "send", refuse)
            send(udp)
        send(udp)  # to another remote, which can be reached
        assert not watch.look([])
        with monkeypatch.context() as patch:
            patch.setattr(Datagrams, "send", refuse)
            send(udp)
        assert not watch.look([])
        assert not watch.look([])  # nothing was sent
        send(udp)
        assert watch.look([])
        assert not watch.look([])


_MOVES = """
import subprocess, trio
from peersockets_trio.runtime.network_watch import NetworkWatch
from peersockets_trio.udp import open_udp_socket

def ip(command):
    subprocess.run(["ip", *command.split()], check=True)

async def main():
    async with open_udp_socket("0.0.0.0") as udp:
        watch = NetworkWatch(udp)
        assert watch.addresses[0][0] == "127.0.0.1"
        ip("link set lo up")
        for address in ("10.9.0.1", "10.9.0.2"):
            ip(f"address add {address}/24 dev lo")
            assert watch.look(["10.9.0.7"])
            assert not watch.look(["10.9.0.7"])
            assert watch.addresses == ((address, udp.address[1]),)
            ip(f"address del {address}/24 dev lo")
        assert watch.look(["10.9.0.7"])

trio.run(main)
"""


def test_an_address_that_changes() -> None:
    subprocess.run(["unshare", "-rn", sys.executable, "-W", "ignore", "-c", _MOVES], check=True)
