"""Dialling a key: through relays that answer, stay silent, lie, or lead elsewhere."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from core.dht.support import entropy, requests_of
from peersockets_core import KeyPair, LocalProtocolError
from peersockets_core.address import SocketAddress
from peersockets_core.dht.dialing import Dial, DialState
from peersockets_core.dht.events import DialFailed, Dialled
from peersockets_core.dht.hyperdht import HyperDht
from peersockets_core.dht.limits import HyperDhtLimits
from peersockets_core.dht.messages import (
    HandshakeError,
    HandshakePayload,
    HolepunchInfo,
    HyperDhtCommand,
    Peer,
    RelayedHandshake,
    RelayMode,
    UdxInfo,
    decode_handshake_untrusted,
    decode_holepunch_untrusted,
)
from peersockets_core.dht.noise_ik import HandshakeNoise
from peersockets_core.dht.rpc.address import node_id
from peersockets_core.dht.rpc.limits import DhtLimits
from peersockets_core.dht.rpc.messages import (
    RpcCommand,
    RpcRequest,
    RpcResponse,
    decode_untrusted,
    encode_response,
)
from peersockets_core.holepunch import Failure, Firewall

US, SERVER = ("10.0.0.1", 1), ("1.0.0.9", 9)
SERVER_KEYS, OUR_KEYS = KeyPair.from_seed(b"s" * 32), KeyPair.from_seed(b"c" * 32)
NODES: list[SocketAddress] = [(f"10.0.1.{number}", 5) for number in range(1, 5)]
PAYLOAD = HandshakePayload(Firewall.UNKNOWN, udx=UdxInfo(55))
PUNCHABLE = HolepunchInfo(0, ((NODES[0], SERVER),))


@attrs.define(eq=False)
class Played:
    """A node that dials, and the nodes that it asks."""

    options: dict[str, Any] = attrs.field(factory=dict)
    machine: HyperDht = attrs.field(init=False)
    events: list[Any] = attrs.field(factory=list)
    asked: list[tuple[SocketAddress, RpcRequest]] = attrs.field(factory=list)
    now: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.machine = HyperDht(key_pair=OUR_KEYS, entropy=entropy(3), now=0.0, **self.options)
        self.machine.handle_deadline(0.0)
        for address in NODES:
            self.machine.node.upkeep.heard_from(address, node_id(address), 0.0)

    def dial(self, **options: Any) -> Dial:
        dial = self.machine.dial(SERVER_KEYS.ed25519_public_key, 44, self.now, **options)
        self.look()
        return dial

    def look(self) -> None:
        self.asked += requests_of(self.machine, self.now)

    def take(
        self, command: int, to: SocketAddress | None = None, *, internal: bool = False, most: int = 99
    ) -> list[Any]:
        """Take the first requests of a command that were sent, or only those to one node."""
        taken = [
            asked
            for asked in self.asked
            if (asked[1].command, asked[1].internal) == (command, internal) and to in (None, asked[0])
        ][:most]
        self.asked = [asked for asked in self.asked if asked not in taken]
        return taken

    def answer(
        self,
        to: SocketAddress,
        request: RpcRequest,
        value: bytes | None,
        ours: SocketAddress = US,
        socket: int = 0,
    ) -> None:
        response = RpcResponse(request.tid, ours, node_id(to), value=value)
        datagram = encode_response(response)
        self.events += self.machine.receive_datagrams(datagram, 1500, to, self.now, socket=socket)
        self.look()

    def take_punching(self, command: int) -> list[tuple[SocketAddress, Any, int]]:
        """Take the requests that were sent from sockets for hole punching."""
        sent = self.machine.punch_datagrams_to_send(self.now)
        requests = [
            (datagram.to, decode_untrusted(datagram.data), datagram.socket)
            for datagram in sent
            if len(datagram.data) > 1
        ]
        return [each for each in requests if isinstance(each[1], RpcRequest) and each[1].command == command]

    def find(self, *relays: SocketAddress) -> None:
        """Let all nodes say where the key is; the given ones know it."""
        record = Peer(SERVER_KEYS.ed25519_public_key).encode()
        for to, request in self.take(HyperDhtCommand.FIND_PEER):
            self.answer(to, request, record if to in relays else None)

    def reply(
        self,
        payload: HandshakePayload = PAYLOAD,
        *,
        through: SocketAddress | None = None,
        server: SocketAddress | None = SERVER,
        ours: SocketAddress = US,
    ) -> None:
        """Answer one handshake as the server behind a relay does."""
        to, request = self.take(HyperDhtCommand.PEER_HANDSHAKE, through, most=1)[0]
        noise = HandshakeNoise(SERVER_KEYS, entropy(9))
        noise.read_untrusted(decode_handshake_untrusted(request.value).noise)
        reply = RelayedHandshake(RelayMode.REPLY, noise.write(payload), server)
        self.answer(to, request, reply.encode(), ours)

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while (deadline := self.machine.next_deadline()) <= until:
            self.now = max(self.now, deadline)
            self.events += self.machine.handle_deadline(self.now)
            self.look()
        self.now = until

    @property
    def fates(self) -> list[Any]:
        return [event for event in self.events if isinstance(event, Dialled | DialFailed)]

    @property
    def fate(self) -> Any:
        (fate,) = self.fates
        return fate


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


def test_relays_are_remembered_for_the_next_time() -> None:
    net = Played(options={"limits": HyperDhtLimits(known_relays=1)})
    net.dial()
    net.find(NODES[0])
    net.reply(attrs.evolve(PAYLOAD, relays=(NODES[2], NODES[3])))
    net.dial()
    assert {to for to, _ in net.take(HyperDhtCommand.PEER_HANDSHAKE)} == {NODES[2], NODES[3]}
    net.machine.learn_relays(b"k" * 32, (NODES[0],))
    assert list(net.machine.known_relays) == [b"k" * 32]


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


def test_behind_the_same_address_without_room_for_a_ping() -> None:
    limits = HyperDhtLimits(rpc=DhtLimits(requests=len(NODES)))
    net = Played(options={"limits": limits})
    dial = net.dial()
    net.find(NODES[0])
    for _ in range(len(NODES) - 1):
        net.machine.node.ping(("10.9.9.9", 1), net.now)
    net.reply(attrs.evolve(PAYLOAD, holepunch=PUNCHABLE, addresses=LOCAL), ours=(SERVER[0], 1))
    assert dial.state in (DialState.REACHING, DialState.FAILED)


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


def test_cancelling_a_dial_before_its_outcome_is_reported() -> None:
    net = Played()
    dial = net.dial()
    net.machine.exchange.report(DialFailed(dial, "it was not found"))
    net.machine.cancel(dial, net.now)
    assert net.machine.take_events(net.now) == []


def test_without_room_for_requests() -> None:
    net = Played(options={"limits": HyperDhtLimits(rpc=DhtLimits(requests=1))})
    dial = net.dial(relays=[NODES[0], NODES[1]])
    assert dial.attempts <= 1
    net.wait(120)
    assert isinstance(net.fate, DialFailed)


def test_bad_arguments() -> None:
    net = Played()
    with pytest.raises(LocalProtocolError, match="public_key is our own"):
        net.machine.dial(OUR_KEYS.ed25519_public_key, 1, 0.0)
    with pytest.raises(ValueError, match="public_key must be a public key"):
        net.machine.dial(b"short", 1, 0.0)
    for number in (0, 1, 2):  # no point at all, and two points of small order
        with pytest.raises(ValueError, match="public_key is not a valid point of the curve"):
            net.machine.dial(number.to_bytes(32, "little"), 1, 0.0)
