"""The side that is dialled, message by message: with honest, early, repeating and hostile clients."""

from __future__ import annotations

import attrs
import pytest

from core.holepunch.support import CONSISTENT, OURS, RANDOM, THEIR_TOKEN, THEIRS, TOKEN, Noted, run
from peersockets_core.holepunch import (
    Firewall,
    PunchError,
    PunchLimits,
    Refusal,
    Round,
    RoundReceived,
    ServerPunch,
)
from peersockets_core.holepunch.puncher import FULL_TTL
from peersockets_core.holepunch.server import ServerState

RELAY = ("55.0.0.1", 1)
CLIENT = (THEIRS, 9000)
ASKS = Round(remote_address=(OURS, 7))
PUNCHES = Round(
    firewall=Firewall.CONSISTENT,
    round=1,
    punching=True,
    addresses=(CLIENT,),
    token=THEIR_TOKEN,
    remote_token=TOKEN,
)


@attrs.define(eq=False)
class Dialled:
    """A punch of a server."""

    host: Noted = attrs.field(factory=Noted)
    punch: ServerPunch = attrs.field(init=False)
    now: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.punch = ServerPunch(self.host, Firewall.UNKNOWN, 0.0)
        self.punch.begin(0.0)

    def receive(self, message: Round, *, socket: int = 0, own_relay: bool = True) -> None:
        received = RoundReceived(message, CLIENT, RELAY, (OURS, 7), socket, own_relay)
        self.punch.receive(received, self.now)

    def sample(self, *ports: int) -> None:
        self.host.sample(self.punch.puncher, *ports, now=self.now)

    def answer(self) -> tuple[Round, int | None]:
        """Return the only answer since the last look."""
        (answer,) = self.host.answers
        self.host.answers.clear()
        return answer


def test_it_answers_once_it_knows_its_nat_and_probes_a_client_that_opened_its_own() -> None:
    server = Dialled()
    server.receive(ASKS)
    assert not server.host.answers
    server.sample(*CONSISTENT)
    answer, socket = server.answer()
    assert socket == 2
    assert answer == Round(firewall=Firewall.CONSISTENT, addresses=((OURS, 7),), token=TOKEN)
    assert server.host.take_probes() == [(2, CLIENT, FULL_TTL)]


@pytest.mark.parametrize("address", [None, (OURS, 8)])
def test_a_client_that_opened_its_nat_for_another_address_gets_no_probe(
    address: tuple[str, int] | None,
) -> None:
    server = Dialled()
    server.receive(attrs.evolve(ASKS, remote_address=address))
    server.sample(*CONSISTENT)
    assert server.answer()
    assert not server.host.probes


def test_it_punches_on_request() -> None:
    server = Dialled()
    server.sample(*CONSISTENT)
    server.receive(ASKS)
    server.host.answers.clear()
    server.host.take_probes()
    server.receive(PUNCHES, socket=2)
    answer, socket = server.answer()
    assert (answer.punching, answer.round, answer.remote_token, socket) == (True, 1, THEIR_TOKEN, 2)
    assert server.punch.state is ServerState.PUNCHING
    run(server.punch, 1)
    assert server.host.take_probes() == [(2, CLIENT, FULL_TTL)]
    server.receive(PUNCHES)
    assert server.answer()[0].punching
    server.punch.connected(2, 1.0)
    server.punch.connected(2, 1.0)
    assert server.host.kept == [2]
    assert server.punch.next_deadline() == float("inf")
    assert not server.host.refusals


def test_a_message_to_the_punching_socket_counts_as_a_sample() -> None:
    server = Dialled()
    server.sample(7, 7)
    server.receive(ASKS, socket=2)
    assert server.answer()


def test_it_sends_no_proof_to_a_relay_chosen_by_the_client() -> None:
    server = Dialled()
    server.sample(*CONSISTENT)
    server.receive(PUNCHES, own_relay=False)
    answer, _ = server.answer()
    assert answer.token is None
    assert not server.punch.puncher.remote_addresses[0].verified


def test_an_echoed_token_proves_the_host_of_the_client() -> None:
    server = Dialled()
    server.sample(*CONSISTENT)
    server.receive(PUNCHES)
    assert server.punch.puncher.remote_addresses[0].verified


