"""Announcing under topics, and looking them up, in networks in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from core.dht.support import DhtNetwork, Member, hyper_network, requests_of, sent
from peersockets_core.address import SocketAddress
from peersockets_core.dht.events import Listening, PeersFound, SearchFinished
from peersockets_core.dht.messages import HyperDhtCommand, Peer, encode_peers
from peersockets_core.dht.rpc.address import node_id
from peersockets_core.dht.rpc.messages import RpcRequest, RpcResponse, decode_untrusted, encode_response
from simulation import Datagram

TOPIC = bytes(range(32))


def key(member: Member) -> bytes:
    public_key: bytes = member.machine.key_pair.ed25519_public_key
    return public_key


def listen(network: DhtNetwork, *members: Member) -> None:
    for member in members:
        member.machine.listen(network.now)
    network.until(lambda: all(member.of_type(Listening) for member in members))


def finish(network: DhtNetwork, member: Member, search: Any) -> SearchFinished:
    def finished() -> list[SearchFinished]:
        return [event for event in member.of_type(SearchFinished) if event.search is search]

    network.until(lambda: bool(finished()))
    return finished()[0]


def found(member: Member, search: Any) -> dict[bytes, tuple[SocketAddress, ...]]:
    return {
        peer.public_key: peer.relays
        for event in member.of_type(PeersFound)
        if event.search is search
        for peer in event.peers
    }


def test_an_announced_peer_is_found_with_its_relays() -> None:
    network = hyper_network(12)
    alice, bob = network.members[3], network.members[7]
    listen(network, alice)
    announced = finish(network, alice, alice.machine.announce(TOPIC, network.now))
    assert announced.announced == 11
    search = bob.machine.lookup(TOPIC, network.now)
    assert finish(network, bob, search).announced == 0
    assert found(bob, search) == {key(alice): alice.machine.relays}
    assert len(alice.machine.relays) == 3


def test_a_peer_does_not_find_itself() -> None:
    network = hyper_network(8)
    alice = network.members[3]
    listen(network, alice)
    finish(network, alice, alice.machine.announce(TOPIC, network.now))
    search = alice.machine.lookup(TOPIC, network.now)
    finish(network, alice, search)
    assert not found(alice, search)


def test_all_peers_find_each_other() -> None:
    network = hyper_network(10)
    listen(network, *network.members)
    for member in network.members:
        finish(network, member, member.machine.announce(TOPIC, network.now))
    for member in network.members:
        search = member.machine.lookup(TOPIC, network.now)
        finish(network, member, search)
        assert set(found(member, search)) == {key(other) for other in network.members if other is not member}


def test_withdrawing_leaves_no_record() -> None:
    network = hyper_network(10)
    alice, bob = network.members[3], network.members[7]
    listen(network, alice)
    finish(network, alice, alice.machine.announce(TOPIC, network.now))
    finish(network, alice, alice.machine.withdraw(TOPIC, network.now))
    network.network.run_for(1)
    search = bob.machine.lookup(TOPIC, network.now)
    finish(network, bob, search)
    assert not found(bob, search)


def test_a_record_expires_after_twenty_minutes() -> None:
    network = hyper_network(6)
    alice, bob = network.members[3], network.members[4]
    listen(network, alice)
    finish(network, alice, alice.machine.announce(TOPIC, network.now))
    network.network.run_for(19 * 60)
    search = bob.machine.lookup(TOPIC, network.now)
    finish(network, bob, search)
    assert found(bob, search)
    network.network.run_for(2 * 60)
    search = bob.machine.lookup(TOPIC, network.now)
    finish(network, bob, search)
    assert not found(bob, search)


def test_announcing_again_removes_stale_records() -> None:
    network = hyper_network(30)
    alice = network.members[3]
    listen(network, alice)
    finish(network, alice, alice.machine.announce(TOPIC, network.now))
    network.grow(network.add_hyper, 30)
    network.network.run_for(30)
    withdrawn_from: set[SocketAddress] = set()

    def tap(time: float, datagram: Datagram) -> None:
        message = decode_untrusted(datagram.payload)
        if (
            isinstance(message, RpcRequest)
            and not message.internal
            and message.command == HyperDhtCommand.UNANNOUNCE
        ):
            withdrawn_from.add(datagram.destination)

    network.network.taps.append(tap)
    again = finish(network, alice, alice.machine.announce(TOPIC, network.now))
    network.network.run_for(1)
    assert again.announced == 20
    assert withdrawn_from
    for member in network.members:
        if member.address in withdrawn_from:
            assert key(alice) not in member.machine.storage.topics.get(TOPIC, {})


def test_a_cancelled_search_reports_nothing_more() -> None:
    network = hyper_network(6)
    bob = network.members[2]
    bob.events.clear()
    bob.machine.lookup(TOPIC, network.now).cancel()
    network.network.run_for(5)
    assert not bob.events


def answered(member: Member, now: float, value: bytes, *, token: bytes | None = b"t" * 32) -> list[Any]:
    """Answer every request that a member has sent with a value. Return the events."""
    events = []
    for to, request in requests_of(member.machine, now):
        response = RpcResponse(request.tid, member.address, node_id(to), token, value=value)
        events += member.machine.receive_datagrams(encode_response(response), 1500, to, now)
    return events


@pytest.mark.parametrize("value", [b"\x05garbage", b"\xff" * 9, b"\xfe\xff\xff\xff\xff"])
def test_a_malformed_answer_is_dropped(value: bytes) -> None:
    network = hyper_network(3)
    bob = network.members[1]
    search = bob.machine.lookup(TOPIC, network.now)
    events = answered(bob, network.now, value)
    assert [type(event) for event in events] == [SearchFinished]
    assert events[0].search is search
    assert bob.machine.node.dropped == 2


def test_our_own_record_is_withdrawn_only_from_nodes_that_sent_a_token() -> None:
    network = hyper_network(3)
    bob = network.members[1]
    ours = encode_peers([Peer(key(bob)).encode()])
    bob.machine.withdraw(TOPIC, network.now)
    answered(bob, network.now, ours, token=None)
    assert not requests_of(bob.machine, network.now)
    bob.machine.withdraw(TOPIC, network.now)
    answered(bob, network.now, ours)
    withdrawals = requests_of(bob.machine, network.now)
    assert [request.command for _, request in withdrawals] == [HyperDhtCommand.UNANNOUNCE] * 2
    # It makes no difference whether they confirm it.
    to, request = withdrawals[0]
    bob.machine.receive_datagrams(encode_response(RpcResponse(request.tid, to)), 1500, to, network.now)
    network.network.run_for(20)
    sent(bob.machine, network.now)


def test_nodes_that_send_no_token_get_no_announcement() -> None:
    network = hyper_network(3)
    bob = network.members[1]
    bob.machine.announce(TOPIC, network.now)
    (finished,) = answered(bob, network.now, encode_peers([]), token=None)
    assert finished.announced == 0
