"""Swarms that look for each other, meet, lose each other and meet again, in virtual time."""

from __future__ import annotations

import pytest

from core.swarm.support import TOPIC, Person, SwarmNetwork
from peersockets_core import KeyPair, LocalProtocolError
from peersockets_core.dht import (
    ConnectionRequested,
    DialFailed,
    Dialled,
    IncomingPunch,
    PeersFound,
    PunchFailed,
    SearchFinished,
)
from peersockets_core.dht.messages import Peer
from peersockets_core.dht.rpc import NetworkChanged
from peersockets_core.swarm import Announced, Flushed, PeerFound, SwarmLimits
from peersockets_core.swarm.peers import PeerState
from simulation import Nat
from simulation.support import Recorder

STRANGER = KeyPair.from_seed(b"nobody".ljust(32)).ed25519_public_key


def met(network: SwarmNetwork, *people: Person, within: float = 60) -> float:
    """Let people meet. Return the time that this took."""
    began = network.now
    network.until(network.all_met(*people), within=within)
    return network.now - began


def test_two_people_meet() -> None:
    network = SwarmNetwork()
    alice, bob = network.add_person(), network.add_person()
    for person in (alice, bob):
        person.machine.join(TOPIC, network.now)
        network.network.run_for(2)
    met(network, alice, bob)
    assert [event.topic for event in alice.of_type(Announced)] == [TOPIC]
    assert [event.public_key for event in bob.of_type(PeerFound)] == [alice.key]
    assert alice.machine.peers[bob.key].state is PeerState.CONNECTED
    assert alice.machine.topic_count == 1


def test_people_who_come_at_the_same_instant_meet_early() -> None:
    network = SwarmNetwork()
    people = [network.add_person() for _ in range(4)]
    for person in people:
        person.machine.join(TOPIC, network.now)
    assert met(network, *people) < 45


def test_announcing_and_looking_up_are_independent() -> None:
    network = SwarmNetwork()
    alice, bob, carol = (network.add_person() for _ in range(3))
    for looker in (alice, bob):
        looker.machine.join(TOPIC, network.now, announce=False)
    carol.machine.join(TOPIC, network.now, lookup=False)
    met(network, alice, carol)
    met(network, bob, carol)
    network.network.run_for(700)
    assert bob.key not in alice.connected
    assert not alice.of_type(Announced)
    assert not carol.of_type(PeerFound) + carol.of_type(Dialled)


def test_two_people_meet_on_a_network_of_their_own() -> None:
    """The first node of a network answers for itself, so two nodes need no third one."""
    network = SwarmNetwork(nodes=0)
    address = network.address(1000)
    alice = network.add_person(bootstrap=(), persistent=True, address=address)
    bob = network.add_person(bootstrap=(address,))
    network.network.run_for(1)
    for person in (alice, bob):
        person.machine.join(TOPIC, network.now)
        network.network.run_for(1)
    met(network, alice, bob)


def test_a_person_who_is_alone_is_found_later() -> None:
    network = SwarmNetwork(nodes=0)
    address = network.address(1000)
    alice = network.add_person(bootstrap=(), persistent=True, address=address)
    discovery = alice.machine.join(TOPIC, network.now)
    network.network.run_for(60)
    assert discovery.flushed
    bob = network.add_person(bootstrap=(address,))
    bob.machine.join(TOPIC, network.now)
    met(network, alice, bob)


def test_the_first_node_announces_itself_as_soon_as_it_knows_its_address() -> None:
    network = SwarmNetwork(nodes=0)
    alice = network.add_person(bootstrap=(), persistent=True)
    discovery = alice.machine.join(TOPIC, network.now)
    network.network.run_for(10)
    assert not alice.of_type(Flushed)
    bob = network.add_person(bootstrap=(network.address(1000),))
    bob.machine.join(TOPIC, network.now, announce=False)
    met(network, alice, bob)
    assert discovery.flushed
    assert alice.machine.dht.open_address == network.address(1000)


