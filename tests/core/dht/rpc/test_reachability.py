"""Testing whether strangers reach a node, and whether it becomes persistent by itself."""

from __future__ import annotations

from typing import Any

import pytest

from core.dht.rpc.test_messages import encode
from core.dht.support import FIRST, DhtNetwork, Member, entropy, requests_of
from peersockets_core.address import SocketAddress
from peersockets_core.dht.rpc.address import node_id
from peersockets_core.dht.rpc.events import BecameEphemeral, BecamePersistent, ReachabilityChanged
from peersockets_core.dht.rpc.limits import DhtLimits
from peersockets_core.dht.rpc.messages import (
    RpcCommand,
    RpcRequest,
    RpcResponse,
    decode_untrusted,
    encode_response,
)
from peersockets_core.dht.rpc.node import DhtNode
from peersockets_core.dht.rpc.reachability import Reach
from peersockets_core.dht.rpc.requests import Socket
from simulation import Firewall, PortMapping

OURS = ("10.0.0.1", 1000)
THEIRS = ("10.0.0.2", 2000)
STABLE = DhtLimits().stable_time


def join(network: DhtNetwork, size: int = 10, **options: Any) -> Member:
    """Let a node that becomes persistent by itself join a network."""
    network.grow(network.add_rpc, size)
    network.network.run_for(20)
    return network.add_adaptive(DhtNode, **options)


def reach(made: Any) -> Reach:
    found: Reach = made.reachability.state
    return found


def test_a_node_that_strangers_can_reach_becomes_persistent_after_twenty_minutes() -> None:
    network = DhtNetwork()
    ours = join(network)
    network.network.run_for(30)
    assert reach(ours.machine) is Reach.OPEN
    assert ours.machine.reachability.address == ours.address
    assert ours.of_type(ReachabilityChanged) == [ReachabilityChanged(ours.address)]
    network.network.run_for(STABLE - 60)
    assert not ours.machine.id
    network.network.run_for(60)
    assert reach(ours.machine) is Reach.PERSISTENT
    assert ours.machine.id == node_id(ours.address)
    assert ours.of_type(BecamePersistent) == [BecamePersistent(node_id(ours.address))]
    network.network.run_for(600)
    assert any(node.machine.upkeep.table.get(ours.machine.id) for node in network.members[:10])


def test_a_node_behind_a_firewall_stays_ephemeral() -> None:
    network = DhtNetwork()
    firewall = Firewall(network.address(11)[0])
    ours = join(network, gateway=firewall)
    network.network.run_for(30)
    assert reach(ours.machine) is Reach.FIREWALLED
    network.network.run_for(3 * STABLE)
    assert ours.machine.id is None
    assert not ours.of_type(ReachabilityChanged)
    # The port is open now, and the next test finds that.
    firewall.shut = False
    network.network.run_for(3 * STABLE)
    assert reach(ours.machine) is Reach.OPEN
    network.network.run_for(STABLE)
    assert ours.machine.id == node_id(ours.address)


def test_answers_through_holes_of_our_own_prove_nothing() -> None:
    network = DhtNetwork()
    ours = join(network, gateway=Firewall(network.address(11)[0]))
    # The main socket writes to every node before the test.
    for member in network.members[:10]:
        ours.machine.ping(member.address, network.now)
    network.network.run_for(30)
    assert reach(ours.machine) is Reach.UNKNOWN
    network.network.run_for(STABLE)
    assert reach(ours.machine) is Reach.FIREWALLED


def test_a_packet_to_our_own_host_opens_no_hole() -> None:
    """Therefore the nodes of a private network on one host find that they can reach each other."""
    made = adaptive()
    for port in range(5):
        made.ping(("127.0.0.1", 1000 + port), 0.0)
    made.datagrams_to_send(0.0)
    assert made.reachability is not None
    assert made.reachability.written_to == {}


def test_answers_through_a_hole_made_during_the_test_prove_nothing() -> None:
    made = adaptive()
    asked = ask_around(made, 5)
    for request in asked[:3]:
        made.ping(request.to, 0.0)
    made.datagrams_to_send(0.0)
    for request in asked:
        answer(made, request, RpcResponse(request.tid, OURS, node_id(request.to)))
    assert reach(made) is Reach.OPEN  # the other two answers came without a hole

    made = adaptive()
    asked = ask_around(made, 2)
    for request in asked:
        made.ping(request.to, 0.0)
    made.datagrams_to_send(0.0)
    for request in asked:
        answer(made, request, RpcResponse(request.tid, OURS, node_id(request.to)))
    assert reach(made) is Reach.UNKNOWN


