"""Our DHT among real HyperDHT nodes: as client, server and relay, and as the first node of a network."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
import trio

from interop.bare_dht import open_bare_dht
from interop.hyperdrive13 import open_real_peer
from interop.node_peer import NodePeerError
from interop.real_peer import HOST, RealPeer
from interop.swarm_peers import PACKAGES, DhtNetwork, Ours, open_dht_network, open_ours
from peersockets_core import PeerUnreachable
from peersockets_core.dht import HyperDhtLimits, MutableValue, ValueFound
from peersockets_core.dht.rpc import DhtLimits
from peersockets_core.dht.rpc.reachability import Reach
from peersockets_core.dht.signing import key_hash
from peersockets_trio import Limits, open_node
from peersockets_trio.testing.internals import node_runtime, swarm_runtime

pytestmark = pytest.mark.interop

TOPIC = bytes(range(32))


@asynccontextmanager
async def open_dht_peer(bootstrap: int, **options: object) -> AsyncIterator[RealPeer]:
    """Run a real HyperDHT node of its own."""
    async with open_real_peer(PACKAGES) as peer:
        await peer.call("openDht", bootstrap=[bootstrap], **{"firewalled": False, **options})
        yield peer


@asynccontextmanager
async def open_our_network(size: int) -> AsyncIterator[list[Ours]]:
    """A network of only our nodes. The first one begins it."""
    async with AsyncExitStack() as stack:
        nodes: list[Ours] = []
        for _ in range(size):
            bootstrap = [nodes[0].swarm.bound_address] if nodes else []
            network = DhtNetwork(None, (0,))  # type: ignore[arg-type]
            nodes.append(await stack.enter_async_context(open_ours(network, bootstrap=bootstrap)))
        yield nodes


async def test_a_real_server_is_dialled_and_dials_us() -> None:
    async with (
        open_dht_network() as network,
        open_ours(network) as ours,
        open_dht_peer(network.ports[0]) as peer,
    ):
        listening = await peer.call("dhtListen")
        info = await ours.swarm.connect(listening["publicKey"])
        assert info.public_key.hex() == listening["publicKey"]
        await peer.wait_event("dht-connection", publicKey=ours.key.hex())


@pytest.mark.parametrize("firewalled", [False, None])
async def test_a_real_client_dials_us(firewalled: bool | None) -> None:
    options = {} if firewalled is None else {"firewalled": firewalled}
    async with open_dht_network() as network, open_ours(network) as ours:
        await ours.swarm.join(TOPIC, lookup=False).flushed()
        async with open_dht_peer(network.ports[0], **options) as peer:
            await peer.call("dhtConnect", publicKey=ours.key.hex())
            assert ours.node.statistics().connections + ours.node.statistics().handshaking >= 1


async def test_announcing_and_looking_up_in_both_directions() -> None:
    async with (
        open_dht_network() as network,
        open_ours(network) as ours,
        open_dht_peer(network.ports[0]) as peer,
    ):
        listening = await peer.call("dhtListen")
        await peer.call("dhtAnnounce", topic=TOPIC.hex())
        discovery = ours.swarm.join(TOPIC)
        await discovery.flushed()
        assert ours.swarm.statistics().peers == 1
        found = await peer.call("dhtLookup", topic=TOPIC.hex())
        assert set(found["publicKeys"]) == {listening["publicKey"], ours.key.hex()}
        discovery.close()
        await swarm_runtime(ours.swarm).wait_withdrawn()
        found = await peer.call("dhtLookup", topic=TOPIC.hex())
        assert found["publicKeys"] == [listening["publicKey"]]


async def test_real_nodes_meet_on_a_network_of_only_ours() -> None:
    async with open_our_network(10) as nodes:
        port = nodes[0].swarm.bound_address[1]
        async with open_dht_peer(port) as server, open_dht_peer(port) as client:
            listening = await server.call("dhtListen", echo=True)
            connected = await client.call(
                "dhtConnect", publicKey=listening["publicKey"], message="through Python"
            )
            assert connected["answer"] == "through Python"
            await server.call("dhtAnnounce", topic=TOPIC.hex())
            assert (await client.call("dhtLookup", topic=TOPIC.hex()))["publicKeys"] == [
                listening["publicKey"]
            ]
            await server.call("dhtUnannounce", topic=TOPIC.hex())
            assert not (await client.call("dhtLookup", topic=TOPIC.hex()))["publicKeys"]


TRIES = 20


async def ask(peer: RealPeer, public_key: str, message: str) -> str:
    """Let a real node dial another and send a message. Return the answer.

    With its default options, hyperdht does not always connect two of its own nodes on one host.
    """
    for _ in range(TRIES):
        with suppress(NodePeerError):
            connected = await peer.call("dhtConnect", publicKey=public_key, message=message)
            return str(connected["answer"])
    raise AssertionError(f"none of {TRIES} dials succeeded")


@pytest.mark.parametrize("options", [{}, {"firewalled": None}], ids=["open", "default"])
async def test_a_network_that_ours_begins_on_every_address(options: dict[str, Any]) -> None:
    """The node is bound to 0.0.0.0. It learns its address from the nodes that ask it, and then has an id."""
    async with open_node() as node, node.open_swarm(bootstrap=()) as swarm:
        assert swarm.bound_address[0] == "0.0.0.0"
        port = swarm.bound_address[1]
        async with open_dht_peer(port, **options) as server, open_dht_peer(port, **options) as client:
            listening = await server.call("dhtListen", echo=True)
            assert port in listening["relays"]
            await server.call("dhtAnnounce", topic=TOPIC.hex())
            found = await client.call("dhtLookup", topic=TOPIC.hex())
            assert found["publicKeys"] == [listening["publicKey"]]
            assert await ask(client, listening["publicKey"], "hello") == "hello"
            # It is also a peer like them.
            await swarm.join(TOPIC).flushed()
            found = await client.call("dhtLookup", topic=TOPIC.hex())
            assert set(found["publicKeys"]) == {listening["publicKey"], swarm.public_key.hex()}
        assert swarm.address == (HOST, port)
        assert swarm.nat == "open"


async def dials(dial: Callable[[], Awaitable[object]], attempts: int) -> int:
    """Return how many of some dials succeed, each within several attempts."""
    successes = 0
    for _ in range(TRIES):
        for _ in range(attempts):
            with suppress(NodePeerError, PeerUnreachable):
                await dial()
                successes += 1
                break
    return successes


@pytest.mark.parametrize("host", [HOST, "0.0.0.0"])
async def test_with_default_options_our_dials_succeed_wherever_those_of_real_nodes_do(host: str) -> None:
    """If bound to every address, both sides send the addresses of their host's networks."""
    options = {"firewalled": None, "host": host}
    async with open_dht_network() as network:
        port = network.ports[0]
        async with (
            open_dht_peer(port, **options) as server,
            open_dht_peer(port, **options) as client,
            open_node() as node,
            node.open_swarm(bootstrap=network.bootstrap, host=host) as swarm,
        ):
            listening = await server.call("dhtListen")
            await swarm.join(TOPIC, lookup=False).flushed()

            async def dial_us() -> None:
                await client.call("dhtConnect", publicKey=swarm.public_key.hex(), close=True)

            async def dial_them() -> None:
                await client.call("dhtConnect", publicKey=listening["publicKey"], close=True)

            async def dial_from_us() -> None:
                info = await swarm.connect(listening["publicKey"])
                for task in node_runtime(node).tasks:
                    if task.info == info:
                        task.disconnect("once more")
                while node_runtime(node).machine.connection_to("hypercore11", info.public_key):
                    await node_runtime(node).changed.park()

            between_real_nodes = await dials(dial_them, 1)
            # A busy machine may fail a dial of ours, too, but hardly the same one twice.
            to_us, from_us = await dials(dial_us, 2), await dials(dial_from_us, 2)
            print({"between real nodes": between_real_nodes, "to us": to_us, "from us": from_us})
            assert min(to_us, from_us) >= between_real_nodes


