"""Two nodes behind every pair of NATs, in virtual time, and hostile peers and relays between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import attrs
import pytest

from core.dht.support import DhtNetwork, Member, entropy, hyper_network
from peersockets_core import KeyPair
from peersockets_core.address import PathAddress, SocketAddress
from peersockets_core.dht import (
    ConnectionRequested,
    DialFailed,
    Dialled,
    HyperDht,
    HyperDhtLimits,
    Incoming,
    PunchFailed,
)
from peersockets_core.dht.messages import (
    HyperDhtCommand,
    RelayedHolepunch,
    RelayMode,
)
from peersockets_core.dht.punching import PROBE
from peersockets_core.dht.rpc.messages import (
    RESPONSE,
    RpcRequest,
    RpcResponse,
    decode_untrusted,
    encode_request,
    encode_response,
)
from peersockets_core.holepunch import ClientPlan, Failure, PunchLimits, Refusal
from simulation import Datagram, Nat

Kind = Literal["preserving", "symmetric", "random", "filtered"]
RANDOM = {"symmetric", "random"}
KINDS: list[Kind] = ["preserving", "symmetric", "random", "filtered"]
NODES = 12


class Filter(Nat):
    """A host with a public address and a firewall of its own."""

    def __init__(self, public: str) -> None:
        super().__init__(public, "preserving")


def intercept(member: Member, take: Callable[[bytes, SocketAddress, int], bool]) -> None:
    """Pass each datagram to `take` first; the node gets only those that `take` returns False for."""
    receive = member.machine.receive_datagrams

    def receive_datagrams(
        buffer: Any, size: int, source: SocketAddress, now: float, *, socket: int = 0
    ) -> list[Any]:
        if take(bytes(buffer), source, socket):
            return []
        return list(receive(buffer, size, source, now, socket=socket))

    member.machine.receive_datagrams = receive_datagrams


@attrs.define(eq=False)
class Meeting:
    """Alice, who dials, and Bob, who listens, each behind a kind of NAT."""

    network: DhtNetwork
    alice: Member
    bob: Member
    incoming: list[Incoming] = attrs.field(factory=list)

    def dial(self) -> None:
        self.alice.machine.dial(self.bob.machine.key_pair.ed25519_public_key, 11, self.network.now)
        self.network.until(lambda: bool(self.bob.of_type(ConnectionRequested) or self.failures))
        for request in self.bob.of_type(ConnectionRequested):
            self.incoming.append(request.incoming)
            self.bob.machine.accept(request.incoming, 22, self.network.now)

    @property
    def failures(self) -> list[DialFailed]:
        return self.alice.of_type(DialFailed)

    def until_over(self, within: float = 60) -> None:
        self.network.until(lambda: bool(self.alice.of_type(Dialled) or self.failures), within)

    @property
    def path(self) -> PathAddress:
        (dialled,) = self.alice.of_type(Dialled)
        assert dialled.address is not None
        address: PathAddress = dialled.address
        return address

    def arrive(self) -> SocketAddress:
        """Send Alice's first packet along the path. Return the address of Bob's socket that receives it."""
        got: list[tuple[int, SocketAddress]] = []

        def note(data: bytes, source: SocketAddress, socket: int) -> bool:
            if data == b"stream":
                got.append((socket, source))
            return data == b"stream"

        intercept(self.bob, note)
        address = self.path
        source = self.alice.address
        if len(address) == 3:
            source = self.alice.host.address[0], 50_000 + address[2]
        datagram = Datagram(source, (address[0], address[1]), b"stream")
        self.network.network.send(self.alice.host, datagram)
        self.network.until(lambda: bool(got), 5)
        ((number, seen),) = got
        self.bob.machine.arrived(self.incoming[0], (*seen, number), self.network.now)
        numbers = {number: at for at, number in self.bob.host.sockets.items()}
        return numbers.get(number, self.bob.address)


def behind(network: DhtNetwork, kind: Kind, number: int, **options: Any) -> Member:
    """Add a node behind a NAT."""
    public = f"88.0.0.{number}"
    private = (public if kind == "filtered" else f"192.168.{number}.7", 49737)
    gateway = Filter(public) if kind == "filtered" else Nat(public, kind)
    machine = HyperDht(
        **{
            "key_pair": KeyPair.from_seed(bytes((number,)) * 32),
            "entropy": entropy(public),
            "now": network.now,
            "bootstrap": [network.members[0].address],
            "local_addresses": [private],
            **options,
        }
    )
    member = network.add(machine, private, gateway=gateway)
    network.network.run_for(3)
    return member


def meeting(one: Kind, other: Kind, seed: object = 0, **options: Any) -> Meeting:
    network = hyper_network(NODES, seed)
    alice, bob = behind(network, one, 1, **options), behind(network, other, 2, **options)
    bob.machine.listen(network.now)
    network.until(lambda: bool(bob.machine.relays))
    return Meeting(network, alice, bob)


@pytest.mark.parametrize("other", KINDS)
@pytest.mark.parametrize("one", KINDS)
def test_every_pair_of_nats(one: Kind, other: Kind) -> None:
    met = meeting(one, other)
    met.dial()
    met.until_over()
    if {one, other} <= RANDOM:
        assert [failed.reason for failed in met.failures] == [Failure.BOTH_RANDOM.value]
        met.network.until(lambda: bool(met.bob.of_type(PunchFailed)))
        (failed,) = met.bob.of_type(PunchFailed)
        assert failed.reason == Refusal.REMOTE_ABORTED.value
    else:
        met.arrive()
        assert met.alice.machine.punching.statistics().succeeded == 1
        assert met.bob.machine.punching.statistics().succeeded == 1
    for side in (met.alice, met.bob):
        assert side.machine.punching.statistics().sockets == 0
        assert side.machine.punching.next_deadline() == float("inf")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("open", ["alice", "bob"])
def test_one_side_is_open(open: str, kind: Kind) -> None:
    network = hyper_network(NODES)
    address = ("88.0.0.1", 49737)
    public = network.add(
        HyperDht(
            key_pair=KeyPair.from_seed(b"o" * 32),
            entropy=entropy("open"),
            now=network.now,
            bootstrap=[network.members[0].address],
            open_address=address,
        ),
        address,
    )
    hidden = behind(network, kind, 2)
    alice, bob = (public, hidden) if open == "alice" else (hidden, public)
    bob.machine.listen(network.now)
    network.until(lambda: bob.machine.findable)
    met = Meeting(network, alice, bob)
    met.dial()
    met.until_over(5)
    (dialled,) = alice.of_type(Dialled)
    assert dialled.address == (None if open == "alice" else address)
    assert met.incoming[0].punch is None
    assert not alice.machine.punching.sockets


def test_two_hosts_behind_one_nat_use_their_local_addresses() -> None:
    network = hyper_network(NODES)
    nat = Nat("88.0.0.1", "preserving")
    site = network.network.add_site(gateway=nat)
    members = []
    for number in (5, 6):
        events: list[Any] = []
        address = f"192.168.1.{number}", 49737 + number
        machine = HyperDht(
            key_pair=KeyPair.from_seed(bytes((number,)) * 32),
            entropy=entropy(number),
            now=network.now,
            bootstrap=[network.members[0].address],
            local_addresses=[address],
        )
        members.append(Member(machine, site.add_host(address, machine, on_event=events.append), events))
        network.members.append(members[-1])
    alice, bob = members
    network.network.run_for(3)
    bob.machine.listen(network.now)
    network.until(lambda: bool(bob.machine.relays))
    met = Meeting(network, alice, bob)
    met.dial()
    met.until_over(5)
    assert met.path == bob.address
    assert met.arrive() == bob.address
    assert not alice.machine.punching.sockets
    assert not bob.machine.punching.sockets


def test_a_dial_that_is_cancelled_closes_its_socket() -> None:
    met = meeting("preserving", "preserving")
    met.dial()
    met.network.until(lambda: bool(met.alice.machine.punching.sockets))
    (dial,) = met.alice.machine.dials
    met.alice.machine.cancel(dial, met.network.now)
    assert not met.alice.machine.punching.sockets
    met.network.network.run_for(20)
    assert not met.alice.of_type(Dialled) + met.failures
    assert [failed.reason for failed in met.bob.of_type(PunchFailed)] == [Refusal.EXPIRED.value]


def test_cancelling_an_accepted_stream() -> None:
    met = meeting("preserving", "preserving")
    met.dial()
    met.bob.host.settle()
    met.bob.machine.abandon(met.incoming[0], met.network.now)
    assert not met.bob.machine.punching.sockets
    met.until_over()
    assert [failed.reason for failed in met.failures] == [Failure.NO_ANSWER.value]


def test_an_accepted_stream_that_arrives_late_or_is_cancelled_twice() -> None:
    met = meeting("preserving", "preserving")
    met.dial()
    (incoming,) = met.incoming
    met.bob.machine.abandon(incoming, met.network.now)
    met.bob.machine.abandon(incoming, met.network.now)
    met.bob.machine.arrived(incoming, ("1.1.1.1", 1), met.network.now)
    assert met.bob.machine.punching.statistics().succeeded == 0


def test_an_accepted_stream_without_a_punch() -> None:
    network = hyper_network(NODES)
    alice, bob = network.members[2], network.members[5]
    bob.machine.listen(network.now)
    network.until(lambda: bob.machine.findable)
    met = Meeting(network, alice, bob)
    met.dial()
    met.until_over()
    bob.machine.arrived(met.incoming[0], alice.address, network.now)
    bob.machine.abandon(met.incoming[0], network.now)
    assert bob.machine.punching.statistics().started == 0


def test_without_room_for_requests() -> None:
    met = meeting("preserving", "preserving")
    met.dial()
    met.network.until(lambda: bool(met.alice.machine.punching.sockets) or bool(met.alice.of_type(Dialled)))
    exhausted = attrs.evolve(met.alice.machine.node.limits, requests=1)
    machine = HyperDht(
        key_pair=KeyPair.from_seed(b"x" * 32),
        entropy=entropy("full"),
        now=0.0,
        bootstrap=[met.network.members[0].address],
        limits=HyperDhtLimits(rpc=exhausted),
    )
    failed: list[Failure] = []
    plan = ClientPlan(("1.1.1.1", 1), ("2.2.2.2", 2), ("1.1.1.1", 1), ("2.2.2.2", 2), 0)
    punch = machine.punching.start(
        bytes(32),
        0,
        bytes(64),
        plan,
        0.0,
        on_punched=lambda address, now: None,
        on_failed=lambda failure, now: failed.append(failure),
    )
    punch.begin(0.0)
    assert failed == [Failure.NO_ANSWER]


def test_random_punches_run_one_at_a_time() -> None:
    met = meeting("random", "preserving")
    met.alice.machine.punching.throttle.began()
    met.dial()
    met.until_over()
    assert [failed.reason for failed in met.failures] == [Failure.BUSY.value]
    assert met.failures[0].dial.postponed
    assert met.alice.machine.punching.statistics().failed == {"busy": 1}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_punch_survives_loss(number: int) -> None:
    network = hyper_network(NODES, number, loss=0.1)
    alice, bob = behind(network, "preserving", 1), behind(network, "preserving", 2)
    bob.machine.listen(network.now)
    network.until(lambda: bool(bob.machine.relays))
    met = Meeting(network, alice, bob)
    met.dial()
    met.until_over()
    assert met.alice.of_type(Dialled)


# Hostile peers and relays


def bring(met: Meeting, value: bytes, socket: int = 0) -> None:
    """Let a stranger send Bob a message of hole punching."""
    request = RpcRequest(
        1,
        met.bob.address,
        HyperDhtCommand.PEER_HOLEPUNCH,
        target=met.bob.machine.announcer.target,
        value=value,
    )
    met.bob.events += met.bob.machine.receive_datagrams(
        encode_request(request), 1500, ("66.0.0.6", 6), met.network.now, socket=socket
    )


def test_malformed_messages_are_dropped() -> None:
    met = meeting("preserving", "preserving")
    met.dial()
    (incoming,) = met.incoming
    assert incoming.punch is not None
    id = incoming.punch.id
    dropped = met.bob.machine.node.dropped
    bad = [
        b"",
        b"nonsense",
        RelayedHolepunch(RelayMode.FROM_CLIENT, id, bytes(64), ("1.1.1.1", 1)).encode(),
        RelayedHolepunch(RelayMode.FROM_RELAY, id, bytes(64)).encode(),
        RelayedHolepunch(RelayMode.FROM_RELAY, id + 1, bytes(64), ("1.1.1.1", 1)).encode(),
        RelayedHolepunch(RelayMode.FROM_RELAY, 2**40, bytes(64), ("1.1.1.1", 1)).encode(),
        RelayedHolepunch(RelayMode.FROM_RELAY, id, bytes(64), ("1.1.1.1", 1)).encode(),
        RelayedHolepunch(RelayMode.FROM_RELAY, id, b"", ("1.1.1.1", 1)).encode(),
    ]
    for value in bad:
        bring(met, value)
    assert met.bob.machine.node.dropped == dropped + len(bad)
    met.until_over()
    met.arrive()


def test_a_socket_for_hole_punching_answers_no_other_requests() -> None:
    met = meeting("preserving", "preserving")
    met.dial()
    (socket,) = met.bob.machine.punching.sockets
    dropped = met.bob.machine.node.dropped
    for command, internal in (
        (HyperDhtCommand.FIND_PEER, False),
        (HyperDhtCommand.PEER_HANDSHAKE, False),
        (0, True),
    ):
        request = RpcRequest(1, met.bob.address, command, internal, target=bytes(32), value=b"x")
        met.bob.machine.receive_datagrams(
            encode_request(request), 1500, ("66.0.0.6", 6), met.network.now, socket=socket
        )
    assert met.bob.machine.node.dropped == dropped + 3
    assert not [
        each for each in met.bob.machine.punch_datagrams_to_send(met.network.now) if each.to[0] == "66.0.0.6"
    ]


def test_a_replayed_message_is_answered_only_a_few_times() -> None:
    """An attacker on the path repeats a message of the client, and learns nothing."""
    met = meeting("preserving", "preserving")
    heard: list[bytes] = []

    def tap(_: float, datagram: Datagram) -> None:
        if datagram.destination[0] == "88.0.0.2" and len(datagram.payload) > 100 and datagram.payload[0] == 3:
            message = decode_untrusted(datagram.payload)
            assert isinstance(message, RpcRequest)
            if message.command == HyperDhtCommand.PEER_HOLEPUNCH:
                heard.append(message.value or b"")

    met.network.network.taps.append(tap)
    met.dial()
    met.until_over()
    limit = met.bob.machine.limits.punches.rounds
    for _ in range(2 * limit):
        bring(met, heard[0])
    (failed,) = met.bob.of_type(PunchFailed)
    assert failed.reason == Refusal.TOO_MANY.value
    assert not met.bob.machine.punching.sockets


def test_a_client_that_never_punches_costs_a_socket_for_ten_seconds() -> None:
    limits = HyperDhtLimits(punches=PunchLimits(incoming_of_key=1))
    met = meeting("preserving", "preserving", limits=limits)
    met.dial()
    (dial,) = met.alice.machine.dials
    met.alice.machine.cancel(dial, met.network.now)
    assert met.bob.machine.punching.statistics().sockets == 1
    met.bob.events.clear()
    met.dial()
    met.until_over()
    assert [failed.reason for failed in met.failures] == ["the peer declined with error 3"]
    met.network.network.run_for(10)
    assert met.bob.machine.punching.statistics().sockets == 0
    assert met.bob.machine.punching.statistics().failed == {"expired": 1}


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"x",
        RelayedHolepunch(RelayMode.REPLY, 0, bytes(99), ("1.1.1.1", 1)).encode(),
        RelayedHolepunch(RelayMode.FROM_SERVER, 0, bytes(99), ("1.1.1.1", 1)).encode(),
    ],
)
def test_a_relay_that_answers_nonsense(value: bytes) -> None:
    met = meeting("preserving", "preserving")
    machine = met.alice.machine

    def spoil(data: bytes, source: SocketAddress, socket: int) -> bool:
        if len(data) < 150 or data[0] != RESPONSE or not socket:
            return data == PROBE
        answer = decode_untrusted(data)
        assert isinstance(answer, RpcResponse)
        spoiled = encode_response(attrs.evolve(answer, value=value))
        met.alice.events += receive(spoiled, len(spoiled), source, met.network.now, socket=socket)
        return True

    receive = machine.receive_datagrams
    intercept(met.alice, spoil)
    met.dial()
    met.until_over()
    assert [failed.reason for failed in met.failures] == [Failure.INVALID.value]


def test_a_probe_to_a_closed_socket() -> None:
    met = meeting("preserving", "preserving")
    assert not met.bob.machine.receive_datagrams(PROBE, 1, ("66.0.0.6", 6), met.network.now, socket=77)
    assert not met.bob.machine.receive_datagrams(b"", 0, ("66.0.0.6", 6), met.network.now, socket=77)
    assert not met.bob.machine.punch_datagrams_to_send(met.network.now)


def test_each_probe_of_a_flood_gets_one_answer() -> None:
    met = meeting("preserving", "preserving")
    met.dial()
    (socket,) = met.bob.machine.punching.sockets
    met.bob.host.settle()
    met.bob.machine.receive_datagrams(PROBE * 64, 1, ("66.0.0.6", 6), met.network.now, socket=socket)
    sent = met.bob.machine.punch_datagrams_to_send(met.network.now)
    assert [(each.to, each.data) for each in sent] == [(("66.0.0.6", 6), PROBE)] * 64
