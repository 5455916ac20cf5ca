"""Peers that meet at a real blind relay, because they cannot reach each other, or until they can."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from interop.hyperdrive13 import open_real_peer
from interop.real_peer import RealPeer
from interop.swarm_peers import PACKAGES, DhtNetwork, open_dht_network, open_ours

pytestmark = pytest.mark.interop


@attrs.frozen
class Relay:
    """A real blind relay on a network of real nodes."""

    network: DhtNetwork
    peer: RealPeer
    key: str


@asynccontextmanager
async def open_dht_peer(network: DhtNetwork, **options: object) -> AsyncIterator[RealPeer]:
    async with open_real_peer(PACKAGES) as peer:
        await peer.call("openDht", bootstrap=[network.ports[0]], **options)
        yield peer


@asynccontextmanager
async def open_relay() -> AsyncIterator[Relay]:
    async with open_dht_network() as network, open_dht_peer(network, firewalled=False) as peer:
        yield Relay(network, peer, (await peer.call("dhtRelay"))["publicKey"])


async def test_we_dial_a_server_that_names_a_relay() -> None:
    async with (
        open_relay() as relay,
        open_ours(relay.network, swarm={"persistent": False}) as ours,
        open_dht_peer(relay.network, quickFirewall=False) as peer,
    ):
        listening = await peer.call("dhtListen", relay=relay.key, punch=False)
        info = await ours.swarm.connect(listening["publicKey"])
        assert info.public_key.hex() == listening["publicKey"]
        assert (await relay.peer.call("dhtRelayStats"))["matched"] == 1


async def test_we_name_the_relay_after_a_punch_that_has_failed() -> None:
    async with (
        open_relay() as relay,
        open_ours(relay.network, swarm={"persistent": False, "relay_through": relay.key}) as ours,
        open_dht_peer(relay.network, quickFirewall=False) as peer,
    ):
        listening = await peer.call("dhtListen", punch=False)
        info = await ours.swarm.connect(listening["publicKey"])
        assert info.public_key.hex() == listening["publicKey"]
        stats = await relay.peer.call("dhtRelayStats")
        assert (stats["matched"], stats["streams"]) == (1, 2)


async def test_a_real_client_names_a_relay_and_we_come_there() -> None:
    """Another address than 127.0.0.1 is one that a firewall may shield, so that we do not answer directly."""
    async with (
        open_relay() as relay,
        open_ours(relay.network, swarm={"persistent": False, "host": "127.0.0.2"}) as ours,
        open_dht_peer(relay.network, quickFirewall=False) as peer,
    ):
        await ours.swarm.join(bytes(32), lookup=False).flushed()
        await peer.call("dhtConnect", publicKey=ours.key.hex(), relay=relay.key, punch=False)
        assert (await relay.peer.call("dhtRelayStats"))["matched"] == 1


async def test_a_stream_leaves_the_relay_for_a_direct_path() -> None:
    async with (
        open_relay() as relay,
        open_ours(relay.network, swarm={"persistent": False, "host": "127.0.0.2"}) as ours,
        open_dht_peer(relay.network, quickFirewall=False) as peer,
    ):
        await ours.swarm.join(bytes(32), lookup=False).flushed()
        await peer.call("dhtConnect", publicKey=ours.key.hex(), relay=relay.key)
        stats = await relay.peer.call("dhtRelayStats")
        while stats["sessions"]:
            await trio.sleep(0.05)
            stats = await relay.peer.call("dhtRelayStats")
        assert ours.node.statistics().connections + ours.node.statistics().handshaking == 1
