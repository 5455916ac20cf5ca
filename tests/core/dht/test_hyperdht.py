"""Whole nodes of HyperDHT that meet in virtual time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.dht.support import DhtNetwork, Member, hyper_network
from peersockets_core import KeyPair
from peersockets_core.dht import HyperDht
from peersockets_core.dht.events import ConnectionRequested, DialFailed, Dialled, Listening
from peersockets_core.dht.listening import Accepted
from peersockets_core.dht.messages import HandshakePayload
from peersockets_core.dht.rpc.events import ReachabilityChanged
from peersockets_core.holepunch import Firewall


def key(member: Member) -> bytes:
    public_key: bytes = member.machine.key_pair.ed25519_public_key
    return public_key


def listen(network: DhtNetwork, member: Member) -> None:
    member.machine.listen(network.now)
    network.until(lambda: bool(member.of_type(Listening)))


def meet(network: DhtNetwork, alice: Member, bob: Member) -> tuple[Dialled, Accepted]:
    """Let alice dial bob, who accepts."""
    alice.machine.dial(key(bob), 11, network.now)
    network.until(lambda: bool(bob.of_type(ConnectionRequested)))
    (request,) = bob.of_type(ConnectionRequested)
    assert request.incoming.remote_public_key == key(alice)
    accepted = bob.machine.accept(request.incoming, 22, network.now)
    network.until(lambda: bool(alice.of_type(Dialled)))
    (dialled,) = alice.of_type(Dialled)
    return dialled, accepted


def test_a_node_that_strangers_can_reach_says_so_in_its_handshakes() -> None:
    network = hyper_network(12)
    bob = network.add_adaptive(HyperDht, key_pair=KeyPair.from_seed(b"b" * 32))
    network.network.run_for(10)
    assert bob.of_type(ReachabilityChanged) == [ReachabilityChanged(bob.address)]
    assert bob.machine.open_address == bob.address
    listen(network, bob)
    alice = next(member for member in network.members[1:8] if member.address not in bob.machine.relays)
    dialled, _ = meet(network, alice, bob)
    assert dialled.address == bob.address
    payload = bob.machine.payload(7)
    assert (payload.firewall, payload.addresses) == (Firewall.OPEN, (bob.address,))


def test_two_nodes_meet_with_only_a_key() -> None:
    network = hyper_network(12)
    bob = network.members[8]
    listen(network, bob)
    alice = next(member for member in network.members[1:8] if member.address not in bob.machine.relays)
    dialled, accepted = meet(network, alice, bob)
    assert (dialled.remote_stream_id, accepted.remote_stream_id) == (22, 11)
    assert dialled.address == bob.address
    assert accepted.address is None
    assert dialled.keys.sending_key == accepted.keys.receiving_key
    assert dialled.keys.receiving_key == accepted.keys.sending_key
    assert dialled.keys.handshake_hash == accepted.keys.handshake_hash
    assert (dialled.keys.remote_public_key, accepted.keys.remote_public_key) == (key(bob), key(alice))


def test_they_meet_despite_loss() -> None:
    network = hyper_network(10, "loss", loss=0.15)
    alice, bob = network.members[3], network.members[8]
    listen(network, bob)
    meet(network, alice, bob)


def test_ephemeral_nodes_meet_too() -> None:
    network = hyper_network(6)
    alice, bob = (network.add_hyper(persistent=False) for _ in range(2))
    network.network.run_for(2)
    listen(network, bob)
    meet(network, alice, bob)


def test_a_server_connects_to_a_dialler_without_a_firewall() -> None:
    network = hyper_network(6)
    address = network.address(7)
    alice, bob = network.add_hyper(open_address=address), network.members[3]
    network.network.run_for(2)
    listen(network, bob)
    alice.machine.dial(key(bob), 11, network.now)
    network.until(lambda: bool(bob.of_type(ConnectionRequested)))
    accepted = bob.machine.accept(bob.of_type(ConnectionRequested)[0].incoming, 22, network.now)
    assert accepted.address == address


def test_two_nodes_make_a_network() -> None:
    """The first node of a network and a second one need no other node."""
    network = hyper_network(2)
    alice, bob = network.members
    listen(network, bob)
    meet(network, alice, bob)


def test_a_refused_dialler_gets_no_answer() -> None:
    network = hyper_network(6)
    alice, bob = network.members[2], network.members[4]
    listen(network, bob)
    alice.machine.dial(key(bob), 11, network.now)
    network.until(lambda: bool(bob.of_type(ConnectionRequested)))
    bob.machine.refuse(bob.of_type(ConnectionRequested)[0].incoming)
    network.until(lambda: bool(alice.of_type(DialFailed)), within=60)
    assert "did not answer" in alice.of_type(DialFailed)[0].reason
    assert len(bob.of_type(ConnectionRequested)) == 1


def test_a_node_that_does_not_listen_is_not_found() -> None:
    network = hyper_network(6)
    alice, bob = network.members[2], network.members[4]
    alice.machine.dial(key(bob), 11, network.now)
    network.until(lambda: bool(alice.of_type(DialFailed)))
    assert "not listening" in alice.of_type(DialFailed)[0].reason
    assert not alice.machine.dials


def test_a_cancelled_dial_reports_nothing() -> None:
    network = hyper_network(6)
    alice, bob = network.members[2], network.members[4]
    listen(network, bob)
    dial = alice.machine.dial(key(bob), 11, network.now)
    alice.machine.cancel(dial, network.now)
    network.network.run_for(20)
    assert not alice.of_type(Dialled) + alice.of_type(DialFailed)


def test_a_handshake_of_another_layers_payload() -> None:
    assert HandshakePayload(0).encode() == b"\x01\x10\x00\x00\x01"


@pytest.mark.parametrize("command", ["refuse", "accept"])
def test_deciding_about_a_remote_that_is_gone(command: str) -> None:
    network = hyper_network(4)
    alice, bob = network.members[1], network.members[2]
    listen(network, bob)
    alice.machine.dial(key(bob), 11, network.now)
    network.until(lambda: bool(bob.of_type(ConnectionRequested)))
    network.network.run_for(11)
    incoming = bob.of_type(ConnectionRequested)[0].incoming
    decide: Callable[[], object] = (
        (lambda: bob.machine.refuse(incoming))
        if command == "refuse"
        else (lambda: bob.machine.accept(incoming, 5, network.now))
    )
    with pytest.raises(Exception, match="waited too long"):
        decide()