def test_flushed_follows_the_connections_and_failures_of_the_first_search() -> None:
    network = SwarmNetwork()
    alice, bob, carol = (network.add_person() for _ in range(3))
    carol.accepts = False
    for person in (alice, carol):
        person.machine.join(TOPIC, network.now, lookup=False)
    network.network.run_for(2)
    discovery = bob.machine.join(TOPIC, network.now)
    network.until(lambda: bool(bob.of_type(Flushed)), within=60)
    assert bob.of_type(Flushed) == [Flushed(discovery)]
    assert alice.key in bob.connected
    assert [event.dial.public_key for event in bob.of_type(DialFailed)] == [carol.key]
    second = bob.machine.join(TOPIC, network.now)
    network.until(lambda: second.flushed, within=60)
    looker = bob.machine.join(TOPIC, network.now, announce=True, lookup=False)
    network.until(lambda: looker.flushed, within=60)


def test_a_peer_that_settles_does_not_flush_an_unfinished_search() -> None:
    network = SwarmNetwork()
    bob = network.add_person()
    discovery = bob.machine.join(TOPIC, network.now)
    bob.machine.settle(STRANGER)
    assert not discovery.flushed
    network.until(lambda: discovery.flushed, within=60)


def test_a_lost_peer_is_dialled_again_and_sooner_if_the_connection_lasted() -> None:
    network = SwarmNetwork()
    alice, bob = network.add_person(), network.add_person()
    alice.machine.join(TOPIC, network.now, lookup=False)
    network.network.run_for(1)
    bob.machine.join(TOPIC, network.now, announce=False)
    met(network, alice, bob)
    network.network.run_for(60)
    for person, other in ((alice, bob), (bob, alice)):
        person.lose(other.key)
    assert met(network, alice, bob) < 2
    assert not alice.of_type(Dialled)
    assert len(bob.of_type(Dialled)) == 2


def test_a_peer_that_cannot_be_reached_is_tried_a_few_times() -> None:
    network = SwarmNetwork()
    alice, bob = network.add_person(), network.add_person()
    alice.accepts = False
    alice.machine.join(TOPIC, network.now, lookup=False)
    network.network.run_for(1)
    bob.machine.join(TOPIC, network.now, announce=False)
    network.network.run_for(300)
    assert len(bob.of_type(DialFailed)) == 4
    assert bob.machine.peers[alice.key].state is PeerState.IDLE
    alice.accepts = True
    network.network.run_for(700)  # the next search finds it again
    assert alice.key in bob.connected


def test_a_dial_that_waits_for_another_punch_is_repeated_a_limited_number_of_times() -> None:
    network = SwarmNetwork(nodes=12)
    alice = network.add_person(gateway=Nat("88.0.0.1", "preserving"))
    bob = network.add_person(gateway=Nat("88.0.0.2", "random"), limits=SwarmLimits(postponed_dials=6))
    bob.machine.dht.punching.throttle.began()  # another punch, which does not end
    alice.machine.join(TOPIC, network.now, lookup=False)
    network.network.run_for(5)
    bob.machine.join(TOPIC, network.now, announce=False)
    network.until(lambda: alice.key in bob.machine.peers)
    network.network.run_until(lambda: bob.machine.peers[alice.key].state is PeerState.IDLE, within=900)
    assert len(bob.of_type(DialFailed)) >= 6 + 4  # each search that finds the peer begins a new count
    assert all(failed.dial.postponed for failed in bob.of_type(DialFailed))
    bob.machine.dht.punching.throttle.cancelled()
    network.network.run_until(lambda: alice.key in bob.connected, within=900)


def test_a_stream_that_fails_after_the_handshake_counts_as_a_failure() -> None:
    network = SwarmNetwork()
    alice, bob = network.add_person(), network.add_person()
    bob.connects = False
    alice.machine.join(TOPIC, network.now, lookup=False)
    network.network.run_for(1)
    discovery = bob.machine.join(TOPIC, network.now, announce=False)
    network.until(lambda: bool(bob.of_type(Dialled)))
    assert not discovery.flushed
    bob.lose(alice.key)
    assert bob.machine.peers[alice.key].state is PeerState.WAITING
    network.until(lambda: discovery.flushed)


