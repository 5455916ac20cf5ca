"""Keeping a key findable through relays that come and go."""

from __future__ import annotations

from core.dht.support import DhtNetwork, Member, hyper_network, requests_of
from peersockets_core.dht.announcer import PING_INTERVAL, Announcer, AnnouncerState
from peersockets_core.dht.events import Listening
from peersockets_core.dht.limits import HyperDhtLimits
from peersockets_core.dht.messages import HyperDhtCommand
from peersockets_core.dht.rpc.address import distance, node_id
from peersockets_core.dht.rpc.limits import DhtLimits
from peersockets_core.dht.rpc.messages import RpcResponse, encode_response
from peersockets_core.dht.signing import key_hash


def announcer(member: Member) -> Announcer:
    made: Announcer = member.machine.announcer
    return made


def listening(network: DhtNetwork, member: Member) -> Listening:
    before = len(member.of_type(Listening))
    member.machine.listen(network.now)
    network.until(lambda: len(member.of_type(Listening)) > before)
    event: Listening = member.of_type(Listening)[-1]
    return event


def holders(network: DhtNetwork, member: Member) -> set[tuple[str, int]]:
    """Return the nodes that would relay to a member."""
    target = announcer(member).target
    return {
        other.address
        for other in network.members
        if other.machine.forwarding.address(target, network.now) is not None
    }


def test_the_three_nearest_relay_to_us() -> None:
    network = hyper_network(20)
    alice = network.members[5]
    event = listening(network, alice)
    target = key_hash(alice.machine.key_pair.ed25519_public_key)
    others = [member.address for member in network.members if member is not alice]
    nearest = sorted(others, key=lambda address: distance(node_id(address), target))[:3]
    assert set(event.relays) == set(nearest) == holders(network, alice)
    assert alice.machine.relays == event.relays
    assert set(announcer(alice).relays.values()) == {alice.address}
    for other in network.members:
        if other.address in nearest:
            assert other.machine.forwarding.address(target, network.now) == alice.address


def test_a_change_of_the_network_before_the_announcement() -> None:
    network = hyper_network(20)
    alice = network.members[5]
    alice.machine.listen(network.now)
    alice.machine.network_changed(network.now)
    alice.machine.take_events(network.now)
    assert announcer(alice).state is AnnouncerState.ANNOUNCING
    network.until(lambda: bool(alice.of_type(Listening)))
    assert set(alice.machine.relays) == holders(network, alice)


def test_listening_twice_announces_once() -> None:
    network = hyper_network(5)
    alice = network.members[2]
    listening(network, alice)
    alice.machine.listen(network.now)
    assert not requests_of(alice.machine, network.now)


def test_the_announcement_outlives_hours() -> None:
    network = hyper_network(8)
    alice = network.members[2]
    listening(network, alice)
    network.network.run_for(3 * 3600)
    assert len(holders(network, alice)) == 3
    assert len(alice.of_type(Listening)) > 30


def test_relays_are_pinged_and_replaced_when_they_are_gone() -> None:
    network = hyper_network(12)
    alice = network.members[5]
    first = listening(network, alice)
    gone = next(member for member in network.members if member.address == first.relays[0])
    network.remove(gone)
    network.until(lambda: len(alice.of_type(Listening)) > 1, within=60)
    second = alice.of_type(Listening)[1]
    assert gone.address not in second.relays
    assert len(second.relays) == 3


def test_relays_that_are_no_longer_the_nearest_forget_us() -> None:
    network = hyper_network(6)
    alice = network.members[2]
    listening(network, alice)
    network.grow(network.add_hyper, 30)
    network.network.run_for(900)
    assert holders(network, alice) == set(alice.machine.relays)


def test_after_stopping_no_node_remembers_us() -> None:
    network = hyper_network(10)
    alice = network.members[5]
    listening(network, alice)
    alice.machine.stop_listening(network.now)
    alice.machine.stop_listening(network.now)
    assert alice.machine.withdrawing
    network.until(lambda: not alice.machine.withdrawing)
    assert not holders(network, alice)
    assert not alice.machine.listening
    assert len(listening(network, alice).relays) == 3


def test_a_change_of_the_network_during_the_announcement() -> None:
    network = hyper_network(10)
    alice = network.members[5]
    alice.machine.listen(network.now)
    network.network.run_for(0.01)
    assert announcer(alice).state is AnnouncerState.ANNOUNCING
    alice.machine.network_changed(network.now)
    network.until(lambda: bool(alice.of_type(Listening)))
    assert len(holders(network, alice)) == 3


def test_stopping_during_the_announcement() -> None:
    network = hyper_network(10)
    alice = network.members[5]
    alice.machine.listen(network.now)
    alice.machine.network_changed(network.now)
    alice.machine.stop_listening(network.now)
    alice.machine.network_changed(network.now)
    network.network.run_for(5)
    assert not alice.of_type(Listening)
    assert not holders(network, alice)


def test_stopping_while_pings_are_in_flight() -> None:
    network = hyper_network(6)
    alice = network.members[2]
    listening(network, alice)
    network.network.run_for(PING_INTERVAL - 0.001)
    alice.machine.handle_deadline(network.now + 0.001)
    assert announcer(alice).pings
    alice.machine.stop_listening(network.now)
    assert announcer(alice).state is AnnouncerState.STOPPED
    network.until(lambda: not alice.machine.withdrawing)


def test_stopping_does_not_wait_for_a_relay_that_is_gone() -> None:
    network = hyper_network(6)
    alice = network.members[2]
    first = listening(network, alice)
    network.remove(next(member for member in network.members if member.address == first.relays[0]))
    alice.machine.stop_listening(network.now)
    network.until(lambda: not alice.machine.withdrawing, within=10)


def test_a_relay_that_sends_no_token_cannot_be_asked_to_forget() -> None:
    network = hyper_network(4)
    alice = network.members[2]
    listening(network, alice)
    alice.machine.stop_listening(network.now)
    for number, (to, request) in enumerate(requests_of(alice.machine, network.now)):
        assert request.command == HyperDhtCommand.FIND_PEER
        id, error = (None, 0) if number else (node_id(to), 1)
        response = RpcResponse(request.tid, alice.address, id, b"t" * 32 if number < 2 else None, error=error)
        alice.machine.receive_datagrams(encode_response(response), 1500, to, network.now)
    assert not alice.machine.withdrawing
    assert not requests_of(alice.machine, network.now)


def test_without_room_for_requests_it_keeps_its_relays() -> None:
    network = hyper_network(5)
    limits = HyperDhtLimits(rpc=DhtLimits(requests=8))
    alice = network.add_hyper(limits=limits)
    network.network.run_for(10)
    listening(network, alice)
    assert alice.machine.relays
    for _ in range(8):
        alice.machine.node.ping(("10.9.9.9", 1), network.now)
    alice.machine.handle_deadline(network.now + PING_INTERVAL)
    assert alice.machine.relays
    alice.machine.stop_listening(network.now + PING_INTERVAL)
    assert not alice.machine.withdrawing


def test_a_node_alone_has_no_relays() -> None:
    network = hyper_network(1)
    alice = network.members[0]
    assert listening(network, alice).relays == ()
    network.network.run_for(20)
    assert len(alice.of_type(Listening)) > 1


def test_one_announcement_at_a_time() -> None:
    network = hyper_network(20)
    alice = network.members[5]
    alice.machine.listen(network.now)
    queries = len(alice.machine.node.client.queries)
    announcer(alice).start(network.now)
    assert len(alice.machine.node.client.queries) == queries
    assert announcer(alice).state is AnnouncerState.ANNOUNCING