async def test_real_nodes_and_we_keep_values_for_each_other() -> None:
    async with open_our_network(3) as nodes:
        port = nodes[0].swarm.bound_address[1]
        async with open_dht_peer(port) as alice, open_dht_peer(port) as bob:
            put = await alice.call("dhtPut", value="a value")
            assert put["hash"] == key_hash(b"a value").hex()
            assert (await bob.call("dhtGet", hash=put["hash"]))["value"] == "a value"
            for seq, value in enumerate(("one", "two"), start=1):
                owner = await alice.call("dhtPut", value=value, seq=seq)
            assert await bob.call("dhtGet", publicKey=owner["publicKey"]) == {"value": "two", "seq": 2}


async def test_values_of_real_nodes_are_found() -> None:
    async with (
        open_dht_network() as network,
        open_dht_peer(network.ports[0]) as peer,
        open_bare_dht(network.ports[0]) as dht,
    ):
        put = await peer.call("dhtPut", value="a value")
        owner = await peer.call("dhtPut", value="signed", seq=4)
        found = await dht.wait(
            ValueFound, lambda now: dht.machine.get_immutable(bytes.fromhex(put["hash"]), now)
        )
        assert found.value == b"a value"
        key = bytes.fromhex(owner["publicKey"])
        found = await dht.wait(ValueFound, lambda now: dht.machine.get_mutable(key, now))
        assert isinstance(found.value, MutableValue)
        assert (found.value.seq, found.value.value) == (4, b"signed")


async def test_values_of_ours_are_found_by_real_nodes() -> None:
    async with (
        open_dht_network() as network,
        open_dht_peer(network.ports[0]) as peer,
        open_bare_dht(network.ports[0]) as dht,
    ):
        stored = await dht.wait(ValueFound, lambda now: dht.machine.put_immutable(b"ours", now))
        assert stored.stored >= 4
        assert (await peer.call("dhtGet", hash=key_hash(b"ours").hex()))["value"] == "ours"
        stored = await dht.wait(ValueFound, lambda now: dht.machine.put_mutable(b"signed", 7, now))
        assert stored.stored >= 4
        found = await peer.call("dhtGet", publicKey=dht.machine.key_pair.ed25519_public_key.hex())
        assert found == {"value": "signed", "seq": 7}