def test_a_node_behind_a_nat_stays_ephemeral() -> None:
    network = DhtNetwork()
    ours = join(network, gateway=PortMapping("10.9.0.1", filtered=True))
    network.network.run_for(STABLE + 60)
    assert reach(ours.machine) is Reach.FIREWALLED
    assert ours.machine.id is None


def test_two_liars_of_five_do_not_change_our_address() -> None:
    made = adaptive()
    asked = ask_around(made, 5)
    for number, request in enumerate(asked):
        host = "6.6.6.6" if number < 2 else OURS[0]
        answer(made, request, RpcResponse(request.tid, (host, OURS[1]), node_id(request.to)))
    assert made.reachability is not None
    assert made.reachability.address == OURS


def test_two_of_five_are_not_enough() -> None:
    made = adaptive()
    asked = ask_around(made, 5)
    for request in asked[:2]:
        answer(made, request, RpcResponse(request.tid, OURS, node_id(request.to)))
    for _ in range(4):
        made.handle_deadline(made.client.requests.next_deadline())
    assert reach(made) is Reach.FIREWALLED


def test_an_answer_to_the_probe_socket_proves_nothing() -> None:
    made = adaptive()
    (request,) = ask_around(made, 1)
    response = RpcResponse(request.tid, OURS, node_id(request.to))
    answer(made, request, response, socket=Socket.PROBE)
    assert made.dropped == 1
    assert reach(made) is Reach.TESTING
    answer(made, request, response)
    assert reach(made) is Reach.OPEN


def test_the_probe_socket_answers_no_requests() -> None:
    made = adaptive()
    ping = decode_untrusted(bytes.fromhex("0304010000000000000000"))
    assert isinstance(ping, RpcRequest)
    made.receive_datagrams(bytes.fromhex("0304010000000000000000"), 100, THEIRS, 0.0, socket=Socket.PROBE)
    assert made.dropped == 1
    assert not made.datagrams_to_send(0.0)


def test_until_the_test_the_probe_socket_keeps_the_table_fresh() -> None:
    made = DhtNode(entropy=entropy(1), now=0.0, persistent=None, port=OURS[1], bootstrap=[THEIRS])
    assert not requests_of(made, 0.0)
    ((to, (datagram,), _),) = made.datagrams_to_send(0.0, socket=Socket.PROBE)
    request = decode_untrusted(datagram)
    assert to == THEIRS
    assert isinstance(request, RpcRequest)
    # The application's requests leave from the main socket. Only their answers show its address.
    made.receive_datagrams(
        encode_response(RpcResponse(request.tid, ("1.2.3.4", 5), node_id(THEIRS))),
        100,
        THEIRS,
        0.0,
        socket=Socket.PROBE,
    )
    assert made.address is None
    ping = made.ping(THEIRS, 0.0)
    assert [request.tid for _, request in requests_of(made, 0.0)] == [ping.message.tid]
    answer(made, ping.message, RpcResponse(ping.message.tid, OURS, node_id(THEIRS)))
    assert made.address == OURS


def test_a_test_proves_nothing_if_others_see_us_at_another_port() -> None:
    made = adaptive()
    (request,) = ask_around(made, 1)
    answer(made, request, RpcResponse(request.tid, OURS, node_id(request.to)))
    made.sample(True, ("10.0.0.1", 999), 1.0)
    assert made.reachability is not None
    assert (reach(made), made.reachability.address) == (Reach.UNKNOWN, None)
    assert ReachabilityChanged(None) in made.take_events()


def test_a_test_proves_nothing_if_nobody_sees_us_at_its_address() -> None:
    made = adaptive()
    (request,) = ask_around(made, 1)
    answer(made, request, RpcResponse(request.tid, OURS, node_id(request.to)))
    assert made.reachability is not None
    made.reachability.handle_deadline(STABLE + 1)
    assert reach(made) is Reach.UNKNOWN
    assert made.id is None


