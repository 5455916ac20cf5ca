"""`peersockets_asyncio.datagrams`: machines of the core that share a UDP socket."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from aio.support import HOST, in_loop
from peersockets_asyncio import DatagramMachine, DatagramMachines
from peersockets_core import KeyPair
from peersockets_core.dht import HyperDht
from peersockets_core.swarm import Announced, PeerFound, Swarm
from peersockets_core.udx import DataReceived, Endpoint, Event, StreamEnded

TOPIC = bytes(range(32))
DATA = os.urandom(300_000)


async def bind(machine: DatagramMachine, handle: Callable[[Any], None]) -> DatagramMachines:
    """A socket whose datagrams all go to one machine."""
    make = partial(DatagramMachines, {machine: handle}, lambda _: machine)
    _, sock = await asyncio.get_running_loop().create_datagram_endpoint(make, (HOST, 0))
    return sock


def address(sock: DatagramMachines) -> tuple[str, int]:
    host, port = sock.transport.get_extra_info("sockname")
    return host, port


@in_loop
async def test_a_stream_of_udx() -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    received = bytearray()

    def handle(event: Event) -> None:
        match event:
            case DataReceived(data=data, stream=stream):
                received.extend(data)
                stream.consume(len(data))
            case StreamEnded():
                ended.set()

    ends = [Endpoint(now=loop.time()) for _ in range(2)]
    sockets = [await bind(end, handle) for end in ends]
    streams = [end.open_stream(7, loop.time()) for end in ends]
    for stream, remote in zip(streams, reversed(sockets), strict=True):
        stream.connect(7, address(remote), loop.time())
    streams[0].write(DATA)
    streams[0].end()
    sockets[0].flush()
    await ended.wait()
    assert received == DATA
    for sock in sockets:
        sock.transport.close()


@in_loop
async def test_swarms_find_each_other() -> None:
    """Timers and datagrams of HyperDHT work: two swarms and a node of the DHT start with nothing but
    a topic.
    """
    loop = asyncio.get_running_loop()
    announced, found = asyncio.Event(), asyncio.Event()
    keys = [KeyPair.generate(os.urandom) for _ in range(2)]

    def handle(event: object) -> None:
        match event:
            case Announced():
                announced.set()
            case PeerFound(public_key=key) if key == keys[0].ed25519_public_key:
                found.set()

    def dht(key_pair: KeyPair, bootstrap: list[tuple[str, int]]) -> HyperDht:
        first = not bootstrap
        identity: dict[str, Any] = {"key_pair": key_pair, "entropy": os.urandom}
        return HyperDht(now=loop.time(), bootstrap=bootstrap, persistent=first, first=first, **identity)

    sockets = [await bind(dht(KeyPair.generate(os.urandom), []), handle)]
    for key_pair, announce in zip(keys, (True, False), strict=True):
        swarm = Swarm(dht(key_pair, [address(sockets[0])]), os.urandom, open_stream=lambda _: 1)
        swarm.join(TOPIC, loop.time(), announce=announce, lookup=not announce)
        sockets.append(await bind(swarm, handle))
        await announced.wait()
    await found.wait()
    for sock in sockets:
        sock.transport.close()


@in_loop
async def test_a_datagram_for_no_machine_is_ignored() -> None:
    loop = asyncio.get_running_loop()
    end = Endpoint(now=loop.time())
    seen: list[bytes] = []
    arrived = asyncio.Event()

    def choose(data: bytes) -> None:
        seen.append(data)
        arrived.set()

    make = partial(DatagramMachines, {end: seen.append}, choose)
    _, sock = await loop.create_datagram_endpoint(make, (HOST, 0))
    sock.transport.sendto(b"stray", address(sock))
    await arrived.wait()
    assert seen == [b"stray"]
    sock.transport.close()
