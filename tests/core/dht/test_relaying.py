"""Peers that meet at a blind relay, in virtual time: every state of a pairing, from both sides."""

from __future__ import annotations

from typing import Any, Literal

import attrs
import pytest

from core.dht.relay_support import BlindRelay
from core.dht.support import Member, entropy, hyper_network
from core.dht.test_punching import NODES, Kind, Meeting, behind, intercept
from peersockets_core import KeyPair
from peersockets_core.dht import (
    ConnectionRequested,
    DialFailed,
    Dialled,
    HyperDht,
    HyperDhtLimits,
    Pairing,
    PairingState,
    PunchFailed,
    RelayClosed,
    Relayed,
    RelayOffered,
    RelayReached,
    Upgraded,
)
from peersockets_core.dht.blind_relay import Pair
from peersockets_core.dht.dialing import DialState
from peersockets_core.dht.relaying import TRANSITIONS, UNUSABLE_RELAY
from peersockets_core.holepunch import Failure, PunchLimits, Refusal

Side = Literal["alice", "bob"]
SIDES: list[Side] = ["alice", "bob"]


@attrs.define(eq=False)
class RelayedMeeting(Meeting):
    """Alice dials Bob, and Ruth is a blind relay that everybody can reach."""

    ruth: Member = attrs.field(kw_only=True)
    asks: Side = attrs.field(kw_only=True)
    """The side that names the relay."""
    relay: bytes = attrs.field(kw_only=True)
    """The key that it names."""
    ends: dict[Side, BlindRelay] = attrs.field(factory=dict)
    """Ruth's ends of the two connections."""

    def side(self, name: Side) -> Member:
        return self.alice if name == "alice" else self.bob

    def meet(self) -> None:
        """Let Alice dial and Bob accept."""
        ask = {"relay_through": self.relay}
        key = self.bob.machine.key_pair.ed25519_public_key
        self.alice.machine.dial(key, 11, self.network.now, **(ask if self.asks == "alice" else {}))
        self.network.until(lambda: bool(self.bob.of_type(ConnectionRequested)))
        (request,) = self.bob.of_type(ConnectionRequested)
        self.incoming.append(request.incoming)
        accepted = self.bob.machine.accept(
            request.incoming, 22, self.network.now, **(ask if self.asks == "bob" else {})
        )
        assert accepted is not None

    def pairing(self, name: Side) -> Pairing:
        (offered,) = self.side(name).of_type(RelayOffered)
        pairing: Pairing = offered.pairing
        return pairing

    def offer(self, name: Side) -> Pairing:
        """Wait until one side wants to dial the relay."""
        self.network.until(lambda: bool(self.side(name).of_type(RelayOffered)))
        return self.pairing(name)

    def reach(self, name: Side) -> BlindRelay:
        """Connect one side to Ruth, whose end reads its messages."""
        pairing, machine = self.offer(name), self.side(name).machine
        seen = len(self.ruth.of_type(ConnectionRequested))
        machine.dial_relay(pairing, 33, self.network.now)
        self.network.until(lambda: len(self.ruth.of_type(ConnectionRequested)) > seen)
        incoming = self.ruth.of_type(ConnectionRequested)[seen].incoming
        accepted = self.ruth.machine.accept(incoming, 44, self.network.now)
        self.network.until(lambda: bool(self.side(name).of_type(RelayReached)))
        end = self.ends[name] = BlindRelay(accepted.keys, machine.key_pair.ed25519_public_key)
        end.receive(pairing.data_to_send())
        return end

    def pair(self, name: Side) -> None:
        """Let Ruth answer one side, as if the other side had come."""
        ((asked),) = self.ends[name].pairs
        answer = self.ends[name].answer(Pair(asked.initiator, asked.token, 55))
        self.say(name, answer)

    def say(self, name: Side, data: bytes) -> None:
        member = self.side(name)
        member.machine.receive_from_relay(self.pairing(name), data, self.network.now)
        self.settle(name)

    def settle(self, name: Side) -> None:
        """Let one side report the events of its commands."""
        self.side(name).host.settle()
        self.network.network.run_for(0.001)

    def wait_punches(self) -> None:
        """Wait until both punches are over."""
        self.network.until(
            lambda: not (self.alice.machine.punching.sockets or self.bob.machine.punching.sockets), 90
        )