def test_a_machine_that_has_slept_is_ephemeral_again() -> None:
    network = DhtNetwork()
    ours = join(network, limits=DhtLimits(stable_time=30))
    network.network.run_for(60)
    assert reach(ours.machine) is Reach.PERSISTENT
    ours.machine.upkeep.last_tick -= 100
    network.network.run_for(6)
    assert ours.machine.id is None
    assert reach(ours.machine) is Reach.UNKNOWN
    assert [type(event) for event in ours.events if type(event) in {BecamePersistent, BecameEphemeral}] == [
        BecamePersistent,
        BecameEphemeral,
    ]
    # The main socket wrote to all nodes recently. The node asks them again when the holes have closed.
    network.network.run_for(1200)
    assert reach(ours.machine) is Reach.PERSISTENT


def test_a_node_that_moves_during_the_test_starts_over() -> None:
    made = adaptive()
    (request,) = ask_around(made, 1)
    assert made.reachability is not None
    made.reachability.start_over(0.0)
    answer(made, request, RpcResponse(request.tid, OURS, node_id(request.to)))
    assert reach(made) is Reach.UNKNOWN
    assert made.dropped == 1


def test_a_node_that_has_not_begun_a_test_has_nothing_to_start_over() -> None:
    made = DhtNode(entropy=entropy(1), now=0.0, persistent=None, port=OURS[1])
    assert made.reachability is not None
    before, _ = made.reachability.next_deadline, made.take_events()
    made.reachability.start_over(0.0)
    assert (reach(made), made.reachability.next_deadline) == (Reach.UNKNOWN, before)
    assert made.take_events() == []


def test_an_empty_network_proves_nothing() -> None:
    made = DhtNode(entropy=entropy(1), now=0.0, persistent=None, port=OURS[1])
    made.handle_deadline(0.0)
    made.handle_deadline(0.0)
    assert reach(made) is Reach.UNKNOWN
    assert made.next_deadline() == 5.0
    assert made.reachability is not None
    assert made.reachability.next_deadline == STABLE


def test_the_number_of_remembered_hosts_is_bounded() -> None:
    made = adaptive(limits=DhtLimits(hosts=3))
    for number in range(10):
        made.ping((f"10.0.1.{number}", 1), 0.0)
    made.datagrams_to_send(0.0)
    assert made.reachability is not None
    assert list(made.reachability.written_to) == ["10.0.1.7", "10.0.1.8", "10.0.1.9"]


def test_testing_needs_a_known_port() -> None:
    with pytest.raises(ValueError, match="port must be given if persistent is None"):
        DhtNode(entropy=entropy(1), now=0.0, persistent=None)


def test_a_request_does_not_count_as_a_view_of_our_address() -> None:
    """Its source may be false, so it must not count, and the answer of that node must still count."""
    made = DhtNode(entropy=entropy(1), now=0.0, bootstrap=[FIRST])
    request = RpcRequest(5, ("6.6.6.6", 6), RpcCommand.PING, internal=True, id=node_id(THEIRS))
    made.receive_datagrams(encode(request), 100, THEIRS, 0.0)
    assert made.address is None
    ping = made.ping(THEIRS, 0.0)
    requests_of(made, 0.0)
    answer(made, ping.message, RpcResponse(ping.message.tid, OURS, node_id(THEIRS)))
    assert made.address == OURS


def adaptive(**options: Any) -> DhtNode:
    """Return a node that becomes persistent by itself, and knows no other node yet."""
    return DhtNode(
        **{
            "entropy": entropy(1),
            "now": 0.0,
            "persistent": None,
            "port": OURS[1],
            "bootstrap": [FIRST],
            **options,
        }
    )


def ask_around(made: DhtNode, size: int) -> list[RpcRequest]:
    """Let a node know some others, and begin its test. Return the requests that it sends them."""
    for number in range(size):
        there: SocketAddress = (f"10.0.2.{number}", 7)
        made.upkeep.heard_from(there, node_id(there), 0.0)
    made.bootstrap = ()
    made.datagrams_to_send(0.0, socket=Socket.PROBE)
    assert made.reachability is not None
    made.reachability.begin()
    made.handle_deadline(0.0)
    sent = [
        decode_untrusted(datagram) for _, (datagram,), _ in made.datagrams_to_send(0.0, socket=Socket.PROBE)
    ]
    requests = [request for request in sent if isinstance(request, RpcRequest)]
    assert [(request.command, request.value) for request in requests] == [
        (RpcCommand.PING_NAT, OURS[1].to_bytes(2, "little"))
    ] * size
    return requests


def answer(
    made: DhtNode, request: RpcRequest, response: RpcResponse, *, socket: Socket = Socket.MAIN
) -> None:
    made.receive_datagrams(encode_response(response), 1500, request.to, 0.0, socket=socket)
