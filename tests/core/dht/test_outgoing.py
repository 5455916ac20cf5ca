"""The relays that a node tries when it dials a key again, and its dials that are cancelled."""

from __future__ import annotations

import attrs
import pytest

from core.dht.dialing_support import NODES, OUR_KEYS, PAYLOAD, SERVER, Played
from peersockets_core import LocalProtocolError
from peersockets_core.address import SocketAddress
from peersockets_core.dht.limits import HyperDhtLimits
from peersockets_core.dht.messages import (
    HyperDhtCommand,
)


def test_relays_are_remembered_for_the_next_time() -> None:
    net = Played(options={"limits": HyperDhtLimits(known_relays=1)})
    net.dial()
    net.find(NODES[0])
    net.reply(attrs.evolve(PAYLOAD, relays=(NODES[2], NODES[3])))
    net.dial()
    assert {to for to, _ in net.take(HyperDhtCommand.PEER_HANDSHAKE)} == {NODES[2], NODES[3]}
    net.machine.outgoing.learn_relays(b"k" * 32, (NODES[0],))
    assert list(net.machine.outgoing.known_relays) == [b"k" * 32]


@pytest.mark.parametrize("server", [None, SERVER])
def test_a_server_that_answered_by_itself_is_dialled_directly_next_time(
    server: SocketAddress | None,
) -> None:
    net = Played()
    net.dial(relays=[SERVER])
    net.reply(attrs.evolve(PAYLOAD, relays=(SERVER, NODES[2], NODES[3])), through=SERVER, server=server)
    net.dial()
    assert [to for to, _ in net.take(HyperDhtCommand.PEER_HANDSHAKE)] == [SERVER]
    net.wait(0.1)  # it has moved, so the dial searches for others
    net.find(*NODES)
    assert {to for to, _ in net.take(HyperDhtCommand.PEER_HANDSHAKE)} < set(NODES)


def test_a_server_that_we_reached_without_a_relay_is_dialled_directly_next_time() -> None:
    net = Played()
    net.dial(relays=[SERVER])
    net.reply(through=SERVER, server=None)
    assert net.fate.address == SERVER


def test_bad_arguments() -> None:
    net = Played()
    with pytest.raises(LocalProtocolError, match="public_key is our own"):
        net.machine.dial(OUR_KEYS.ed25519_public_key, 1, 0.0)
    with pytest.raises(ValueError, match="public_key must be a public key"):
        net.machine.dial(b"short", 1, 0.0)
    for number in (0, 1, 2):  # no point at all, and two points of small order
        with pytest.raises(ValueError, match="public_key is not a valid point of the curve"):
            net.machine.dial(number.to_bytes(32, "little"), 1, 0.0)