def meeting(one: Kind, other: Kind, asks: Side = "alice", **options: object) -> RelayedMeeting:
    relay = options.pop("relay", None)
    network = hyper_network(NODES)
    alice, bob = behind(network, one, 1, **options), behind(network, other, 2, **options)
    address = ("88.0.0.9", 49737)
    ruth = network.add(
        HyperDht(
            key_pair=KeyPair.from_seed(b"r" * 32),
            entropy=entropy("ruth"),
            now=network.now,
            bootstrap=[network.members[0].address],
            open_address=address,
        ),
        address,
    )
    for listener in (bob, ruth):
        listener.machine.listen(network.now)
    network.until(lambda: bob.machine.findable and ruth.machine.findable)
    key = ruth.machine.key_pair.ed25519_public_key if relay is None else relay
    assert isinstance(key, bytes)
    return RelayedMeeting(network, alice, bob, ruth=ruth, asks=asks, relay=key)


@pytest.mark.parametrize("asks", SIDES)
def test_two_random_nats_meet_at_the_relay_that_either_side_named(asks: Side) -> None:
    met = meeting("random", "random", asks)
    met.meet()
    for name in SIDES:
        met.reach(name)
    ours, theirs = met.ends["alice"].pairs[0], met.ends["bob"].pairs[0]
    assert ours.token == theirs.token
    assert (ours.initiator, theirs.initiator) == (asks == "alice", asks == "bob")
    assert (ours.stream_id, theirs.stream_id) == (11, 22)
    for name in SIDES:
        met.pair(name)
        (relayed,) = met.side(name).of_type(Relayed)
        assert relayed.remote_stream_id == 55
        assert met.pairing(name).state is PairingState.PAIRED
    assert met.pairing("alice").keys.sending_key == met.pairing("bob").keys.receiving_key
    # The punch goes on. When it fails, no side reports a failure.
    met.wait_punches()
    met.network.network.run_for(60)
    assert not met.alice.machine.dials
    for name in SIDES:
        assert met.pairing(name).state is PairingState.PAIRED
        assert not met.side(name).of_type(DialFailed) + met.side(name).of_type(PunchFailed)
        assert met.side(name).machine.relaying.next_deadline() == float("inf")


def test_a_relayed_stream_finds_a_direct_path() -> None:
    met = meeting("preserving", "preserving")
    held: list[bytes] = []

    def hold(data: bytes, source: object, socket: int) -> bool:
        return socket > 1 and data == b"\0" and not held

    intercept(met.alice, hold)
    met.meet()
    for name in SIDES:
        met.reach(name)
        met.pair(name)
    (dial,) = met.alice.machine.dials
    assert str(dial.state) == str(DialState.RELAYED)
    held.append(b"")
    met.network.until(lambda: bool(met.alice.of_type(Upgraded)))
    (upgraded,) = met.alice.of_type(Upgraded)
    assert (upgraded.pairing, upgraded.remote_stream_id) == (met.pairing("alice"), 22)
    assert upgraded.address[0] == "88.0.0.2"
    assert dial.state is DialState.DONE
    assert not met.alice.of_type(Dialled)[1:]  # no connection to Bob, and that to the relay is not reported
    met.bob.machine.arrived(met.incoming[0], upgraded.address, met.network.now)
    for name in SIDES:
        met.side(name).machine.end_relay(met.pairing(name), met.network.now)
        met.settle(name)
        (closed,) = met.side(name).of_type(RelayClosed)
        assert closed.reason == ""
    assert not met.alice.machine.relaying.pairings


