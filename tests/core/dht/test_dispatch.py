"""The way of requests and events: malformed requests are dropped, and events wait for the next look."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from core.dht.dialing_support import Played
from core.dht.rpc.test_messages import REQUESTS, RESPONSES, encode
from core.dht.support import entropy
from core.dht.test_messages import PAYLOADS
from peersockets_core import KeyPair
from peersockets_core.dht.events import DialFailed, Listening
from peersockets_core.dht.hyperdht import HyperDht
from peersockets_core.dht.messages import (
    HyperDhtCommand,
    RelayedHandshake,
    RelayMode,
)
from peersockets_core.dht.rpc.messages import (
    RpcRequest,
)
from peersockets_core.dht.signing import key_hash


def test_the_next_look_returns_the_events_of_commands() -> None:
    machine = HyperDht(key_pair=KeyPair.from_seed(bytes(32)), entropy=entropy(1), now=0.0)
    machine.handle_deadline(0.0)
    machine.listen(0.0)
    assert machine.next_deadline() == -float("inf")
    assert machine.take_events(0.0) == [Listening(())]
    machine.dial(KeyPair.from_seed(b"x" * 32).ed25519_public_key, 1, 0.0)
    (failed,) = machine.handle_deadline(0.0)
    assert isinstance(failed, DialFailed)
    machine.pending_events.append(failed)
    assert machine.next_deadline() == -float("inf")


HOSTILE_VALUES = st.binary(max_size=60) | st.builds(
    lambda mode, noise, payload, address: RelayedHandshake(
        mode, noise or payload.encode(), address, address
    ).encode(),
    st.sampled_from([*RelayMode, 9]),
    st.binary(max_size=150),
    PAYLOADS,
    st.none() | st.just(("10.0.0.9", 9)),
)


@settings(max_examples=60)
@given(
    st.lists(
        REQUESTS
        | RESPONSES
        | st.binary(max_size=60)
        | st.builds(
            RpcRequest,
            st.integers(0, 65535),
            st.just(("10.0.0.1", 1)),
            st.sampled_from([*HyperDhtCommand, 10, 11]),
            target=st.sampled_from([bytes(32), key_hash(KeyPair.from_seed(bytes(32)).ed25519_public_key)]),
            value=HOSTILE_VALUES,
        ),
        max_size=30,
    )
)
def test_arbitrary_messages_never_raise(messages: list[Any]) -> None:
    machine = HyperDht(
        key_pair=KeyPair.from_seed(bytes(32)),
        entropy=entropy(1),
        now=0.0,
        persistent=True,
        address=("10.0.0.1", 1),
    )
    machine.handle_deadline(0.0)
    machine.listen(0.0)
    sent = received = 0
    for number, message in enumerate(messages):
        now = number / 10
        datagram = message if isinstance(message, bytes) else encode(message)
        received += len(datagram)
        machine.receive_datagrams(datagram, 1500, ("10.0.0.2", 2), now)
        machine.handle_deadline(now)
        sent += sum(len(buffers[0]) for _, buffers, _ in machine.datagrams_to_send(now))
    # The node amplifies no more than the protocol demands: it adds a token, and closer nodes, of which it
    # knows none.
    assert sent <= 3 * received + 200 * len(messages)


def test_cancelling_a_dial_before_its_outcome_is_reported() -> None:
    net = Played()
    dial = net.dial()
    net.machine.exchange.report(DialFailed(dial, "it was not found"))
    net.machine.cancel(dial, net.now)
    assert net.machine.take_events(net.now) == []
