from __future__ import annotations

import pytest

from simulation import Link, Network, NeverIdle, NotReached
from simulation.host import MAX_RUN
from simulation.support import Recorder

ALICE, BOB = ("10.0.0.1", 1000), ("10.0.0.2", 1000)


def pair(network: Network) -> tuple[Recorder, Recorder]:
    machines = Recorder(), Recorder()
    network.add_site().add_host("10.0.0.1", machines[0])
    network.add_site().add_host("10.0.0.2", machines[1])
    return machines


def test_a_datagram_arrives_over_both_lines() -> None:
    network = Network(start=0)
    alice, bob = Recorder(), Recorder()
    network.add_site(up=Link(delay=1)).add_host("10.0.0.1", alice)
    network.add_site(down=Link(delay=2)).add_host("10.0.0.2", bob)
    alice.post(BOB, b"hello")
    network.run_until_idle(within=10)
    assert bob.runs == [(3, ALICE, 5, b"hello")]


def test_datagrams_to_unknown_addresses_are_counted() -> None:
    network = Network()
    alice, _ = pair(network)
    alice.post(("10.0.0.3", 1000), b"hello")
    network.run_until_idle(within=1)
    assert network.unroutable == 1


def test_runs_are_cut_and_joined_like_in_the_kernel() -> None:
    network = Network()
    alice, bob = pair(network)
    alice.outbox.append((BOB, [b"aa", b"bb", b"b"], 2))
    alice.post(BOB, b"cc", b"dd", b"eee")
    network.run_until_idle(within=1)
    assert [(size, data) for _, _, size, data in bob.runs] == [(2, b"aabbb"), (2, b"ccdd"), (3, b"eee")]


def test_an_empty_datagram_comes_by_itself() -> None:
    network = Network()
    alice, bob = pair(network)
    alice.outbox += [(BOB, [b"a"], 1), (BOB, [b""], 1), (BOB, [b"b"], 1)]
    network.run_until_idle(within=1)
    assert [data for _, _, _, data in bob.runs] == [b"a", b"", b"b"]


def test_a_read_takes_no_more_than_the_kernel_gives() -> None:
    network = Network()
    alice, bob = pair(network)
    alice.post(BOB, *[b"x"] * (MAX_RUN + 1))
    alice.post(BOB, *[bytes(30_000)] * 3)
    network.run_until_idle(within=1)
    assert [len(data) for _, _, _, data in bob.runs] == [64, 1, 60_000, 30_000]


def test_a_late_read_takes_datagrams_that_came_meanwhile() -> None:
    network = Network(start=0)
    alice, bob = Recorder(), Recorder()
    host = network.add_site().add_host("10.0.0.1", alice)
    network.add_site().add_host("10.0.0.2", bob, read_delay=0.5)
    for time in (1, 1.25, 2):
        host.call_later(time, lambda: alice.post(BOB, b"x"))
    network.run_until_idle(within=10)
    assert [(time, data) for time, _, _, data in bob.runs] == [(1.5, b"xx"), (2.5, b"x")]


def test_a_receive_buffer_overflows() -> None:
    network = Network()
    alice, bob = Recorder(), Recorder()
    network.add_site().add_host("10.0.0.1", alice)
    host = network.add_site().add_host("10.0.0.2", bob, read_delay=1, receive_buffer=10)
    alice.post(BOB, b"1234", b"5678", b"9", b"too much")
    network.run_until_idle(within=5)
    assert bob.received == [b"1234", b"5678", b"9"]
    assert host.overflows == 1


def test_the_clock_jumps_to_the_next_event() -> None:
    network = Network(start=0)
    alice, _ = pair(network)
    alice.deadline = 1e6
    network.run_until_idle(within=2e6)
    assert alice.woken == [1e6]
    assert network.now == 1e6


def test_a_deadline_that_has_moved_wakes_no_machine_and_moves_no_clock() -> None:
    network = Network(start=0)
    alice, _ = pair(network)
    alice.deadline = 5
    network.run_for(1)
    alice.deadline = 7
    network.run_until_idle(within=100)
    assert alice.woken == [7]
    alice.deadline = 50
    network.run_for(1)
    alice.deadline = float("inf")
    network.run_until_idle(within=100)
    assert network.now == 8


def test_a_deadline_that_moves_forward_is_kept() -> None:
    network = Network(start=0)
    alice, _ = pair(network)
    alice.deadline = 5
    network.run_for(1)
    alice.deadline = 2
    network.run_until_idle(within=100)
    assert alice.woken == [2]