@pytest.mark.parametrize("seconds", [0, 12])
def test_a_remote_may_punch_late_if_its_stream_is_relayed(
    monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """The relay pairs the two after so many seconds."""
    met = meeting("preserving", "preserving", limits=HyperDhtLimits(punches=PunchLimits(incoming=1)))
    held: list[tuple[Any, ...]] = []
    punching = met.alice.machine.punching

    def hold(*call: Any) -> bool:
        held.append(call)
        return True

    with monkeypatch.context() as patched:
        patched.setattr(punching, "send_round", hold)
        met.meet()
        for name in SIDES:
            met.reach(name)
        met.network.network.run_for(seconds)
        for name in SIDES:
            met.pair(name)
        met.network.network.run_for(500)
    assert not met.bob.of_type(PunchFailed)
    bob = met.bob.machine
    other = bob.punching.offer(bytes(32), 0, met.network.now, local=False)
    assert other is not None  # a relayed remote does not take the place of another one
    bob.punching.withdraw(other, met.network.now)
    ((client, relay, to, message, _),) = held
    punching.send_round(client, relay, to, message, met.network.now)
    met.settle("alice")
    met.network.until(lambda: bool(met.alice.of_type(Upgraded)))
    bob.end_relay(met.pairing("bob"), met.network.now)
    assert bob.punching.offer(bytes(32), 0, met.network.now, local=False) is None


def test_the_failure_of_a_punch_behind_a_relayed_stream_is_not_reported() -> None:
    met = meeting("preserving", "preserving")
    for name in SIDES:
        intercept(met.side(name), lambda data, source, socket: socket > 1 and data == b"\0")
    met.meet()
    (dial,) = met.alice.machine.dials
    assert dial.relayed
    for name in SIDES:
        met.reach(name)
        met.pair(name)
    met.wait_punches()
    met.network.network.run_for(1)
    assert not met.alice.of_type(DialFailed) + met.bob.of_type(PunchFailed)
    assert [met.pairing(name).state for name in SIDES] == [PairingState.PAIRED] * 2


def test_a_punch_that_is_faster_ends_the_pairing() -> None:
    met = meeting("preserving", "preserving")
    met.meet()
    for name in SIDES:
        met.offer(name)
    met.alice.machine.dial_relay(met.pairing("alice"), 33, met.network.now)
    met.until_over()
    assert met.alice.of_type(Dialled)
    assert [closed.reason for closed in met.alice.of_type(RelayClosed)] == [""]
    assert met.pairing("alice").state is PairingState.OVER
    met.arrive()
    met.bob.machine.abandon(met.incoming[0], met.network.now)
    assert met.pairing("bob").state is PairingState.OVER


@pytest.mark.parametrize("reached", [False, True])
def test_the_peer_does_not_come_to_the_relay(reached: bool) -> None:
    met = meeting("random", "random")
    met.meet()
    if reached:
        for name in SIDES:
            met.reach(name)
    why = "the peer did not come to it" if reached else "it does not answer"
    met.network.until(lambda: bool(met.failures and met.bob.of_type(PunchFailed)))
    (failed,), (punch,) = met.failures, met.bob.of_type(PunchFailed)
    assert failed.reason == f"{Failure.BOTH_RANDOM.value}; the blind relay was of no help: {why}"
    assert failed.unpunched
    assert punch.reason == f"{Refusal.REMOTE_ABORTED.value}; the blind relay was of no help: {why}"
    assert not met.alice.machine.relaying.pairings
    assert not met.alice.machine.dials


def test_the_relay_may_answer_in_pieces() -> None:
    met = meeting("random", "random")
    met.meet()
    end = met.reach("alice")
    ((asked),) = end.pairs
    answer = end.answer(Pair(asked.initiator, asked.token, 55))
    met.say("alice", answer[:-1])
    assert met.pairing("alice").state is PairingState.WAITING
    met.say("alice", answer[-1:])
    assert met.pairing("alice").state is PairingState.PAIRED


@pytest.mark.parametrize("name", SIDES)
def test_a_relay_that_fails_before_the_punch(name: Side) -> None:
    met = meeting("random", "random")
    met.meet()
    end = met.reach(name)
    met.say(name, end.close())
    met.say(name, b"more")
    assert met.pairing(name).state is PairingState.OVER
    met.network.until(lambda: bool(met.failures or met.bob.of_type(PunchFailed)))
    failures = met.failures if name == "alice" else met.bob.of_type(PunchFailed)
    met.network.until(lambda: bool(met.side(name).of_type(DialFailed if name == "alice" else PunchFailed)))
    failures = met.side(name).of_type(DialFailed if name == "alice" else PunchFailed)
    assert failures[0].reason.endswith("no help: the blind relay has refused or ended the pairing")


def test_a_relay_that_no_node_knows() -> None:
    key = KeyPair.from_seed(b"x" * 32).ed25519_public_key
    met = meeting("random", "random", relay=key)
    met.meet()
    met.alice.machine.dial_relay(met.offer("alice"), 33, met.network.now)
    met.network.until(lambda: bool(met.failures))
    assert met.failures[0].reason.endswith("no node of the DHT knows the peer: it is not listening")


@pytest.mark.parametrize("key", ["none", "bob", "alice"])
def test_a_relay_key_that_is_not_a_key(key: str) -> None:
    keys = {"none": b"\xff" * 32}
    for number, name in ((1, "alice"), (2, "bob")):
        keys[name] = KeyPair.from_seed(bytes((number,)) * 32).ed25519_public_key
    met = meeting("random", "random", relay=keys[key])
    met.meet()
    met.network.until(lambda: bool(met.failures and met.bob.of_type(PunchFailed)))
    assert not met.alice.of_type(RelayOffered) + met.bob.of_type(RelayOffered)
    assert met.failures[0].reason == f"{Failure.BOTH_RANDOM.value}; {UNUSABLE_RELAY}"
    assert met.bob.of_type(PunchFailed)[0].reason == f"{Refusal.REMOTE_ABORTED.value}; {UNUSABLE_RELAY}"


def test_the_number_of_pairings_is_bounded() -> None:
    met = meeting("random", "random", limits=HyperDhtLimits(pairings=1))
    met.meet()
    used = met.offer("alice")
    arguments = (used.through, True, used.keys, (1, 2), met.network.now)
    relaying = met.alice.machine.relaying
    offered = [
        relaying.offer(*arguments, on_paired=lambda now: None, on_failed=lambda reason, now: None)
        for _ in range(2)
    ]
    assert offered == [None, None]
    met.alice.machine.end_relay(used, met.network.now)
    assert relaying.offer(*arguments, on_paired=lambda now: None, on_failed=lambda reason, now: None)


def test_cancelling_a_dial_leaves_the_relay() -> None:
    met = meeting("random", "random")
    met.meet()
    met.alice.machine.dial_relay(met.offer("alice"), 33, met.network.now)
    assert met.pairing("alice").data_to_send() == b""
    met.say("alice", b"too early")
    dial = next(dial for dial in met.alice.machine.dials if dial.pairing is not None)
    met.alice.machine.cancel(dial, met.network.now)
    met.settle("alice")
    assert met.alice.of_type(RelayClosed)
    assert not met.alice.machine.dials
    met.alice.machine.end_relay(met.pairing("alice"), met.network.now)
    assert len(met.alice.of_type(RelayClosed)) == 1


def test_the_end_of_a_relayed_stream_ends_the_search_for_a_direct_path() -> None:
    met = meeting("preserving", "preserving")
    intercept(met.alice, lambda data, source, socket: socket > 1 and data == b"\0")
    met.meet()
    for name in SIDES:
        met.reach(name)
        met.pair(name)
    (dial,) = met.alice.machine.dials
    other = met.alice.machine.dial(met.relay, 77, met.network.now)
    met.alice.machine.end_relay(met.pairing("alice"), met.network.now)
    assert other.active
    met.alice.machine.cancel(other, met.network.now)
    assert dial.state is DialState.FAILED
    met.settle("alice")
    assert not met.alice.machine.dials
    assert not met.alice.machine.punching.sockets


def test_a_relay_that_is_lost_after_the_pairing() -> None:
    met = meeting("random", "random")
    met.meet()
    for name in SIDES:
        met.reach(name)
        met.pair(name)
    met.alice.machine.end_relay(met.pairing("alice"), met.network.now, "gone")
    met.settle("alice")
    assert [closed.reason for closed in met.alice.of_type(RelayClosed)] == ["gone"]
    assert not met.failures


def test_every_state_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(PairingState)