def test_the_numbers_of_dials_and_connections_are_limited() -> None:
    network = SwarmNetwork()
    people = [network.add_person() for _ in range(8)]
    for person in people:
        person.machine.join(TOPIC, network.now, lookup=False)
    network.network.run_for(2)
    seeker = network.add_person(limits=SwarmLimits(max_peers=5))
    seeker.machine.join(TOPIC, network.now, announce=False)
    most = 0

    def looked() -> bool:
        nonlocal most
        most = max(most, len(seeker.machine.dials))
        return len(seeker.connected) >= 5

    network.until(looked)
    assert most == 3
    network.network.run_for(700)
    assert len(seeker.connected) == 5
    queued = [peer for peer in seeker.machine.peers.values() if peer.state is PeerState.QUEUED]
    assert len(queued) == 3
    seeker.lose(next(iter(seeker.connected)))
    network.network.run_for(5)
    assert len(seeker.connected) == 5


def test_leaving_withdraws_the_announcement_and_forgets_the_peers() -> None:
    network = SwarmNetwork()
    alice, bob = network.add_person(), network.add_person()
    first = alice.machine.join(TOPIC, network.now)
    second = alice.machine.join(TOPIC, network.now, announce=False)
    network.network.run_for(5)
    alice.machine.leave(first, network.now)
    alice.machine.leave(first, network.now)
    assert alice.machine.withdrawing
    network.until(lambda: not alice.machine.withdrawing)
    assert alice.machine.topic_count == 1
    assert not alice.machine.dht.listening
    bob.machine.join(TOPIC, network.now, announce=False)
    network.network.run_for(60)
    assert not bob.of_type(PeerFound)
    alice.machine.leave(second, network.now)
    assert alice.machine.topic_count == 0
    with pytest.raises(LocalProtocolError, match="the discovery is closed"):
        alice.machine.refresh(second, network.now)


def test_leaving_during_the_search() -> None:
    network = SwarmNetwork()
    alice, bob = network.add_person(), network.add_person()
    bob.machine.join(TOPIC, network.now, lookup=False)
    network.network.run_for(3)
    discovery = alice.machine.join(TOPIC, network.now, announce=False)
    alice.member.host.settle()
    search = alice.machine.topics[TOPIC].running
    assert search is not None
    alice.machine.leave(discovery, network.now)
    network.network.run_for(60)
    assert not alice.of_type(PeerFound) + alice.of_type(Flushed)
    for late in (PeersFound(search, (Peer(bob.key),), None), SearchFinished(search, 3)):
        alice.machine.handle(late, network.now)
    assert not alice.machine.peers
    assert not alice.of_type(Announced)


def test_a_lost_peer_is_not_dialled_after_leaving() -> None:
    network = SwarmNetwork()
    alice, bob = network.add_person(), network.add_person()
    alice.machine.join(TOPIC, network.now, lookup=False)
    network.network.run_for(1)
    discovery = bob.machine.join(TOPIC, network.now, announce=False)
    met(network, alice, bob)
    bob.machine.leave(discovery, network.now)
    bob.lose(alice.key)
    assert bob.machine.peers[alice.key].state is PeerState.IDLE


def test_refreshing_searches_at_once() -> None:
    network = SwarmNetwork()
    alice = network.add_person()
    discovery = alice.machine.join(TOPIC, network.now)
    network.network.run_for(60)
    bob = network.add_person(pause=1)
    bob.machine.join(TOPIC, network.now, lookup=False)
    network.network.run_for(1)
    alice.machine.refresh(discovery, network.now)
    assert met(network, alice, bob) < 2


def test_cancelling_a_dial_twice_reports_nothing() -> None:
    network = SwarmNetwork()
    alice = network.add_person(pause=3)
    nobody = KeyPair.from_seed(b"nobody".ljust(32)).ed25519_public_key
    dial = alice.machine.connect(nobody, network.now)
    alice.machine.cancel_dial(nobody, network.now)
    alice.machine.cancel_dial(nobody, network.now)
    assert not dial.active
    assert not alice.machine.dials
    network.network.run_for(60)
    assert not alice.of_type(DialFailed)


