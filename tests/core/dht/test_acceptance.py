"""Accepting remotes: when we punch towards them, and how we answer."""

from __future__ import annotations

import attrs
import pytest

from core.dht.test_listening import CLIENT, OURS, PAYLOAD, RELAY, Played, answer, client
from peersockets_core import LocalProtocolError
from peersockets_core.address import SocketAddress
from peersockets_core.dht.limits import HyperDhtLimits
from peersockets_core.dht.messages import (
    HandshakeError,
    HandshakePayload,
    HolepunchInfo,
    RelayedHandshake,
    RelayMode,
    UdxInfo,
)
from peersockets_core.holepunch import Firewall, PunchLimits

SAME = ("10.0.0.1", 9)
"""A client behind the public address of `OURS`."""
LOCAL = ("192.168.1.4", 1)
RELAYED_AT = HolepunchInfo(0, ((RELAY, OURS),))
NEIGHBOUR = attrs.evolve(PAYLOAD, addresses=(("192.168.1.5", 1),))


@pytest.mark.parametrize(
    ("client_at", "payload", "open_address", "offered", "punches", "from_main"),
    [
        pytest.param(SAME, NEIGHBOUR, None, RELAYED_AT, True, True, id="neighbour"),
        pytest.param(SAME, PAYLOAD, None, RELAYED_AT, True, False, id="same address, without a local one"),
        pytest.param(CLIENT, NEIGHBOUR, None, RELAYED_AT, True, False, id="elsewhere"),
        pytest.param(SAME, NEIGHBOUR, OURS, None, False, True, id="everybody can reach us"),
        pytest.param(
            CLIENT,
            HandshakePayload(Firewall.OPEN, udx=UdxInfo(7)),
            None,
            RELAYED_AT,
            False,
            True,
            id="it is open",
        ),
    ],
)
def test_the_offer_of_hole_punching(
    client_at: SocketAddress,
    payload: HandshakePayload,
    open_address: SocketAddress | None,
    offered: HolepunchInfo | None,
    punches: bool,
    from_main: bool,
) -> None:
    node = Played(open_address=open_address)
    node.machine.local_addresses = (LOCAL,)
    node.machine.announcer.relays = {RELAY: OURS}
    noise, message = client(payload=payload)
    (incoming,) = node.bring(RelayedHandshake(RelayMode.FROM_RELAY, message, client_at))
    node.accept(incoming)
    assert (incoming.punch is not None) == punches
    (passed_on,) = [message for _, message in node.sent()] if from_main else node.punching()
    theirs = noise.read_untrusted(answer(passed_on).noise)
    assert theirs.holepunch == offered
    assert LOCAL in theirs.addresses


def test_too_many_punches() -> None:
    node = Played(HyperDhtLimits(punches=PunchLimits(incoming_of_key=1)))
    node.machine.announcer.relays = {RELAY: OURS}
    for seed in range(2):
        noise, message = client(seed)
        (incoming,) = node.bring(RelayedHandshake(RelayMode.FROM_RELAY, message, CLIENT))
        accepted = node.accept(incoming)
        (passed_on,) = node.punching() + [message for _, message in node.sent()]
        payload = noise.read_untrusted(answer(passed_on).noise)
        assert (accepted is None) == bool(seed)
        assert payload.error == (HandshakeError.TRY_LATER if seed else HandshakeError.NONE)


def test_a_handshake_that_was_already_decided_leaves_no_punch() -> None:
    node = Played()
    node.machine.announcer.relays = {RELAY: OURS}
    (incoming,) = node.bring(RelayedHandshake(RelayMode.FROM_RELAY, client()[1], CLIENT))
    node.accept(incoming)
    with pytest.raises(LocalProtocolError, match="already accepted"):
        node.accept(incoming)
    assert node.machine.punching.statistics().sockets == 1
    assert incoming.punch is not None
    assert not incoming.punch.server.over


def test_a_remote_of_another_version_leaves_no_punch() -> None:
    node = Played()
    node.machine.announcer.relays = {RELAY: OURS}
    payload = attrs.evolve(PAYLOAD, udx=None)
    (incoming,) = node.bring(RelayedHandshake(RelayMode.FROM_RELAY, client(payload=payload)[1], CLIENT))
    assert node.accept(incoming) is None
    assert node.machine.punching.statistics().sockets == 0