@pytest.mark.parametrize("token", [None, b"x" * 32])
def test_a_wrong_token_proves_nothing(token: bytes | None) -> None:
    server = Dialled()
    server.sample(*CONSISTENT)
    server.receive(attrs.evolve(PUNCHES, firewall=Firewall.RANDOM, remote_token=token))
    answer, socket = server.answer()
    assert (answer.error, socket) == (PunchError.ABORTED, None)
    assert server.host.refusals == [Refusal.IMPOSSIBLE]


def test_an_older_message_changes_nothing_but_is_answered() -> None:
    server = Dialled()
    server.sample(*CONSISTENT)
    server.receive(PUNCHES)
    server.host.answers.clear()
    server.receive(attrs.evolve(ASKS, addresses=(("6.6.6.6", 6),)))
    assert server.answer()[0].round == 1
    assert [remote.address for remote in server.punch.puncher.remote_addresses] == [CLIENT]


def test_a_client_that_gives_up() -> None:
    server = Dialled()
    server.receive(Round(error=PunchError.ABORTED, round=4))
    answer, socket = server.answer()
    assert (answer, socket) == (Round(error=PunchError.ABORTED, round=4), None)
    assert server.host.refusals == [Refusal.REMOTE_ABORTED]
    assert not server.host.open
    server.receive(ASKS)
    assert not server.host.answers


def test_an_odd_nat_gets_other_sockets() -> None:
    server = Dialled(host=Noted(known=[]))
    server.receive(ASKS)
    assert server.host.opened == 5
    answer, _ = server.answer()
    assert answer.error == PunchError.ABORTED
    assert server.host.refusals == [Refusal.NAT_UNSTABLE]


def test_a_better_socket_replaces_the_first() -> None:
    server = Dialled()
    server.receive(attrs.evolve(ASKS, firewall=Firewall.RANDOM))
    server.sample(*RANDOM)
    assert server.host.open == {3}
    server.sample(*CONSISTENT)
    assert server.answer()[1] == 3


def test_a_client_that_punches_at_once_gets_no_other_socket() -> None:
    server = Dialled()
    server.receive(attrs.evolve(PUNCHES, firewall=Firewall.RANDOM))
    server.sample(*RANDOM)
    assert server.host.opened == 2
    assert server.host.refusals == [Refusal.IMPOSSIBLE]


def test_a_second_random_punch_has_to_wait() -> None:
    server = Dialled()
    server.sample(*CONSISTENT)
    server.host.throttle.began()
    server.receive(attrs.evolve(PUNCHES, firewall=Firewall.RANDOM))
    assert server.answer()[0].error == PunchError.TRY_LATER
    assert server.host.refusals == [Refusal.BUSY]


def test_a_client_that_does_not_take_part() -> None:
    server = Dialled()
    run(server.punch, 9.9)
    assert not server.host.refusals
    run(server.punch, 1, 9.9)
    assert server.host.refusals == [Refusal.EXPIRED]
    assert not server.host.open
    assert server.punch.over


def test_probes_that_do_not_arrive() -> None:
    server = Dialled()
    server.sample(*CONSISTENT)
    server.receive(PUNCHES)
    run(server.punch, 20)
    assert server.host.refusals == [Refusal.PROBES_LOST]


def test_a_client_connects_with_its_stream_and_not_with_a_probe() -> None:
    server = Dialled()
    server.punch.puncher.received(2, CLIENT, 0.0)
    assert not server.punch.over
    server.punch.punched(2, CLIENT, 0.0)
    assert not server.punch.over


def test_the_number_of_waiting_messages_is_bounded() -> None:
    server = Dialled(host=Noted(PunchLimits(waiting=2)))
    for _ in range(5):
        server.receive(ASKS)
    server.sample(*CONSISTENT)
    assert len(server.host.answers) == 2


def test_the_number_of_answers_is_bounded() -> None:
    server = Dialled(host=Noted(PunchLimits(rounds=3)))
    server.sample(*CONSISTENT)
    for _ in range(10):
        server.receive(ASKS)
    assert len(server.host.answers) == 3
    assert server.host.refusals == [Refusal.TOO_MANY]


def test_cancelling_a_punch() -> None:
    server = Dialled()
    server.punch.close(0.0)
    server.punch.close(0.0)
    assert not server.host.refusals
    assert not server.host.open