async def test_a_key_that_is_gone_is_not_found() -> None:
    async with (
        open_dht_network() as network,
        open_ours(network) as ours,
        open_dht_peer(network.ports[0]) as peer,
    ):
        listening = await peer.call("dhtListen")
        await peer.call("dhtUnlisten")
        with pytest.raises(PeerUnreachable, match="not listening"):
            await ours.swarm.connect(listening["publicKey"])


async def test_a_thousand_bytes_of_nonsense_end_nothing() -> None:
    async with open_dht_network() as network, open_ours(network, limits=Limits()) as ours:
        await ours.swarm.join(TOPIC).flushed()
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
            for number in range(1000):
                first = (b"\x03", b"\x13", b"\xff\x01", b"")[number % 4]
                await sock.sendto(first + os.urandom(number % 200), ours.swarm.bound_address)
        async with open_dht_peer(network.ports[0]) as peer:
            listening = await peer.call("dhtListen")
            await ours.swarm.connect(listening["publicKey"])
        assert ours.swarm.statistics().dropped > 100


async def test_no_real_node_uses_the_public_bootstrap_nodes() -> None:
    """Each node gets a list of its own. Without a list, it is not even made."""
    assert HOST == "127.0.0.1"
    async with open_real_peer(PACKAGES) as peer:
        for command in ("openDht", "openSwarm"):
            with pytest.raises(NodePeerError, match="a node needs a bootstrap list of its own"):
                await peer.call(command)


async def test_on_a_network_of_ours_we_dial_real_nodes_and_they_dial_us() -> None:
    async with open_our_network(10) as nodes:
        port = nodes[0].swarm.bound_address[1]
        async with open_dht_peer(port) as peer:
            # A real node listens, and one of ours dials it.
            listening = await peer.call("dhtListen")
            info = await nodes[4].swarm.connect(listening["publicKey"])
            assert info.public_key.hex() == listening["publicKey"]
            await peer.wait_event("dht-connection", publicKey=nodes[4].key.hex())
            # One of ours listens, and the real node dials it.
            await nodes[7].swarm.join(TOPIC, lookup=False).flushed()
            await peer.call("dhtConnect", publicKey=nodes[7].key.hex())
            assert nodes[7].node.statistics().connections + nodes[7].node.statistics().handshaking >= 1


def soon_stable(stable_time: float) -> HyperDhtLimits:
    """Limits with which a node becomes persistent by itself sooner."""
    return HyperDhtLimits(rpc=DhtLimits(stable_time=stable_time))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 (what a node finds out of itself is no event of a swarm)
        await trio.sleep(0.01)


async def test_a_reachable_node_among_real_ones_becomes_persistent_by_itself() -> None:
    async with (
        open_dht_network() as network,
        open_node() as node,
        node.open_swarm(bootstrap=network.bootstrap, host=HOST, limits=soon_stable(1)) as swarm,
    ):
        await until(lambda: swarm.persistent)
        assert swarm.nat == "open"
        assert swarm.address == swarm.bound_address
        # Real nodes find it, and it keeps the values that they store.
        async with open_dht_peer(network.ports[0]) as peer:
            while swarm.bound_address[1] not in (await peer.call("dhtNodes"))["ports"]:
                await peer.call("dhtLookup", topic=TOPIC.hex())
            await peer.call("dhtListen")
            await peer.call("dhtAnnounce", topic=TOPIC.hex())
            storage = swarm_runtime(swarm).machine.dht.storage
            assert [len(found) for found in storage.topics.values()] == [1]


async def test_an_unreachable_node_among_real_ones_stays_ephemeral(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A firewall lets in only datagrams from a host and port that were written to."""
    async with (
        open_dht_network() as network,
        open_node() as node,
        node.open_swarm(bootstrap=network.bootstrap, host=HOST, limits=soon_stable(0.5)) as swarm,
    ):
        written: set[object] = set()
        runtime = swarm_runtime(swarm)
        send, receive = runtime.udp.send_datagrams, runtime.udp.on_datagram
        assert receive is not None

        def outbound(datagrams: Any) -> None:
            written.update(destination for destination, _, _ in datagrams)
            send(datagrams)

        def inbound(datagram: memoryview, source: Any) -> None:
            if source in written:
                receive(datagram, source)

        monkeypatch.setattr(runtime.udp, "send_datagrams", outbound)
        monkeypatch.setattr(runtime.udp, "on_datagram", inbound)
        reachability = runtime.machine.dht.node.reachability
        assert reachability is not None
        for _ in range(2):  # the first test, and another after three stable times
            await until(lambda: reachability.state is Reach.FIREWALLED)
            await until(lambda: reachability.state is not Reach.FIREWALLED)
        assert not swarm.persistent
        assert swarm.nat != "open"