def test_a_timer_that_never_ends_is_reported() -> None:
    class Restless(Recorder):
        def handle_deadline(self, now: float) -> tuple[()]:
            self.deadline = now + 1
            return ()

    network = Network(start=0)
    machine = Restless(deadline=1)
    network.add_site().add_host("10.0.0.1", machine)
    with pytest.raises(NeverIdle, match="after 10 s"):
        network.run_until_idle(within=10)


def test_a_deadline_that_does_not_move_on_is_reported() -> None:
    class Stuck(Recorder):
        def handle_deadline(self, now: float) -> tuple[()]:
            return ()

    network = Network(start=0)
    network.add_site().add_host("10.0.0.1", Stuck(deadline=1))
    with pytest.raises(AssertionError, match="does not move on"):
        network.run_for(10)


def test_machines_that_answer_each_other_for_ever_are_reported() -> None:
    network = Network()
    machines = Recorder(), Recorder()
    for number, machine in enumerate(machines, 1):
        other = (f"10.0.0.{3 - number}", 1000)

        def answer(_: object, machine: Recorder = machine, other: tuple[str, int] = other) -> None:
            machine.runs.clear()
            machine.post(other, b"again")

        network.add_site().add_host(f"10.0.0.{number}", machine, on_event=answer)
    machines[0].post(BOB, b"first")
    with pytest.raises(NeverIdle, match="while no time passes"):
        network.run_for(1)


def test_waiting_for_an_event_that_never_happens() -> None:
    network = Network()
    alice, _ = pair(network)
    with pytest.raises(NotReached, match="nothing is left to do"):
        network.run_until(lambda: False, within=5)
    alice.deadline = network.now + 10
    with pytest.raises(NotReached, match="not within 5 s"):
        network.run_until(lambda: False, within=5)


def test_a_run_ends_as_soon_as_its_condition_holds() -> None:
    network = Network(start=0)
    alice, bob = pair(network)
    alice.post(BOB, b"x")
    alice.deadline = 3
    network.run_until(lambda: bool(bob.runs), within=5)
    assert network.now == 0


def test_datagrams_queued_by_an_event_handler_are_sent() -> None:
    network = Network()
    alice, bob = Recorder(), Recorder()
    network.add_site().add_host("10.0.0.1", alice)
    network.add_site().add_host("10.0.0.2", bob, on_event=lambda _: bob.post(ALICE, b"thanks"))
    alice.post(BOB, b"x")
    network.run_until_idle(within=1)
    assert alice.received == [b"thanks"]


def test_datagrams_queued_by_a_later_call_are_sent() -> None:
    network = Network(start=0)
    alice, bob = Recorder(), Recorder()
    host = network.add_site().add_host("10.0.0.1", alice)
    network.add_site().add_host("10.0.0.2", bob)
    host.call_later(2, lambda: alice.post(BOB, b"later"))
    network.run_until_idle(within=5)
    assert bob.times == [2]


def test_a_host_that_moves_leaves_its_old_address() -> None:
    network = Network(start=0)
    alice, bob = Recorder(), Recorder()
    network.add_site(up=Link(delay=1)).add_host("10.0.0.1", alice)
    host = network.add_site().add_host("10.0.0.2", bob)
    alice.post(BOB, b"under way")
    network.run_for(0.5)
    host.move(("10.0.0.7", 7))
    alice.post(BOB, b"to the old address")
    alice.post(("10.0.0.7", 7), b"to the new one")
    bob.post(ALICE, b"from there")
    network.run_until_idle(within=10)
    assert bob.received == [b"to the new one"]
    assert alice.runs[0][1] == ("10.0.0.7", 7)
    assert network.unroutable == 2


def test_datagrams_in_flight_to_a_host_that_moves_within_its_site_are_lost() -> None:
    network = Network(start=0)
    alice, bob = Recorder(), Recorder()
    network.add_site().add_host("10.0.0.1", alice)
    host = network.add_site(down=Link(delay=1)).add_host("10.0.0.2", bob)
    alice.post(BOB, b"under way")
    network.run_for(0.5)
    host.move(("10.0.0.7", 7))
    network.run_until_idle(within=5)
    assert bob.received == []


def test_two_hosts_cannot_have_one_address() -> None:
    network = Network()
    network.add_site().add_host("10.0.0.1", Recorder())
    with pytest.raises(AssertionError, match="another host"):
        network.add_site().add_host("10.0.0.1", Recorder())


def test_a_tap_sees_every_datagram_sent() -> None:
    network = Network(start=0)
    alice, _ = pair(network)
    seen: list[bytes] = []
    network.taps.append(lambda now, datagram: seen.append(datagram.payload))
    alice.post(BOB, b"one", b"two")
    network.run_until_idle(within=1)
    assert seen == [b"one", b"two"]
