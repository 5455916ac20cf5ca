"""`peersockets_trio.runtime.addresses`: complete addresses, also on machines without IPv6."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from typing import Any

import pytest
import trio

from adapter.support import KEY, LOOPBACK, WIRE
from peersockets_core import Address
from peersockets_trio import open_node
from peersockets_trio.runtime.addresses import address_of, local_addresses
from peersockets_trio.runtime.telemetry import explain

LOOPBACK_NAME = socket.if_indextoname(1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        (("fe80::1", 80, 0, 1), f"[fe80::1%{LOOPBACK_NAME}]:80"),
        (("fe80::1%eth7", 80, 0, 1), "[fe80::1%eth7]:80"),
        (("fe80::1", 80, 0, 999_999), "[fe80::1%999999]:80"),
    ],
)
def test_the_names_of_sockets(name: Any, text: str) -> None:
    assert str(address_of(name)) == text
    assert Address.parse(text) == address_of(name)


@pytest.mark.parametrize("name", ["", b"\0abstract", "/run/socket"])
def test_other_families(name: Any) -> None:
    assert address_of(name) is None


def test_the_address_at_which_others_reach_a_socket() -> None:
    assert local_addresses(("10.1.2.3", 5), []) == (("10.1.2.3", 5),)
    reached = local_addresses(("0.0.0.0", 5), ["127.0.0.1", "255.255.255.255"])
    assert reached
    assert {port for _, port in reached} == {5}
    for host, _ in reached:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((host, 0))  # it is one of this host's


_ALONE = """
import subprocess
from peersockets_trio.runtime.addresses import local_addresses
assert local_addresses(("0.0.0.0", 5), ["10.9.0.7"]) == (("127.0.0.1", 5),)
for command in ("link set lo up", "address add 10.9.0.1/24 dev lo"):
    subprocess.run(["ip", *command.split()], check=True)
assert local_addresses(("0.0.0.0", 5), ["10.9.0.7"]) == (("10.9.0.1", 5),)
"""


def test_without_a_network() -> None:
    subprocess.run(["unshare", "-rn", sys.executable, "-c", _ALONE], check=True)


async def test_a_unix_socket_has_no_address() -> None:
    ours, theirs = socket.socketpair()
    streams = [trio.SocketStream(trio.socket.from_stdlib_socket(end)) for end in (ours, theirs)]
    async with open_node() as node, open_node() as other, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: other.attach(streams[1], wire=WIRE, initiator=False))
        info = await node.attach(streams[0], wire=WIRE, initiator=True)
        assert info.address is None


_LINK_LOCAL = """
import sys, trio
from peersockets_trio import open_node
async def main():
    async with open_node() as node, open_node() as other:
        with node.open_drive(bytes(range(32))) as drive, other.open_drive(bytes(range(32))):
            [listener] = await node.listen_tcp(0, host="fe80::1%lo")
            info = await other.connect_tcp(*listener.address, wire="hypercore11")
            async with drive.watch() as events:
                joined = await events.receive()
            print(listener.address, info.address, node.peer(joined.peer_id).address.host)
trio.run(main)
"""


def test_the_zone_of_a_link_local_address_is_kept() -> None:
    """A reported address can be dialled."""
    script = _LINK_LOCAL.replace("with node.open", "async with node.open")
    setup = 'ip link set lo up && ip addr add fe80::1/64 dev lo scope link nodad && exec "$@"'
    command = ("unshare", "-rn", "sh", "-c", setup, "sh", sys.executable, "-c", script)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    listening, connected, host = done.stdout.split()
    assert listening == connected
    assert listening.startswith("[fe80::1%lo]:")
    assert host == "fe80::1%lo"


class _NoIPv6(trio.abc.SocketFactory):
    def socket(self, *arguments: Any) -> trio.socket.SocketType:
        family = arguments[0] if arguments else socket.AF_INET
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return trio.socket.from_stdlib_socket(socket.socket(*arguments))


async def test_without_ipv6_the_address_that_failed_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "peersockets")
    former = trio.socket.set_custom_socket_factory(_NoIPv6())
    try:
        async with open_node() as node, node.open_drive(KEY):
            with pytest.raises(OSError, match=r"cannot listen on \[::1\]:4200: ") as listening:
                await node.listen_tcp(4200, host="::1")
            with pytest.raises(
                OSError, match=r"all attempts to connect to \[::1\]:4200 failed"
            ) as connecting:
                await node.connect_tcp("::1", 4200, wire=WIRE)
    finally:
        trio.socket.set_custom_socket_factory(former)
    assert listening.value.errno == errno.EAFNOSUPPORT
    assert "[::1]:4200 failed: Address family not supported" in explain(connecting.value)
    assert f"failed: [::1]:4200 on {WIRE}: " in caplog.text


async def test_a_port_in_use_is_named() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        async with open_node() as node:
            with pytest.raises(OSError, match=rf"cannot listen on {LOOPBACK}:{port}: .*in use") as caught:
                await node.listen_tcp(port, host=LOOPBACK)
    assert caught.value.errno == errno.EADDRINUSE
