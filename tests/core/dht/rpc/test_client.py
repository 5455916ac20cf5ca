"""A node as a client: requests with and without an answer, cancelled queries, reports of dead nodes."""

from __future__ import annotations

from core.dht.rpc.test_node import OURS, TARGET, THEIRS, node, receive
from core.dht.support import FIRST, DhtNetwork, requests_of, sent
from peersockets_core.dht.rpc.events import Answered, QueryFinished, QueryReplied, TimedOut
from peersockets_core.dht.rpc.limits import DhtLimits
from peersockets_core.dht.rpc.messages import RpcCommand, RpcResponse


def test_a_request_is_answered_or_times_out() -> None:
    network = DhtNetwork()
    network.grow(network.add_rpc, 2)
    ours = network.members[1]
    there = ours.machine.ping(FIRST, network.now)
    nowhere = ours.machine.ping(("10.9.9.9", 1), network.now)
    network.until(lambda: len(ours.of_type(Answered) + ours.of_type(TimedOut)) == 2)
    assert [event.request for event in ours.of_type(Answered)] == [there]
    assert [event.request for event in ours.of_type(TimedOut)] == [nowhere]


def test_cancelled_requests_and_queries_report_nothing() -> None:
    network = DhtNetwork()
    network.grow(network.add_rpc, 4)
    ours = network.members[1]
    ours.events.clear()
    ours.machine.cancel(ours.machine.ping(FIRST, network.now))
    ours.machine.cancel(ours.machine.find_node(TARGET, network.now))
    network.network.run_for(20)
    assert not ours.of_type(Answered) + ours.of_type(QueryReplied) + ours.of_type(QueryFinished)


def test_the_number_of_down_hints_is_bounded() -> None:
    made = node(limits=DhtLimits(down_hints=2))
    for _ in range(5):
        made.client.hint_down(THEIRS, ("10.0.0.9", 9), 0.0)
    hints = requests_of(made, 0.0)
    assert [(to, request.command) for to, request in hints] == [(THEIRS, RpcCommand.DOWN_HINT)] * 2
    # Their outcome is never reported.
    receive(made, RpcResponse(hints[0][1].tid, OURS))
    for _ in range(4):
        made.handle_deadline(made.next_deadline())
    made.handle_deadline(5.0)
    sent(made, 5.0)
    made.client.hint_down(THEIRS, ("10.0.0.9", 9), 5.0)
    assert len(requests_of(made, 5.0)) == 1
