"""Values under their hash and under a key, in networks in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from core.dht.support import DhtNetwork, Member, hyper_network, requests_of
from peersockets_core import KeyPair
from peersockets_core.dht.events import ValueFound
from peersockets_core.dht.messages import MutableValue
from peersockets_core.dht.rpc.address import node_id
from peersockets_core.dht.rpc.messages import RpcResponse, encode_response
from peersockets_core.dht.signing import key_hash, sign_mutable


def finish(network: DhtNetwork, member: Member, search: Any) -> ValueFound:
    def ended() -> list[ValueFound]:
        return [event for event in member.of_type(ValueFound) if event.search is search]

    network.until(lambda: bool(ended()))
    return ended()[0]


def test_an_immutable_value() -> None:
    network = hyper_network(10)
    alice, bob = network.members[2], network.members[8]
    put = alice.machine.put_immutable(b"a value", network.now)
    assert finish(network, alice, put).stored == 9
    assert put.target == key_hash(b"a value")
    assert finish(network, bob, bob.machine.get_immutable(put.target, network.now)).value == b"a value"
    missing = bob.machine.get_immutable(bytes(32), network.now)
    assert finish(network, bob, missing).value is None


def test_a_mutable_value_and_its_successor() -> None:
    network = hyper_network(10)
    alice, bob = network.members[2], network.members[8]
    public_key = alice.machine.key_pair.ed25519_public_key
    assert finish(network, alice, alice.machine.put_mutable(b"one", 1, network.now)).stored == 9
    assert finish(network, alice, alice.machine.put_mutable(b"two", 2, network.now)).stored == 9
    found = finish(network, bob, bob.machine.get_mutable(public_key, network.now)).value
    assert isinstance(found, MutableValue)
    assert (found.seq, found.value) == (2, b"two")
    newer = bob.machine.get_mutable(public_key, network.now, minimum_seq=3)
    assert finish(network, bob, newer).value is None


@pytest.mark.parametrize(("value", "seq"), [(b"old", 1), (b"other", 2)])
def test_an_older_value_or_another_one_of_the_same_number_is_refused(value: bytes, seq: int) -> None:
    network = hyper_network(5)
    alice = network.members[2]
    finish(network, alice, alice.machine.put_mutable(b"two", 2, network.now))
    assert finish(network, alice, alice.machine.put_mutable(value, seq, network.now)).stored == 0
    assert finish(network, alice, alice.machine.put_mutable(b"two", 2, network.now)).stored == 4


def test_values_that_are_too_large_or_empty_are_refused() -> None:
    network = hyper_network(1)
    machine = network.members[0].machine
    for value in (b"", bytes(1001)):
        with pytest.raises(ValueError, match=f"value must be from 1 to 1000 bytes, not {len(value)}"):
            machine.put_immutable(value, network.now)
        with pytest.raises(ValueError, match="value must be"):
            machine.put_mutable(value, 1, network.now)
    with pytest.raises(ValueError, match="public_key must be a public key"):
        machine.get_mutable(b"short", network.now)
    with pytest.raises(ValueError, match="target must be 32 bytes"):
        machine.get_immutable(b"short", network.now)


def answer(member: Member, now: float, *values: bytes | None, token: bytes | None = b"t" * 32) -> list[Any]:
    """Answer the requests that a member has sent, each with the next value. Return the events."""
    events = []
    for (to, request), value in zip(requests_of(member.machine, now), values, strict=True):
        response = RpcResponse(request.tid, member.address, node_id(to), token, value=value)
        events += member.machine.receive_datagrams(encode_response(response), 1500, to, now)
    return events


def test_a_false_value_for_a_hash_is_not_believed() -> None:
    network = hyper_network(4)
    bob = network.members[1]
    bob.machine.get_immutable(key_hash(b"true"), network.now)
    (found,) = answer(bob, network.now, b"false", b"true", None)
    assert found.value == b"true"


def test_a_false_value_for_a_key_is_not_believed() -> None:
    network = hyper_network(5)
    bob = network.members[1]
    owner, liar = KeyPair.from_seed(b"o" * 32), KeyPair.from_seed(b"l" * 32)
    bob.machine.get_mutable(owner.ed25519_public_key, network.now)
    (found,) = answer(
        bob,
        network.now,
        sign_mutable(owner, 4, b"true").encode(),
        sign_mutable(liar, 9, b"false").encode(),
        sign_mutable(owner, 3, b"older").encode(),
        b"garbage",
    )
    assert found.value == sign_mutable(owner, 4, b"true")
    assert bob.machine.node.dropped == 1


def test_nodes_that_send_no_token_get_nothing_to_store() -> None:
    network = hyper_network(3)
    bob = network.members[1]
    bob.machine.put_immutable(b"value", network.now)
    (found,) = answer(bob, network.now, None, None, token=None)
    assert found.stored == 0
