"""The search for relays by itself. `test_dialing.py` has the relays that answer, lie, or stay silent."""

from __future__ import annotations

import math

from core.dht.support import entropy, requests_of
from peersockets_core.address import SocketAddress
from peersockets_core.dht.exchange import Exchange
from peersockets_core.dht.finding import TRANSITIONS, FinderState, RelayFinder
from peersockets_core.dht.messages import HyperDhtCommand
from peersockets_core.dht.rpc.messages import RpcResponse
from peersockets_core.dht.rpc.node import DhtNode

RELAY: SocketAddress = ("10.0.0.2", 2)


class Owner:
    """A dial that only notes what its finder reports."""

    def __init__(self, *relays: SocketAddress) -> None:
        self.reasons: list[str] = []
        self.node = DhtNode(entropy=entropy(1), now=0.0)
        self.node.handle_deadline(0.0)
        events: list[object] = []
        self.finder = RelayFinder(self, Exchange(self.node, events.append), bytes(32), b"hello", relays)
        self.finder.begin(0.0)

    def relay_answered(self, relay: SocketAddress, response: RpcResponse, now: float) -> None:
        raise AssertionError

    def relays_exhausted(self, reason: str, now: float) -> None:
        self.reasons.append(reason)


def test_known_relays_have_a_head_start() -> None:
    owner = Owner(RELAY)
    assert [request.command for _, request in requests_of(owner.node, 0.0)] == [
        HyperDhtCommand.PEER_HANDSHAKE
    ]
    assert owner.finder.state is FinderState.KNOWN
    owner.finder.handle_deadline(owner.finder.next_deadline())
    states = owner.finder.state, owner.finder.next_deadline()
    assert states == (FinderState.SEARCHING, math.inf)


def test_without_known_relays_the_search_begins_at_once() -> None:
    assert Owner().finder.state is FinderState.SEARCHING


def test_stopping_cancels_the_requests() -> None:
    owner = Owner(RELAY)
    assert owner.node.request_statistics().pending == 1
    owner.finder.stop()
    owner.finder.stop()
    assert owner.finder.state is FinderState.OVER
    assert owner.node.request_statistics().pending == 0
    assert not owner.reasons


def test_every_state_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(FinderState)