def test_dialling_a_key_directly() -> None:
    network = SwarmNetwork()
    alice, bob = network.add_person(pause=1), network.add_person(pause=1)
    bob.machine.dht.listen(network.now)
    network.network.run_for(1)
    dial = alice.machine.connect(bob.key, network.now, relays=bob.machine.dht.relays)
    with pytest.raises(LocalProtocolError, match="already being dialled"):
        alice.machine.connect(bob.key, network.now)
    met(network, alice, bob)
    assert [event.dial for event in alice.of_type(Dialled)] == [dial]
    # Another dial does not change the state of a connected peer.
    alice.machine.connect(bob.key, network.now)
    assert alice.machine.peers[bob.key].state is PeerState.CONNECTED
    network.network.run_for(5)
    nobody = alice.machine.connect(STRANGER, network.now)
    network.until(lambda: [event.dial for event in alice.of_type(DialFailed)] == [nobody])
    assert alice.machine.peers[STRANGER].state is PeerState.IDLE


def test_a_failed_dial_does_not_harm_a_connection_from_the_other_side() -> None:
    network = SwarmNetwork()
    alice = network.add_person(pause=1)
    alice.machine.connect(STRANGER, network.now)
    alice.open(STRANGER)
    network.network.run_for(60)
    assert alice.machine.peers[STRANGER].state is PeerState.CONNECTED
    assert len(alice.of_type(DialFailed)) == 1
    alice.lose(b"never seen".ljust(32))


def test_after_a_change_of_the_network_every_peer_is_tried_again() -> None:
    network = SwarmNetwork()
    alice, bob = network.add_person(), network.add_person()
    for person in (alice, bob):
        person.machine.join(TOPIC, network.now)
        network.network.run_for(1)
    met(network, alice, bob)
    network.network.run_for(300)
    for person, other in ((alice, bob), (bob, alice)):
        person.lose(other.key)
    alice.open(STRANGER)
    alice.member.host.move(("10.200.0.1", 5))
    alice.machine.network_changed(network.now)
    assert met(network, alice, bob) < 1


def test_a_suspended_swarm_searches_for_nobody() -> None:
    network = SwarmNetwork()
    alice, bob = network.add_person(), network.add_person()
    alice.machine.join(TOPIC, network.now, announce=False)
    network.network.run_for(2)
    alice.machine.suspend(network.now)
    bob.machine.join(TOPIC, network.now, lookup=False)
    discovery = alice.machine.join(bytes(32), network.now)
    network.network.run_for(1500)
    assert not alice.connected
    assert not discovery.flushed
    alice.machine.dial_queued(network.now)
    alice.machine.resume(network.now)
    assert met(network, alice, bob) < 2
    network.until(lambda: discovery.flushed)


def test_a_suspended_swarm_is_found_by_nobody_and_comes_back() -> None:
    network = SwarmNetwork()
    alice, bob = network.add_person(), network.add_person()
    alice.machine.join(TOPIC, network.now, lookup=False)
    network.network.run_for(5)
    alice.machine.suspend(network.now)
    assert (alice.machine.suspended, alice.machine.dht.listening) == (True, False)
    network.until(lambda: not alice.machine.withdrawing)
    bob.machine.join(TOPIC, network.now, announce=False)
    network.network.run_for(100)
    assert not bob.of_type(PeerFound)
    alice.machine.resume(network.now)
    alice.machine.resume(network.now)
    met(network, alice, bob, within=700)
    assert (alice.machine.suspended, alice.machine.dht.listening) == (False, True)


def test_suspending_ends_dials_and_resuming_repeats_them() -> None:
    network = SwarmNetwork()
    alice, bob = network.add_person(), network.add_person()
    bob.machine.join(TOPIC, network.now, lookup=False)
    network.network.run_for(2)
    alice.machine.join(TOPIC, network.now, announce=False)
    network.until(lambda: bool(alice.machine.dials))
    (dial,) = alice.machine.dials.values()
    alice.machine.suspend(network.now)
    network.network.run_for(1)
    assert alice.of_type(DialFailed) == [DialFailed(dial, "the swarm was suspended")]
    assert not alice.connected
    alice.machine.resume(network.now)
    assert met(network, alice, bob) < 2


def test_after_a_silence_every_peer_is_tried_again() -> None:
    """If a cable is pulled out elsewhere, our own address stays the same."""
    network = SwarmNetwork()
    alice = network.add_person()
    alice.machine.join(TOPIC, network.now)
    network.network.run_for(60)
    others = [member for member in network.members if member is not alice.member]
    machines = [member.host.machine for member in others]
    for member in others:
        member.host.machine = Recorder()
    network.network.run_for(60)
    assert not alice.of_type(NetworkChanged)
    alice.events.clear()
    for member, machine in zip(others, machines, strict=True):
        member.host.machine = machine
    network.until(lambda: bool(alice.of_type(Announced)), within=20)
    assert len(alice.of_type(NetworkChanged)) == 1


