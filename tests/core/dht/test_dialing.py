"""Dialling a key: through relays that answer, stay silent, lie, or lead elsewhere."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import attrs
import pytest

from core.dht.dialing_support import NODES, PAYLOAD, PUNCHABLE, SERVER, SERVER_KEYS, US, Played
from core.dht.support import entropy
from peersockets_core import LocalProtocolError
from peersockets_core.dht.dialing import DialState
from peersockets_core.dht.events import DialFailed, Dialled
from peersockets_core.dht.limits import HyperDhtLimits
from peersockets_core.dht.messages import (
    HandshakeError,
    HandshakePayload,
    HyperDhtCommand,
    RelayedHandshake,
    RelayedHolepunch,
    RelayMode,
    decode_holepunch_untrusted,
)
from peersockets_core.dht.rpc.limits import DhtLimits
from peersockets_core.dht.rpc.messages import (
    RpcCommand,
)
from peersockets_core.dht.secure_payload import SecurePayload
from peersockets_core.dht.ways import Way, WayState
from peersockets_core.holepunch import Failure, Firewall, Round
from peersockets_core.holepunch.rounds import PunchError


def test_the_steps_of_a_dial() -> None:
    net = Played()
    dial = net.dial()
    net.find(NODES[0])
    net.reply()
    fate = net.fate
    assert isinstance(fate, Dialled)
    assert (fate.dial, fate.remote_stream_id, fate.address) == (dial, 55, SERVER)
    assert fate.keys.remote_public_key == SERVER_KEYS.ed25519_public_key
    assert dial.state is DialState.DONE
    net.wait(60)
    assert net.fate is fate


def test_the_same_message_goes_through_two_relays_at_a_time() -> None:
    net = Played()
    net.dial()
    net.find(*NODES)
    handshakes = [request for _, request in net.asked if request.command == HyperDhtCommand.PEER_HANDSHAKE]
    assert len(handshakes) == 2
    assert len({request.value for request in handshakes}) == 1
    to, request = net.take(HyperDhtCommand.PEER_HANDSHAKE, most=1)[0]
    net.answer(to, request, None)  # it has lost the way, so the dial tries the next one
    assert len(net.take(HyperDhtCommand.PEER_HANDSHAKE)) == 2


def test_known_relays_are_tried_at_once_and_once() -> None:
    net = Played()
    dial = net.dial(relays=[NODES[0], NODES[0], ("10.9.9.9", 9)])
    assert {to for to, _ in net.take(HyperDhtCommand.PEER_HANDSHAKE)} == {NODES[0], ("10.9.9.9", 9)}
    assert not net.take(HyperDhtCommand.FIND_PEER)  # they have a head start
    net.wait(0.1)
    net.find(*NODES)
    assert NODES[0] not in {to for to, _ in net.take(HyperDhtCommand.PEER_HANDSHAKE)}
    assert dial.attempts == 3


def test_a_dial_does_not_wait_for_a_known_relay_that_has_lost_the_way() -> None:
    net = Played()
    net.dial(relays=[NODES[0]])
    ((to, request),) = net.take(HyperDhtCommand.PEER_HANDSHAKE)
    net.answer(to, request, None)
    assert net.take(HyperDhtCommand.FIND_PEER)


def test_a_server_may_be_its_own_relay() -> None:
    net = Played()
    net.dial(relays=[SERVER])
    net.reply(through=SERVER, server=SERVER)
    assert net.fate.address == SERVER


@pytest.mark.parametrize("firewall", [Firewall.OPEN, Firewall.UNKNOWN])
def test_an_open_server_is_reached_at_its_public_address(firewall: Firewall) -> None:
    net = Played()
    net.dial()
    net.find(NODES[0])
    addresses = (("192.168.1.5", 5), ("127.0.0.1", 6), ("8.8.4.4", 0), ("8.8.8.8", 7))
    holepunch = PUNCHABLE if firewall is Firewall.OPEN else None
    net.reply(attrs.evolve(PAYLOAD, firewall=firewall, addresses=addresses, holepunch=holepunch))
    assert net.fate.address == ("8.8.8.8", 7)


def test_a_server_without_a_public_address_is_reached_where_its_relay_sees_it() -> None:
    net = Played()
    net.dial()
    net.find(NODES[0])
    net.reply(attrs.evolve(PAYLOAD, addresses=(("192.168.1.5", 5),)))
    assert net.fate.address == SERVER


def test_a_client_that_is_open_waits_for_the_server() -> None:
    net = Played(options={"open_address": US})
    net.dial()
    net.find(NODES[0])
    net.reply(attrs.evolve(PAYLOAD, holepunch=PUNCHABLE))
    assert isinstance(net.fate, Dialled)
    assert net.fate.address is None


LOCAL = (("192.168.7.1", 5), ("10.0.0.77", 6), ("172.16.0.1", 7))


def test_behind_the_same_address_the_nearest_local_one_is_tried() -> None:
    net = Played(options={"local_addresses": [("10.0.0.5", 1)]})
    net.dial()
    net.find(NODES[0])
    ours = (SERVER[0], 1)
    net.reply(attrs.evolve(PAYLOAD, holepunch=PUNCHABLE, addresses=LOCAL), ours=ours)
    assert not net.fates
    ((to, ping),) = net.take(RpcCommand.PING, internal=True)
    assert to == ("10.0.0.77", 6)
    net.answer(to, ping, None)
    assert net.fate.address == to


def test_behind_the_same_address_but_out_of_reach() -> None:
    net = Played()
    net.dial()
    net.find(NODES[0])
    net.reply(attrs.evolve(PAYLOAD, holepunch=PUNCHABLE, addresses=LOCAL), ours=(SERVER[0], 1))
    net.wait(10)
    assert net.fate.reason == Failure.NO_ANSWER.value


def test_a_slow_local_address_wins_over_a_failed_punch() -> None:
    net = Played()
    net.dial()
    net.find(NODES[0])
    net.reply(attrs.evolve(PAYLOAD, holepunch=PUNCHABLE, addresses=LOCAL), ours=(SERVER[0], 1))
    ((to, ping),) = net.take(RpcCommand.PING, internal=True)
    net.wait(0.06)
    ((_, round, socket),) = net.take_punching(HyperDhtCommand.PEER_HOLEPUNCH)
    net.answer(NODES[0], round, b"", socket=socket)
    assert not net.fates
    net.answer(to, ping, None)
    assert net.fate.address == to


def test_the_states_of_the_ways() -> None:
    net = Played()
    dial = net.dial()
    assert set(dial.ways.states.values()) == {WayState.UNTRIED}
    net.find(NODES[0])
    net.reply(attrs.evolve(PAYLOAD, holepunch=PUNCHABLE, addresses=LOCAL), ours=(SERVER[0], 1))
    states = dial.ways.states
    assert (states[Way.LOCAL], states[Way.PUNCH]) == (WayState.TRYING, WayState.PLANNED)
    ((to, ping),) = net.take(RpcCommand.PING, internal=True)
    net.wait(0.06)
    ((_, round, socket),) = net.take_punching(HyperDhtCommand.PEER_HOLEPUNCH)
    assert states[Way.PUNCH] is WayState.TRYING
    net.answer(NODES[0], round, b"", socket=socket)
    assert states[Way.PUNCH] is WayState.FAILED
    assert dial.ways.pending
    net.answer(to, ping, None)
    assert states[Way.LOCAL] is WayState.PASSED
    assert states[Way.OPEN] is states[Way.RELAY] is WayState.UNTRIED


def test_a_peer_that_punches_for_another_is_dialled_after_the_pause() -> None:
    net = Played()
    dial = net.dial()
    net.find(NODES[0])
    net.reply(attrs.evolve(PAYLOAD, holepunch=PUNCHABLE))
    assert not dial.postponed
    ((_, round, socket),) = net.take_punching(HyperDhtCommand.PEER_HOLEPUNCH)
    payload = SecurePayload(net.handshake_hash, entropy(8), 8)
    value = RelayedHolepunch(
        RelayMode.REPLY, 0, payload.seal(Round(error=PunchError.TRY_LATER)), SERVER
    ).encode()
    net.answer(NODES[0], round, value, socket=socket)
    assert net.fate.reason == Failure.TRY_LATER.value
    assert dial.postponed_until == net.now + net.machine.limits.punches.random_pause


def test_a_punch_that_fails_first_waits_for_the_local_address() -> None:
    net = Played()
    net.dial()
    net.find(NODES[0])
    net.reply(attrs.evolve(PAYLOAD, holepunch=PUNCHABLE, addresses=LOCAL), ours=(SERVER[0], 1))
    net.wait(0.06)
    ((_, round, socket),) = net.take_punching(HyperDhtCommand.PEER_HOLEPUNCH)
    net.answer(NODES[0], round, b"", socket=socket)
    assert not net.fates
    net.wait(10)
    assert net.fate.reason == Failure.INVALID.value


def test_impossible_addresses_are_not_tried() -> None:
    net = Played()
    net.dial()
    net.find(NODES[0])
    nobodys = (("0.0.0.0", 5), ("224.0.0.1", 5), ("240.0.0.1", 5), ("192.168.7.1", 0))
    net.reply(attrs.evolve(PAYLOAD, holepunch=PUNCHABLE, addresses=nobodys), ours=(SERVER[0], 1))
    assert not net.take(RpcCommand.PING, internal=True)
    assert net.take_punching(HyperDhtCommand.PEER_HOLEPUNCH)


def test_behind_the_same_address_without_room_for_a_ping(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Played(options={"limits": HyperDhtLimits(rpc=DhtLimits(requests=len(NODES)))})
    dial = net.dial()
    net.find(NODES[0])
    node = net.machine.node
    receive = node.receive_datagrams

    def receive_and_fill(*datagrams: Any, **options: Any) -> Any:
        events = receive(*datagrams, **options)
        with suppress(LocalProtocolError):  # once others have taken all the room
            while True:
                node.ping(("10.9.9.9", 1), net.now)
        return events

    monkeypatch.setattr(node, "receive_datagrams", receive_and_fill)
    net.reply(attrs.evolve(PAYLOAD, holepunch=PUNCHABLE, addresses=LOCAL), ours=(SERVER[0], 1))
    assert dial.ways.states[Way.LOCAL] is WayState.UNTRIED
    assert dial.ways.states[Way.PUNCH] is WayState.FAILED
    assert net.fate.reason == Failure.NO_ANSWER.value


def test_behind_a_nat() -> None:
    net = Played()
    net.dial()
    net.find(NODES[0])
    net.reply(attrs.evolve(PAYLOAD, holepunch=PUNCHABLE))
    ((to, round, _),) = net.take_punching(HyperDhtCommand.PEER_HOLEPUNCH)
    assert to == NODES[0]
    assert decode_holepunch_untrusted(round.value).peer_address == SERVER
    assert not net.fates


def test_a_relay_of_the_dialler_that_the_server_does_not_share() -> None:
    net = Played()
    net.dial()
    net.find(NODES[1])
    net.reply(attrs.evolve(PAYLOAD, holepunch=PUNCHABLE))
    ((to, _, _),) = net.take_punching(HyperDhtCommand.PEER_HOLEPUNCH)
    assert to == NODES[0]


def test_a_key_that_no_node_knows() -> None:
    net = Played()
    net.dial()
    net.find()
    assert net.fate.reason == "no node of the DHT knows the peer: it is not listening"


def test_relays_that_do_not_answer() -> None:
    net = Played()
    net.dial()
    net.find(*NODES)
    net.wait(60)
    assert net.fate.reason == "the peer did not answer through any of 4 relays"


def test_relays_that_have_lost_the_way() -> None:
    net = Played()
    dial = net.dial()
    net.find(*NODES)
    while not net.fates:
        for to, request in net.take(HyperDhtCommand.PEER_HANDSHAKE):
            net.answer(to, request, None)
    assert dial.attempts == 4
    assert "through any of 4 relays" in net.fate.reason


@pytest.mark.parametrize("mode", [RelayMode.REPLY, RelayMode.FROM_SERVER])
def test_a_relay_that_lies_does_not_spoil_the_dial(mode: RelayMode) -> None:
    net = Played()
    net.dial()
    net.find(NODES[0], NODES[1])
    to, request = net.take(HyperDhtCommand.PEER_HANDSHAKE, most=1)[0]
    net.answer(to, request, RelayedHandshake(mode, bytes(100), SERVER).encode())
    assert not net.fates
    assert net.machine.node.dropped == 1
    net.reply()
    assert net.fate.address == SERVER


def test_a_malformed_answer_fails_the_dial() -> None:
    net = Played()
    net.dial()
    net.find(NODES[0])
    to, request = net.take(HyperDhtCommand.PEER_HANDSHAKE, most=1)[0]
    net.answer(to, request, b"\xff")
    assert isinstance(net.fate, DialFailed)
    assert net.machine.node.dropped == 1


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (attrs.evolve(PAYLOAD, version=3), "the peer speaks version 3 of the handshake"),
        (attrs.evolve(PAYLOAD, error=HandshakeError.TRY_LATER), "the peer declined with error 3"),
        (attrs.evolve(PAYLOAD, udx=None), "the peer declined with error 0"),
    ],
)
def test_a_server_that_declines(payload: HandshakePayload, reason: str) -> None:
    net = Played()
    net.dial()
    net.find(NODES[0])
    net.reply(payload)
    assert net.fate.reason == reason


def test_a_second_answer_changes_nothing() -> None:
    net = Played()
    net.dial()
    net.find(NODES[0], NODES[1])
    to, second = net.asked[-1]
    net.reply(through=NODES[0] if to == NODES[1] else NODES[1])
    fate = net.fate
    net.answer(to, second, b"late")
    assert net.fate is fate


@pytest.mark.parametrize("moment", ["finding", "reaching", "done"])
def test_cancelling_a_dial(moment: str) -> None:
    net = Played()
    dial = net.dial()
    if moment != "finding":
        net.find(NODES[0])
    if moment == "reaching":
        net.reply(attrs.evolve(PAYLOAD, holepunch=PUNCHABLE, addresses=LOCAL), ours=(SERVER[0], 1))
    if moment == "done":
        net.reply()
    before = len(net.fates)
    net.machine.cancel(dial, net.now)
    assert not dial.active
    net.find(*NODES)
    net.wait(60)
    assert len(net.fates) == before


def test_without_room_for_requests() -> None:
    net = Played(options={"limits": HyperDhtLimits(rpc=DhtLimits(requests=1))})
    dial = net.dial(relays=[NODES[0], NODES[1]])
    assert dial.attempts <= 1
    net.wait(120)
    assert isinstance(net.fate, DialFailed)
