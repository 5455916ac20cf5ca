"""The side that dials, round by round: against servers that know their NAT, do not know it, lie, or are
silent.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from core.holepunch.support import (
    CONSISTENT,
    NODES,
    OURS,
    RANDOM,
    THEIR_TOKEN,
    THEIRS,
    TOKEN,
    Noted,
    run,
)
from peersockets_core.address import SocketAddress
from peersockets_core.holepunch import (
    ClientPlan,
    ClientPunch,
    Failure,
    Firewall,
    PunchedAddress,
    PunchError,
    PunchLimits,
    Round,
)
from peersockets_core.holepunch.client import ClientState
from peersockets_core.holepunch.puncher import FULL_TTL, SHORT_TTL

RELAY, OTHER_RELAY = ("55.0.0.1", 1), ("55.0.0.2", 2)
SERVER, AT_RELAY = (THEIRS, 9000), (THEIRS, 49737)
PLAN = ClientPlan(RELAY, SERVER, RELAY, AT_RELAY, Firewall.UNKNOWN)
KNOWS = Round(firewall=Firewall.CONSISTENT, addresses=(SERVER,), token=THEIR_TOKEN)
AGREES = attrs.evolve(KNOWS, punching=True, remote_token=TOKEN)


def of_random_nat(message: Round) -> Round:
    """Return the same message from behind a random NAT."""
    return attrs.evolve(message, firewall=Firewall.RANDOM, addresses=((THEIRS, 0),))


@attrs.define(eq=False)
class Dialler:
    """A punch and its outcome."""

    plan: ClientPlan = PLAN
    host: Noted = attrs.field(factory=Noted)
    now: float = 0.0
    outcomes: list[Any] = attrs.field(factory=list)
    punch: ClientPunch = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.punch = ClientPunch(
            self.host,
            self.plan,
            0.0,
            on_punched=lambda address, now: self.outcomes.append(address),
            on_failed=lambda failure, now: self.outcomes.append(failure),
        )
        self.punch.begin(0.0)

    def answer(self, message: Round | None, server: SocketAddress | None = SERVER) -> None:
        self.punch.round_answered(message, server, (OURS, 7), RELAY, self.now)

    def sample(self, *ports: int) -> None:
        self.host.sample(self.punch.puncher, *ports, now=self.now)

    def wait(self, seconds: float) -> None:
        self.now = run(self.punch, seconds, self.now)

    def round(self) -> tuple[SocketAddress, SocketAddress, Round]:
        """Return the only message since the last look."""
        (sent,) = self.host.take_rounds()
        return sent

    def agree(self, knows: Round = KNOWS, agrees: Round = AGREES) -> None:
        """Go on until the probing phase."""
        self.answer(knows)
        self.sample(*CONSISTENT)
        self.host.take_rounds()
        self.answer(agrees)


def test_it_opens_its_nat_and_asks_the_relay_of_the_server() -> None:
    dialler = Dialler()
    assert dialler.host.take_probes() == [(2, SERVER, SHORT_TTL)]
    assert dialler.round() == (RELAY, AT_RELAY, Round(remote_address=SERVER))


def test_it_asks_the_server_to_punch_and_probes() -> None:
    dialler = Dialler()
    dialler.host.take_rounds()
    dialler.answer(KNOWS)
    assert not dialler.host.rounds
    dialler.sample(7, 7)
    relay, to, message = dialler.round()
    assert (relay, to) == (RELAY, SERVER)
    assert message == Round(
        firewall=Firewall.CONSISTENT,
        round=1,
        punching=True,
        addresses=((OURS, 7),),
        token=TOKEN,
        remote_token=THEIR_TOKEN,
    )
    dialler.host.take_probes()
    dialler.answer(AGREES)
    assert dialler.punch.state is ClientState.PUNCHING
    assert dialler.host.take_probes() == [(2, SERVER, FULL_TTL)]
    dialler.punch.puncher.received(2, SERVER, 1.0)
    assert dialler.outcomes == [PunchedAddress(2, SERVER)]
    assert dialler.host.kept == [2]
    assert dialler.punch.over
    assert dialler.punch.next_deadline() == float("inf")


def test_the_answer_of_the_server_counts_as_a_sample() -> None:
    dialler = Dialler()
    dialler.sample(7, 7)
    dialler.host.take_rounds()
    dialler.answer(KNOWS)
    assert dialler.round()[2].punching


def test_an_early_probe_ends_the_punch() -> None:
    dialler = Dialler()
    dialler.punch.puncher.received(2, SERVER, 0.0)
    assert dialler.outcomes == [PunchedAddress(2, SERVER)]
    dialler.punch.close(0.0)
    assert len(dialler.outcomes) == 1


def test_another_relay_of_the_server() -> None:
    dialler = Dialler(attrs.evolve(PLAN, server_relay=OTHER_RELAY))
    assert dialler.round()[:2] == (OTHER_RELAY, AT_RELAY)
    dialler.answer(KNOWS, (THEIRS, 9001))
    dialler.sample(*CONSISTENT)
    assert dialler.round()[:2] == (RELAY, SERVER)  # the server has opened its NAT only for this relay


def test_a_server_that_uses_another_socket() -> None:
    dialler = Dialler()
    dialler.host.take_rounds()
    dialler.host.take_probes()
    dialler.answer(KNOWS, (THEIRS, 9001))
    dialler.sample(*CONSISTENT)
    assert dialler.host.take_probes() == [(2, (THEIRS, 9001), SHORT_TTL)]
    assert dialler.round()[:2] == (RELAY, (THEIRS, 9001))


def test_a_relay_that_sends_no_address_of_the_server() -> None:
    dialler = Dialler()
    dialler.host.take_rounds()
    dialler.answer(KNOWS, None)
    dialler.sample(*CONSISTENT)
    assert dialler.round()[:2] == (RELAY, SERVER)


@pytest.mark.parametrize(
    "knows", [attrs.evolve(KNOWS, firewall=Firewall.UNKNOWN), attrs.evolve(KNOWS, token=None)]
)
def test_a_server_is_asked_a_second_time(knows: Round) -> None:
    dialler = Dialler()
    dialler.sample(*CONSISTENT)
    dialler.host.take_rounds()
    dialler.answer(knows)
    dialler.wait(1)
    assert dialler.round() == (
        RELAY,
        AT_RELAY,
        Round(firewall=Firewall.CONSISTENT, round=1, addresses=((OURS, 7),), remote_address=SERVER),
    )
    dialler.answer(KNOWS)
    assert dialler.round()[2].round == 2


@pytest.mark.parametrize("answered", [True, False])
def test_a_server_that_never_knows_its_nat(answered: bool) -> None:
    dialler = Dialler()
    dialler.sample(*CONSISTENT)
    for _ in range(2):
        dialler.host.take_rounds()
        dialler.answer(attrs.evolve(KNOWS, firewall=Firewall.UNKNOWN))
        dialler.wait(1)
    assert dialler.round()[2] == Round(error=PunchError.ABORTED, round=2)
    assert not dialler.outcomes
    if answered:
        dialler.answer(Round(error=PunchError.ABORTED))
    else:
        dialler.punch.round_lost(dialler.now)
    assert dialler.outcomes == [Failure.NAT_UNKNOWN]
    assert not dialler.host.open


def test_nodes_that_do_not_answer() -> None:
    dialler = Dialler(host=Noted(known=[]))
    dialler.host.take_rounds()
    dialler.answer(KNOWS)
    assert dialler.punch.state is ClientState.ABORTING
    assert dialler.host.opened == 5


def test_an_odd_nat_that_becomes_consistent() -> None:
    dialler = Dialler()
    dialler.answer(attrs.evolve(KNOWS, firewall=Firewall.RANDOM))
    dialler.host.take_rounds()
    dialler.sample(*RANDOM[1:])
    assert dialler.host.open == {3}
    dialler.sample(*CONSISTENT)
    assert dialler.round()[2].remote_address == SERVER  # the new socket introduces itself
    dialler.answer(attrs.evolve(KNOWS, firewall=Firewall.RANDOM, addresses=((THEIRS, 0),)))
    assert dialler.round()[2].punching


def test_two_random_nats() -> None:
    dialler = Dialler()
    dialler.answer(attrs.evolve(KNOWS, firewall=Firewall.RANDOM))
    dialler.host.take_rounds()
    dialler.sample(*RANDOM[1:])
    for _ in range(3):
        dialler.sample(*RANDOM)
    assert dialler.round()[2].error == PunchError.ABORTED
    dialler.answer(Round(error=PunchError.ABORTED))
    assert dialler.outcomes == [Failure.BOTH_RANDOM]


def test_no_room_to_inform_the_server() -> None:
    dialler = Dialler(host=Noted(known=[], room=1))
    dialler.answer(KNOWS)
    assert dialler.outcomes == [Failure.NAT_UNKNOWN]


def test_no_room_for_any_message() -> None:
    dialler = Dialler(host=Noted(known=NODES, room=0))
    assert dialler.outcomes == [Failure.NO_ANSWER]


@pytest.mark.parametrize(
    ("message", "failure"),
    [
        (None, Failure.INVALID),
        (Round(error=PunchError.TRY_LATER), Failure.TRY_LATER),
        (Round(error=PunchError.ABORTED), Failure.REMOTE_ABORTED),
        (Round(error=99), Failure.REMOTE_ABORTED),
    ],
)
@pytest.mark.parametrize("round", [0, 1])
def test_a_server_that_refuses(message: Round | None, failure: Failure, round: int) -> None:
    dialler = Dialler()
    if round:
        dialler.answer(KNOWS)
        dialler.sample(*CONSISTENT)
    dialler.answer(message)
    assert dialler.outcomes == [failure]
    assert not dialler.host.open


def test_a_relay_that_does_not_answer() -> None:
    dialler = Dialler()
    dialler.punch.round_lost(4.0)
    assert dialler.outcomes == [Failure.NO_ANSWER]


def test_a_server_that_does_not_punch() -> None:
    dialler = Dialler()
    dialler.agree(agrees=attrs.evolve(AGREES, punching=False))
    assert dialler.outcomes == [Failure.NOT_PUNCHING]


def test_a_server_without_addresses() -> None:
    dialler = Dialler()
    dialler.agree(agrees=attrs.evolve(AGREES, addresses=()))
    assert dialler.outcomes == [Failure.IMPOSSIBLE]


@pytest.mark.parametrize("token", [None, b"x" * 32])
def test_a_random_server_that_does_not_prove_its_host(token: bytes | None) -> None:
    dialler = Dialler()
    dialler.agree(of_random_nat(KNOWS), of_random_nat(attrs.evolve(AGREES, remote_token=token)))
    assert dialler.outcomes == [Failure.IMPOSSIBLE]
    assert not dialler.host.probes[1:]


def test_probes_that_do_not_arrive() -> None:
    dialler = Dialler()
    dialler.agree()
    dialler.wait(11)
    assert dialler.outcomes == [Failure.PROBES_LOST]


def test_random_punches_run_one_at_a_time() -> None:
    host = Noted(PunchLimits(random_probes=5))
    first = Dialler(host=host)
    first.answer(of_random_nat(KNOWS))
    first.sample(*CONSISTENT)
    assert not host.throttle.allows(0.0)
    host.pings.clear()
    second = Dialler(host=host)
    second.answer(of_random_nat(KNOWS))
    second.sample(*CONSISTENT)
    second.answer(Round(error=PunchError.ABORTED))
    assert second.outcomes == [Failure.BUSY]
    first.answer(of_random_nat(AGREES))
    first.wait(1)
    assert first.outcomes == [Failure.PROBES_LOST]
    assert not host.throttle.allows(1.0)
    assert host.throttle.allows(30.0)


def test_a_random_punch_cancelled_before_it_begins_costs_no_pause() -> None:
    dialler = Dialler()
    dialler.answer(attrs.evolve(KNOWS, firewall=Firewall.RANDOM, addresses=((THEIRS, 0),)))
    dialler.sample(*CONSISTENT)
    dialler.punch.close(0.0)
    assert dialler.host.throttle.allows(0.0)
    assert not dialler.outcomes