def test_after_a_sleep_every_peer_is_tried_again() -> None:
    network = SwarmNetwork()
    alice = network.add_person()
    alice.machine.join(TOPIC, network.now)
    network.network.run_for(60)
    alice.events.clear()
    events = alice.machine.handle_deadline(network.now + 3600)
    assert NetworkChanged() in events


def test_a_network_that_appears_later() -> None:
    network = SwarmNetwork(nodes=0)
    alice, bob = network.add_person(), network.add_person()
    for person in (alice, bob):
        person.machine.join(TOPIC, network.now)
    network.network.run_for(100)
    assert not alice.machine.dht.node.bootstrapped
    network.members.clear()
    network.grow(network.add_hyper, 4)
    network.members += [alice.member, bob.member]
    assert met(network, alice, bob) < 60


def test_a_flood_of_made_up_keys_forgets_no_peer_that_was_reached() -> None:
    network = SwarmNetwork()
    alice, bob = network.add_person(limits=SwarmLimits(known_peers=10)), network.add_person()
    bob.machine.join(TOPIC, network.now, lookup=False)
    network.network.run_for(1)
    alice.machine.join(TOPIC, network.now, announce=False)
    met(network, alice, bob)
    topic = alice.machine.topics[TOPIC]
    topic.search(network.now)
    assert topic.running is not None
    made_up = [Peer(KeyPair.from_seed(number.to_bytes(32)).ed25519_public_key) for number in range(100)]
    for peer in made_up:
        alice.machine.handle(PeersFound(topic.running, (peer,), None), network.now)
    alice.machine.handle(PeersFound(topic.running, (Peer(bytes(32)),), None), network.now)
    assert len(alice.machine.peers) == 10
    assert bob.key in alice.machine.peers
    assert bytes(32) not in alice.machine.peers


def test_connected_peers_are_never_forgotten() -> None:
    network = SwarmNetwork()
    alice = network.add_person(limits=SwarmLimits(known_peers=2))
    for number in range(4):
        alice.open(bytes([number]) * 32)
    assert len(alice.machine.peers) == 4


def test_a_swarm_reports_no_answers_about_values() -> None:
    network = SwarmNetwork()
    alice = network.add_person(pause=1)
    alice.events.clear()
    alice.machine.dht.get_immutable(bytes(32), network.now)
    network.network.run_for(5)
    assert not alice.events


def test_bad_arguments() -> None:
    network = SwarmNetwork()
    alice = network.add_person()
    with pytest.raises(ValueError, match="topic must be 32 bytes, not 5"):
        alice.machine.join(b"short", network.now)
    with pytest.raises(ValueError, match="announce and lookup must not both be False"):
        alice.machine.join(TOPIC, network.now, announce=False, lookup=False)
    with pytest.raises(ValueError, match="public_key must be a public key"):
        alice.machine.connect(b"short", network.now)


def test_the_next_look_returns_the_events_of_commands() -> None:
    network = SwarmNetwork()
    alice = network.add_person(pause=1)
    alice.machine.pending_events.append(Announced(TOPIC, 1))
    assert alice.machine.next_deadline() == -float("inf")
    assert alice.machine.handle_deadline(network.now)[0] == Announced(TOPIC, 1)


def test_a_hundred_people_on_one_topic() -> None:
    network = SwarmNetwork(nodes=20)
    people = [network.add_person(pause=0.2) for _ in range(30)]
    for person in people:
        person.machine.join(TOPIC, network.now)
        network.network.run_for(0.3)
    network.network.run_for(120)
    reached: set[bytes] = set()
    todo = [people[0].key]
    by_key = {person.key: person for person in people}
    while todo:
        key = todo.pop()
        if key not in reached:
            reached.add(key)
            todo += by_key[key].connected
    assert len(reached) == len(people)
    assert not any(person.of_type(ConnectionRequested) == [] for person in people[:5])


