"""The sockets and probes of one side: their number, destinations, rates, and end."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from core.holepunch.support import CONSISTENT, NODES, OURS, RANDOM, THEIRS, Noted, run
from peersockets_core.address import SocketAddress
from peersockets_core.holepunch import Firewall, PunchLimits, Round
from peersockets_core.holepunch.puncher import FULL_TTL, SHORT_TTL, Puncher, PuncherState

AT = (THEIRS, 9000)


@attrs.define(eq=False)
class Side:
    """The owner of a puncher."""

    calls: list[Any] = attrs.field(factory=list)

    def sampling_ended(self, now: float) -> None:
        self.calls.append("sampled")

    def punched(self, socket: int, address: SocketAddress, now: float) -> None:
        self.calls.append((socket, address))

    def probes_ended(self, now: float) -> None:
        self.calls.append("ended")


def made(
    *ports: int,
    host: Noted | None = None,
    initiator: bool = True,
    remote: Firewall = Firewall.CONSISTENT,
    addresses: tuple[SocketAddress, ...] = (AT,),
    verified: str | None = THEIRS,
) -> tuple[Puncher, Noted, Side]:
    """Return a puncher that has taken samples, and knows the addresses of a remote."""
    host, side = host or Noted(), Side()
    puncher = Puncher(host, side, initiator=initiator, remote_firewall=Firewall.UNKNOWN)
    puncher.begin(0.0)
    host.sample(puncher, *ports)
    puncher.update_remote(Round(firewall=remote, punching=True, addresses=addresses), verified)
    return puncher, host, side


def test_it_asks_four_nodes_except_those_heard_from_last() -> None:
    _, host, side = made()
    assert host.pings == [(node, 2) for node in NODES[5:9]]
    assert not side.calls


def test_in_a_small_network_it_asks_all_nodes() -> None:
    _, host, _ = made(host=Noted(known=NODES[:3]))
    assert [node for node, _ in host.pings] == NODES[:3]


def test_three_samples_that_agree_are_enough() -> None:
    puncher, _, side = made(*CONSISTENT)
    assert side.calls == ["sampled"]
    assert puncher.state is PuncherState.READY


def test_nodes_that_do_not_answer_are_replaced_once() -> None:
    puncher, host, side = made(0, 0, 0, 0)
    assert [node for node, _ in host.pings] == NODES[9:]
    host.sample(puncher, 0, 0, 0)
    assert side.calls == ["sampled"]
    assert puncher.nat.firewall is Firewall.UNKNOWN


def test_without_nodes_or_without_room_for_requests() -> None:
    for host in (Noted(known=[]), Noted(room=0)):
        puncher, _, side = made(host=host)
        assert side.calls == ["sampled"]
        assert puncher.unstable


def test_consistent_nats_are_probed_once_a_second() -> None:
    puncher, host, side = made(*CONSISTENT)
    assert puncher.punch(0.0)
    assert puncher.punch(0.0)
    assert host.take_probes() == [(2, AT, FULL_TTL)]
    run(puncher, 9.9)
    assert len(host.take_probes()) == 9
    run(puncher, 1, 9.9)
    assert side.calls == ["sampled", "ended"]
    assert puncher.state is PuncherState.ENDED
    assert not host.open


def test_an_open_side_is_probed_like_one_with_a_consistent_nat() -> None:
    puncher, host, _ = made(*CONSISTENT, remote=Firewall.OPEN)
    assert puncher.punch(0.0)
    assert host.probes == [(2, AT, FULL_TTL)]


def test_the_dialled_side_lets_its_first_probe_arrive() -> None:
    puncher, host, _ = made(*CONSISTENT, initiator=False)
    assert puncher.punch(0.0)
    assert not host.take_probes()
    run(puncher, 1)
    assert len(host.take_probes()) == 1


def test_unproved_addresses_get_every_fourth_probe() -> None:
    other = ("77.0.0.7", 5)
    puncher, host, _ = made(*CONSISTENT, addresses=(AT, other))
    puncher.punch(0.0)
    run(puncher, 20)
    assert [to for _, to, _ in host.probes].count(AT) == 10
    assert [to for _, to, _ in host.probes].count(other) == 2


def test_an_address_named_twice_gets_no_more_probes() -> None:
    other = ("77.0.0.7", 5)
    puncher, host, _ = made(*CONSISTENT, addresses=(AT, other, other, other))
    puncher.punch(0.0)
    run(puncher, 20)
    assert [to for _, to, _ in host.probes].count(other) == 2


def test_a_host_stays_proved() -> None:
    puncher, _, _ = made(*CONSISTENT)
    puncher.update_remote(Round(firewall=Firewall.CONSISTENT, addresses=((THEIRS, 1), ("6.6.6.6", 1))), None)
    assert [remote.verified for remote in puncher.remote_addresses] == [True, False]


def test_the_number_of_addresses_is_bounded_and_port_0_is_refused() -> None:
    many = tuple((f"66.0.0.{number}", 5) for number in range(200))
    puncher, host, _ = made(*CONSISTENT, addresses=((THEIRS, 0), *many))
    puncher.punch(0.0)
    run(puncher, 20)
    assert len(puncher.remote_addresses) == host.limits.addresses
    assert len(host.probes) == 2 * (host.limits.addresses - 1)


@pytest.mark.parametrize("addresses", [(), ((THEIRS, 9000),)])
def test_a_punch_that_cannot_work(addresses: tuple[SocketAddress, ...]) -> None:
    puncher, host, _ = made(*CONSISTENT, remote=Firewall.RANDOM, addresses=addresses, verified=None)
    assert not puncher.punch(0.0)
    assert not host.probes


def test_impossible_addresses_are_not_probed() -> None:
    nobodys = (("0.0.0.0", 5), ("224.0.0.1", 5), ("255.255.255.255", 5))
    puncher, _, _ = made(*CONSISTENT, addresses=nobodys)
    assert not puncher.remote_addresses


def test_two_random_nats() -> None:
    puncher, _, _ = made(*RANDOM, remote=Firewall.RANDOM)
    assert not puncher.punch(0.0)
    assert puncher.unstable


def test_random_ports_of_a_random_nat_are_tried() -> None:
    limits = PunchLimits(random_probes=400)
    puncher, host, side = made(
        *CONSISTENT, host=Noted(limits), remote=Firewall.RANDOM, addresses=((THEIRS, 0),)
    )
    assert puncher.punch(0.0)
    assert not host.throttle.allows(0.0)
    run(puncher, 1.01)
    assert len(host.probes) == 51
    run(puncher, 8.0, 1.01)
    ports = [port for _, (_, port), _ in host.probes]
    assert len(ports) == 400
    assert len(set(ports)) > 350
    assert min(ports) >= 1000
    assert {(socket, to[0], ttl) for socket, to, ttl in host.probes} == {(2, THEIRS, FULL_TTL)}
    assert side.calls[-1] == "ended"
    assert not host.throttle.allows(20.0)
    assert host.throttle.allows(30.0)


def test_a_random_nat_needs_many_sockets() -> None:
    limits = PunchLimits(birthday_sockets=20, random_probes=50)
    puncher, host, side = made(*RANDOM, host=Noted(limits))
    assert puncher.punch(0.0)
    assert [(to, ttl) for _, to, ttl in host.take_probes()] == [(AT, SHORT_TTL)] * 19
    assert len(host.open) == 20
    run(puncher, 0.09)
    assert not host.probes
    run(puncher, 5, 0.09)
    assert len(host.probes) == 50
    assert [ttl for _, _, ttl in host.probes] == [SHORT_TTL] * 20 + [FULL_TTL] * 30
    assert len({socket for socket, _, _ in host.probes}) == 20
    assert side.calls[-1] == "ended"
    assert not host.open


def test_after_a_pause_of_the_program_probes_do_not_leave_in_a_burst() -> None:
    puncher, host, _ = made(*CONSISTENT, remote=Firewall.RANDOM)
    puncher.punch(0.0)
    host.take_probes()
    puncher.handle_deadline(30.0)
    assert len(host.probes) == 1


def test_the_dialling_side_connects_through_the_first_probe() -> None:
    puncher, host, side = made(*RANDOM, host=Noted(PunchLimits(birthday_sockets=5)))
    puncher.punch(0.0)
    puncher.received(4, AT, 1.0)
    puncher.received(5, AT, 1.0)
    assert side.calls == ["sampled", (4, AT)]
    assert host.kept == [4]
    assert not host.open
    assert puncher.state is PuncherState.CONNECTED
    assert puncher.next_deadline == float("inf")
    assert not host.throttle.allows(1.0)


def test_the_dialled_side_answers_each_probe_once() -> None:
    puncher, host, side = made(initiator=False)
    puncher.received(2, AT, 0.0)
    assert host.take_probes() == [(2, AT, FULL_TTL)]
    puncher.connected(2, 0.0)
    puncher.received(2, AT, 0.0)
    assert not host.probes
    assert host.kept == [2]
    assert not side.calls


def test_a_stream_that_arrives_at_the_main_socket_closes_all_others() -> None:
    puncher, host, _ = made(initiator=False)
    puncher.connected(0, 0.0)
    puncher.connected(2, 0.0)
    assert not host.kept
    assert not host.open


def test_an_odd_nat_gets_three_more_sockets() -> None:
    puncher, host, side = made(*RANDOM, remote=Firewall.RANDOM)
    for number in range(3):
        assert puncher.may_reopen
        puncher.reopen(0.0)
        assert host.open == {3 + number}
        assert puncher.sampling
        host.sample(puncher, *RANDOM)
    assert not puncher.may_reopen
    assert side.calls == ["sampled"] * 4


def test_no_socket_is_replaced_while_there_is_hope() -> None:
    puncher, _, _ = made(*RANDOM)
    assert not puncher.may_reopen


def test_a_sample_from_elsewhere_counts_as_well() -> None:
    puncher, host, side = made(7, 7)
    puncher.sample((OURS, 7), ("66.0.0.1", 1), 0.0)
    assert side.calls == ["sampled"]
    host.sample(puncher, 7)
    assert side.calls == ["sampled"]


def test_closing_twice() -> None:
    puncher, host, _ = made()
    puncher.close(0.0)
    puncher.close(0.0)
    assert not host.open
    assert not puncher.punch(0.0)
    puncher.received(2, AT, 0.0)
    assert not host.probes
