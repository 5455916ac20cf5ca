"""Each kind of place treats datagrams as its name promises."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from nat.kinds import KINDS
from nat.world import DHT_ADDRESSES, HOPS, Host, World, open_world

PROBE = Path(__file__).with_name("probe.py")
FIRST, SECOND, THIRD = DHT_ADDRESSES[:3]
PORT = 7000
BEHIND_ROUTERS = [name for name, kind in KINDS.items() if kind.routers]
FILTERED = [name for name in KINDS if name != "open"]


@attrs.frozen
class Socket:
    """A socket in a world."""

    probes: Probes
    number: int
    port: int

    def send(self, host: str, port: int, text: str, ttl: int = 64) -> None:
        self.probes.call("send", self.number, host, port, text, ttl)

    def receive(self) -> tuple[str, tuple[str, int]]:
        text, host, port = self.probes.call("receive", self.number)
        return text, (host, port)


class Probes:
    """A world, and sockets in it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._servers: dict[str, Socket] = {}
        self._process = subprocess.Popen(
            [*world.outside, sys.executable, str(PROBE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def call(self, *command: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def on(self, host: Host) -> Socket:
        """Open a socket on a host."""
        return Socket(self, *self.call("bind", host.namespace, "0.0.0.0", 0))

    def server(self, address: str) -> Socket:
        """Return the socket at an address of the host of DHT nodes."""
        if address not in self._servers:
            self._servers[address] = Socket(self, *self.call("bind", "dht", address, PORT))
        return self._servers[address]

    def seen(self, socket: Socket, address: str) -> tuple[str, int]:
        """Return the address that a server sees when the socket sends."""
        server = self.server(address)
        socket.send(address, PORT, "my address?")
        return server.receive()[1]

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def probes() -> Iterator[Probes]:
    with open_world() as world:
        probes = Probes(world)
        yield probes
        probes.close()


@pytest.mark.parametrize("kind", KINDS)
def test_the_mapping(probes: Probes, kind: str) -> None:
    place = probes.world.add_place(kind)
    socket = probes.on(place.hosts[0])
    seen = [probes.seen(socket, address) for address in (FIRST, SECOND, THIRD, FIRST)]
    assert {host for host, _ in seen} == {place.public_address}
    ports = [port for _, port in seen]
    assert ports[0] == ports[3]
    if KINDS[kind].firewall == "random":
        assert len(set(ports)) == 3
        assert socket.port not in ports
    else:
        assert set(ports) == {socket.port}


@pytest.mark.parametrize("kind", KINDS)
def test_an_unsolicited_datagram(probes: Probes, kind: str) -> None:
    place = probes.world.add_place(kind)
    socket = probes.on(place.hosts[0])
    mapped = probes.seen(socket, FIRST)
    for address in (SECOND, FIRST):  # on one path, the first datagram arrives first if it arrives at all
        probes.server(address).send(*mapped, address)
    first, _ = socket.receive()
    assert first == (SECOND if kind == "open" else FIRST)


@pytest.mark.parametrize("kind", FILTERED)
def test_an_answer(probes: Probes, kind: str) -> None:
    """An unsolicited datagram before it does not harm the mapping."""
    place = probes.world.add_place(kind)
    socket = probes.on(place.hosts[0])
    server = probes.server(SECOND)
    server.send(place.public_address, socket.port, "too early")
    mapped = probes.seen(socket, SECOND)
    assert (mapped[1] == socket.port) == (KINDS[kind].firewall == "consistent")
    server.send(*mapped, "in time")
    assert socket.receive() == ("in time", (SECOND, PORT))


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_ttl_opens_the_mapping_and_expires_on_the_way(probes: Probes, kind: str) -> None:
    place = probes.world.add_place(kind)
    socket = probes.on(place.hosts[0])
    server = probes.server(FIRST)
    socket.send(FIRST, PORT, "near", ttl=HOPS // 2)
    if KINDS[kind].firewall == "consistent":
        server.send(place.public_address, socket.port, "through the hole")
        assert socket.receive() == ("through the hole", (FIRST, PORT))
    socket.send(FIRST, PORT, "far")
    assert (server.receive())[0] == "far"


@pytest.mark.parametrize("lan", [True, False])
def test_two_hosts_of_one_place(probes: Probes, lan: bool) -> None:
    place = probes.world.add_place("home", lan=lan)
    one, other = probes.on(place.hosts[0]), probes.on(place.add_host())
    outside = probes.seen(one, FIRST), probes.seen(other, FIRST)
    assert outside == ((place.public_address, one.port), (place.public_address, other.port))
    one.send(place.hosts[1].address, other.port, "on the LAN")
    one.send(*outside[1], "by the public address")
    text, source = other.receive()
    if lan:
        assert (text, source) == ("on the LAN", (place.hosts[0].address, one.port))
        text, source = other.receive()
    assert (text, source) == ("by the public address", outside[0])
    other.send(*outside[0], "back")
    assert one.receive() == ("back", outside[1])


@pytest.mark.parametrize("kind", BEHIND_ROUTERS)
def test_a_router_that_forgets_its_mappings(probes: Probes, kind: str) -> None:
    place = probes.world.add_place(kind)
    socket = probes.on(place.hosts[0])
    mapped = probes.seen(socket, FIRST)
    probes.seen(socket, SECOND)
    place.forget_mappings()
    assert (probes.seen(socket, SECOND))[0] == place.public_address
    for address in (FIRST, SECOND):
        probes.server(address).send(*mapped, address)
    if KINDS[kind].firewall == "consistent":  # the first mapping is forgotten, and the second is new
        assert (socket.receive())[0] == SECOND
    else:
        assert probes.seen(socket, FIRST) != mapped


def test_loss(probes: Probes) -> None:
    socket = probes.on(probes.world.add_place("home").hosts[0])
    server = probes.server(FIRST)
    probes.world.lose(50)
    for number in range(200):
        socket.send(FIRST, PORT, str(number))
    probes.world.lose(0)
    socket.send(FIRST, PORT, "end")
    arrived = 0
    while (server.receive())[0] != "end":
        arrived += 1
    assert 50 < arrived < 150