RELAY = KeyPair.from_seed(b"relay".ljust(32)).ed25519_public_key


def test_after_a_failed_punch_the_peer_is_dialled_through_our_relay_on_the_same_stream() -> None:
    network = SwarmNetwork()
    alice = network.add_person(relay_through=RELAY)
    bob = network.add_person()
    first = alice.machine.connect(bob.key, network.now)
    alice.machine.handle(DialFailed(first, "no way", unpunched=True), network.now)
    second = alice.machine.dials[bob.key]
    assert (first.relayed, second.relayed) == (False, True)
    assert first.stream_id == second.stream_id
    assert not alice.machine.pending_events
    alice.machine.handle(DialFailed(first, "no way", unpunched=True), network.now)
    alice.machine.handle(DialFailed(second, "no way either", unpunched=True), network.now)
    assert [event.dial for event in alice.machine.pending_events if isinstance(event, DialFailed)] == [
        first,
        second,
    ]
    assert bob.key not in alice.machine.dials
    assert alice.machine.connect(bob.key, network.now).relayed
    alice.machine.handle(NetworkChanged(), network.now)
    assert alice.machine.relay_for(bob.key) is None


def test_a_peer_that_could_not_punch_to_us_is_met_at_our_relay_when_it_dials_again() -> None:
    network = SwarmNetwork()
    alice = network.add_person(relay_through=RELAY, limits=SwarmLimits(unpunched_peers=1))
    others = [KeyPair.from_seed(name.ljust(32)).ed25519_public_key for name in (b"one", b"two")]
    for key in (*others, others[1]):
        failed = PunchFailed(IncomingPunch(1, key, None), "no way")
        alice.machine.handle(failed, network.now)
        assert alice.machine.pending_events[-1] is failed
    assert [alice.machine.relay_for(key) for key in others] == [None, RELAY]
    assert not alice.machine.peers  # a stranger's attempt makes it no peer
    alice.machine.handle(PunchFailed(IncomingPunch(1, RELAY, None), "no way"), network.now)
    assert alice.machine.relay_for(RELAY) is None


def test_no_relay_is_used_without_one_or_to_reach_the_relay_itself() -> None:
    network = SwarmNetwork()
    alice, bob = network.add_person(), network.add_person(relay_through=RELAY)
    for person, key in ((alice, bob.key), (bob, RELAY)):
        person.machine.dht.node.nat.host = "88.0.0.1"
        person.machine.dht.node.nat.port = 0
        dial = person.machine.connect(key, network.now)
        assert not dial.relayed
        person.machine.handle(DialFailed(dial, "no way", unpunched=True), network.now)
        assert person.machine.pending_events == [DialFailed(dial, "no way", unpunched=True)]


def test_a_swarm_behind_a_random_nat_uses_the_relay_from_the_start() -> None:
    network = SwarmNetwork()
    alice, bob = network.add_person(relay_through=RELAY), network.add_person()
    nat = alice.machine.dht.node.nat
    for nat.host, nat.port, relay in ((None, 0, None), ("88.0.0.1", 5, None), ("88.0.0.1", 0, RELAY)):
        assert alice.machine.relay_for(bob.key) == relay
    assert alice.machine.connect(bob.key, network.now).relayed


def test_a_dial_that_waits_for_the_pause_after_our_own_punch_is_repeated_right_after_it() -> None:
    network = SwarmNetwork(nodes=12)
    alice = network.add_person(gateway=Nat("88.0.0.1", "preserving"))
    bob = network.add_person(gateway=Nat("88.0.0.2", "random"))
    alice.machine.join(TOPIC, network.now, lookup=False)
    network.network.run_for(5)
    throttle, pause = bob.machine.dht.punching.throttle, bob.machine.dht.limits.punches.random_pause
    throttle.began()
    throttle.ended(network.now)
    ended = network.now
    network.network.run_for(0.75 * pause)
    bob.machine.join(TOPIC, network.now, announce=False)
    network.until(lambda: bool(bob.of_type(DialFailed)))
    assert bob.of_type(DialFailed)[0].dial.postponed_until == ended + pause
    assert ended + pause <= bob.machine.peers[alice.key].retry_at <= ended + 1.5 * pause
    network.network.run_until(lambda: alice.key in bob.connected, within=900)
