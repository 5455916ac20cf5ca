"""`Relays`: streams to relays come and go with their pairings. `interop/test_relay.py` uses real relays."""

from __future__ import annotations

import pytest
import trio

from peersockets_core import KeyPair
from peersockets_core.dht import Pairing
from peersockets_core.dht.messages import RelayThrough
from peersockets_core.wires.keys import Keys
from peersockets_trio import Swarm, open_node
from peersockets_trio.testing.internals import swarm_runtime

HOST = "127.0.0.1"
NOBODY, PEER = (KeyPair.from_seed(seed * 32).ed25519_public_key for seed in (b"n", b"p"))


def streams(swarm: Swarm) -> int:
    return len(swarm_runtime(swarm).udp.endpoint.streams)


async def offer(swarm: Swarm, failures: list[str]) -> Pairing:
    """Begin to meet a peer, for which a stream is open, at a relay that does not exist."""
    runtime = swarm_runtime(swarm)
    runtime.udp.open_stream(5)
    pairing = runtime.machine.dht.relaying.offer(
        RelayThrough(NOBODY, bytes(32)),
        True,
        Keys(b"1" * 32, b"2" * 32, b"h" * 64, PEER),
        (5, 6),
        trio.current_time(),
        on_paired=lambda now: None,
        on_failed=lambda reason, now: failures.append(reason),
    )
    assert pairing is not None
    runtime.flush()
    while streams(swarm) < 2:  # noqa: ASYNC110 (no event of a swarm)
        await trio.sleep(0.001)
    return pairing


async def test_a_pairing_has_a_stream_to_its_relay_until_it_is_over() -> None:
    failures: list[str] = []
    async with open_node() as node, node.open_swarm(bootstrap=[(HOST, 9)], host=HOST) as swarm:
        pairing = await offer(swarm, failures)
        runtime = swarm_runtime(swarm)
        runtime.machine.dht.end_relay(pairing, trio.current_time(), "it has gone")
        runtime.flush()
        while streams(swarm) > 1:  # noqa: ASYNC110 (no event of a swarm)
            await trio.sleep(0.001)
    assert failures == ["the blind relay was of no help: it has gone"]


async def test_a_swarm_that_is_left_gives_up_its_relays() -> None:
    failures: list[str] = []
    async with open_node() as node, node.open_swarm(bootstrap=[(HOST, 9)], host=HOST) as swarm:
        await offer(swarm, failures)
    assert not streams(swarm)
    assert not failures


async def test_a_stream_that_ends_with_its_first_packet_on_another_path_leaves_the_relay() -> None:
    """The events of one packet: the remote's address has changed, and the stream is over."""
    async with open_node() as node, node.open_swarm(bootstrap=[(HOST, 9)], host=HOST) as swarm:
        runtime = swarm_runtime(swarm)
        pairing = await offer(swarm, [])
        (to_relay,) = [core for core in runtime.udp.endpoint.streams.values() if core.local_id != 5]
        to_relay.owner.connect(7, (HOST, 9))
        taken = runtime.connections.relays.take_peer(pairing, None)
        assert taken is not None
        stream, address = taken
        stream.connect(6, address)
        watcher = stream.watcher
        assert watcher is not None
        stream.core.destroy()
        watcher.moved((HOST, 10))
        stream.over(None)
        runtime.flush()
        assert not runtime.machine.dht.relaying.pairings


async def test_nothing_is_sent_to_a_relay_after_its_pairing() -> None:
    async with open_node() as node, node.open_swarm(bootstrap=[(HOST, 9)], host=HOST) as swarm:
        runtime = swarm_runtime(swarm)
        pairing = await offer(swarm, [])
        runtime.connections.claim((HOST, 9, 3))
        runtime.machine.dht.end_relay(pairing, trio.current_time())
        runtime.flush()
        while streams(swarm) > 1:  # noqa: ASYNC110 (no event of a swarm)
            await trio.sleep(0.001)
        await runtime.connections.relays.talk(pairing, 7, (HOST, 9, 3))
        assert not runtime.connections.claimed
        assert runtime.connections.relayed(pairing, 7) is None


async def test_a_relay_must_be_a_key() -> None:
    async with open_node() as node:
        with pytest.raises(ValueError, match="relay_through"):
            async with node.open_swarm(bootstrap=(), host=HOST, relay_through=b"short"):
                pass
