"""Networks of honest nodes with hostile ones among them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import attrs
import pytest

from core.dht.support import PORT, DhtNetwork, Member, hyper_network
from core.dht.test_hyperdht import listen as listen_alone
from core.dht.test_listening import CLIENT, RELAY, Played, answer, client
from core.dht.test_topics import TOPIC, finish, found, key, listen
from peersockets_core import KeyPair
from peersockets_core.address import SocketAddress
from peersockets_core.dht.events import ConnectionRequested, DialFailed, Dialled
from peersockets_core.dht.hyperdht import HyperDht
from peersockets_core.dht.limits import HyperDhtLimits
from peersockets_core.dht.messages import (
    HyperDhtCommand,
    Peer,
    RelayedHandshake,
    RelayMode,
    decode_handshake_untrusted,
    encode_peers,
)
from peersockets_core.dht.rpc.address import distance, node_id
from peersockets_core.dht.rpc.limits import DEFAULT_DHT_LIMITS, DhtLimits
from peersockets_core.dht.rpc.messages import (
    RpcCommand,
    RpcRequest,
    RpcResponse,
    decode_untrusted,
    encode_request,
    encode_response,
)
from peersockets_core.dht.rpc.query import CONCURRENCY, QUERY_RETRIES
from peersockets_core.dht.signing import key_hash
from simulation import Datagram

VICTIM = "10.99.99.99"
Answer = Callable[[RpcRequest, SocketAddress], list[tuple[SocketAddress, bytes]]]


@attrs.define(eq=False)
class Hostile:
    """A node that is in every table and answers as it likes."""

    address: SocketAddress
    answer: Answer
    output: list[tuple[SocketAddress, bytes]]

    def receive_datagrams(self, buffer: Any, size: int, source: SocketAddress, now: float) -> list[Any]:
        for start in range(0, len(buffer), size):
            message = decode_untrusted(bytes(buffer[start : start + size]))
            if isinstance(message, RpcRequest) and message.internal and message.command == RpcCommand.PING:
                self.output.append((source, encode_response(response(message, self.address, source))))
            elif isinstance(message, RpcRequest):
                self.output += self.answer(message, source)
        return []

    def datagrams_to_send(self, now: float) -> list[tuple[SocketAddress, list[bytes], int]]:
        output, self.output = self.output, []
        return [(to, [datagram], len(datagram)) for to, datagram in output]

    def next_deadline(self) -> float:
        return math.inf

    def handle_deadline(self, now: float) -> list[Any]:
        return []


def response(request: RpcRequest, ours: SocketAddress, to: SocketAddress, **fields: Any) -> RpcResponse:
    return RpcResponse(request.tid, to, node_id(ours), **fields)


def intrude(network: DhtNetwork, address: SocketAddress, answer: Answer) -> Member:
    """Add a hostile node, and introduce it to every honest node."""
    ping = [
        (
            member.address,
            encode_request(
                RpcRequest(index, member.address, RpcCommand.PING, internal=True, id=node_id(address))
            ),
        )
        for index, member in enumerate(network.members)
        if isinstance(member.machine, HyperDht)
    ]
    return network.add(Hostile(address, answer, ping), address)


def hostile_addresses(count: int) -> list[SocketAddress]:
    return [(f"10.66.0.{number}", PORT) for number in range(1, count + 1)]


def near(target: bytes, count: int) -> list[SocketAddress]:
    """Return the addresses nearest to a target, out of the many that the owner of a large network can choose
    from.
    """
    owned = [(f"10.66.{number >> 8}.{number & 255}", PORT) for number in range(1, 20_000)]
    return sorted(owned, key=lambda address: distance(node_id(address), target))[:count]


def to_host(network: DhtNetwork, host: str) -> Counter[SocketAddress]:
    """Count the datagrams that are sent to a host from now on, by address."""
    counted: Counter[SocketAddress] = Counter()

    def count(_: float, datagram: Datagram) -> None:
        if datagram.destination[0] == host:
            counted[datagram.destination] += 1

    network.network.taps.append(count)
    return counted


def announced(network: DhtNetwork) -> Member:
    """Let one of the nodes announce itself under the topic. Return that node."""
    member = network.members[3]
    listen(network, member)
    finish(network, member, member.machine.announce(TOPIC, network.now))
    return member


@pytest.mark.parametrize("kind", ["noise", "cut short", "another transaction", "unasked", "an error"])
def test_a_lookup_survives_nodes_that_answer_with_garbage(kind: str) -> None:
    network, random = hyper_network(10), Random(kind)
    honest = announced(network)
    for address in hostile_addresses(8):

        def answer(request: RpcRequest, source: SocketAddress, ours: SocketAddress = address) -> list[Any]:
            right = encode_response(response(request, ours, source, value=b"v" * 40))
            datagrams = {
                "noise": [random.randbytes(random.randrange(1, 100)), b"\x13" + random.randbytes(200)],
                "cut short": [right[: random.randrange(1, len(right))]],
                "another transaction": [right[:2] + random.randbytes(2) + right[4:]],
                "unasked": [right, right, right],
                "an error": [encode_response(response(request, ours, source, error=random.randrange(1, 99)))],
            }
            return [(source, datagram) for datagram in datagrams[kind]]

        intrude(network, address, answer)
    network.network.run_for(1)
    seeker = network.members[7]
    search = seeker.machine.lookup(TOPIC, network.now)
    finish(network, seeker, search)
    assert set(found(seeker, search)) == {key(honest)}
    network.network.run_for(60)
    assert seeker.machine.node.request_statistics().pending < 20


def test_a_query_sends_a_victim_few_datagrams_though_all_its_ports_are_named() -> None:
    """The bound holds for any number of nodes that name any number of ports."""
    network, random = hyper_network(6), Random(1)
    honest = announced(network)
    for address in hostile_addresses(12):

        def answer(request: RpcRequest, source: SocketAddress, ours: SocketAddress = address) -> list[Any]:
            named = tuple((VICTIM, random.randrange(1, 65536)) for _ in range(20))
            return [(source, encode_response(response(request, ours, source, closer_nodes=named)))]

        intrude(network, address, answer)
    network.network.run_for(1)
    counted = to_host(network, VICTIM)
    seeker = network.members[5]
    search = seeker.machine.lookup(TOPIC, network.now)
    finish(network, seeker, search)
    limit = DEFAULT_DHT_LIMITS.query_host_unanswered
    assert CONCURRENCY <= len(counted) <= limit
    assert max(counted.values()) <= 1 + QUERY_RETRIES
    assert set(found(seeker, search)) == {key(honest)}


def test_all_nodes_of_one_host_are_asked_while_they_answer() -> None:
    """One address may stand for a whole campus."""
    network = DhtNetwork("one host")
    addresses = [network.address(1), *(("10.5.5.5", port) for port in range(1, 40))]
    network.address = lambda number: addresses[number - 1]  # type: ignore[method-assign]
    network.grow(network.add_hyper, 30, 0.2)
    network.network.run_for(10)
    bound = CONCURRENCY
    limits = HyperDhtLimits(rpc=DhtLimits(query_host_unanswered=bound))
    seeker = network.add_hyper(limits=limits, persistent=False)
    asked = to_host(network, "10.5.5.5")
    finish(network, seeker, seeker.machine.lookup(TOPIC, network.now))
    assert len(asked) > 2 * bound


def test_forged_records_hide_nobody_and_cannot_be_dialled() -> None:
    """Answers to a lookup carry no signatures, so hostile nodes can name keys that are not theirs."""
    network = hyper_network(10)
    honest = announced(network)
    stolen = KeyPair.from_seed(b"s" * 32).ed25519_public_key
    for address in hostile_addresses(4):

        def answer(request: RpcRequest, source: SocketAddress, ours: SocketAddress = address) -> list[Any]:
            record = Peer(stolen, (ours,)).encode()
            value = record if request.command == HyperDhtCommand.FIND_PEER else encode_peers([record] * 20)
            return [(source, encode_response(response(request, ours, source, value=value)))]

        intrude(network, address, answer)
    network.network.run_for(1)
    seeker = network.members[7]
    search = seeker.machine.lookup(TOPIC, network.now)
    finish(network, seeker, search)
    assert set(found(seeker, search)) == {key(honest), stolen}
    relays = found(seeker, search)[stolen]
    dial = seeker.machine.dial(stolen, 1, network.now, relays=relays)
    network.until(lambda: any(event.dial is dial for event in seeker.of_type(DialFailed)))
    assert not seeker.of_type(Dialled)


def test_a_flood_of_announcements_from_many_hosts_leaves_other_topics_alone() -> None:
    """The senders forge their addresses, so they have no tokens, and the node keeps none of their records."""
    network = hyper_network(6)
    honest = announced(network)
    keeper = next(member for member in network.members if len(member.machine.storage))
    kept = len(keeper.machine.storage)
    for number in range(500):
        source = (f"10.77.{number >> 8}.{number & 255}", PORT)
        request = RpcRequest(
            number, keeper.address, HyperDhtCommand.ANNOUNCE, token=b"t" * 32, target=TOPIC, value=b"v"
        )
        keeper.machine.receive_datagrams(encode_request(request), 1500, source, network.now)
        # The owner of the forged address gets one refusal for each datagram, and nothing more.
        ((to, _, size),) = keeper.machine.datagrams_to_send(network.now)
        assert to == source
        assert size <= 256
    assert len(keeper.machine.storage) == kept
    seeker = next(member for member in network.members if member not in (honest, keeper))
    search = seeker.machine.lookup(TOPIC, network.now)
    finish(network, seeker, search)
    assert set(found(seeker, search)) == {key(honest)}


def test_a_sybil_neighbourhood_hides_no_earlier_peer() -> None:
    """Twenty nodes that are nearer to the topic than all others name only each other, and know no peer."""
    network = hyper_network(30)
    honest = announced(network)
    sybils = near(TOPIC, 20)
    assert distance(node_id(sybils[-1]), TOPIC) < min(
        distance(node_id(member.address), TOPIC) for member in network.members
    )
    for address in sybils:

        def answer(request: RpcRequest, source: SocketAddress, ours: SocketAddress = address) -> list[Any]:
            said = response(request, ours, source, closer_nodes=tuple(sybils), token=b"t" * 32)
            return [(source, encode_response(said))]

        intrude(network, address, answer)
    network.network.run_for(1)
    finding = 0
    for seeker in network.members[10:20]:
        search = seeker.machine.lookup(TOPIC, network.now)
        finish(network, seeker, search)
        finding += key(honest) in found(seeker, search)
    assert finding == 10


def test_a_replayed_handshake_gets_the_same_answer_and_later_a_useless_one() -> None:
    node = Played()
    _, message = client()
    (incoming,) = node.bring(RelayedHandshake(RelayMode.FROM_RELAY, message, CLIENT))
    accepted = node.accept(incoming)
    ((_, first),) = node.sent()
    stranger: SocketAddress = ("10.6.6.6", 6)
    assert not node.bring(RelayedHandshake(RelayMode.FROM_RELAY, message, stranger), stranger)
    ((to, again),) = node.sent()
    assert to == stranger
    assert answer(again).noise == answer(first).noise
    node.now += 100
    node.machine.handle_deadline(node.now)
    node.sent()
    (late,) = node.bring(RelayedHandshake(RelayMode.FROM_RELAY, message, CLIENT), RELAY)
    other = node.accept(late)
    ((_, second),) = node.sent()
    assert answer(second).noise != answer(first).noise
    assert accepted is not None
    assert other is not None
    assert other.keys.sending_key != accepted.keys.sending_key


def test_a_relay_that_lies_about_the_address_of_a_client() -> None:
    """The server sends nothing to the address that a relay names for the client. It answers the relay."""
    node = Played()
    _, message = client()
    (incoming,) = node.bring(RelayedHandshake(RelayMode.FROM_RELAY, message, (VICTIM, 1)))
    accepted = node.accept(incoming)
    assert accepted is not None
    assert accepted.address is None
    assert [to for to, _ in node.sent()] == [RELAY]


def test_a_relay_that_lies_about_the_address_of_a_server() -> None:
    """The dialling node sends nothing to the address that a relay names. Only the stream will."""
    network = hyper_network(8)
    alice, bob = network.members[2], network.members[5]
    listen_alone(network, bob)
    target = key_hash(key(bob))
    counted = to_host(network, VICTIM)
    (address,) = near(target, 1)
    waiting: dict[int, tuple[RpcRequest, SocketAddress]] = {}

    def lie(request: RpcRequest, source: SocketAddress) -> list[Any]:
        if request.command != HyperDhtCommand.PEER_HANDSHAKE:
            record = Peer(key(bob)).encode()
            return [(source, encode_response(response(request, address, source, value=record)))]
        message = decode_handshake_untrusted(request.value or b"")
        if message.mode == RelayMode.FROM_CLIENT:  # passed on to the server, which answers
            waiting[request.tid] = request, source
            value = RelayedHandshake(RelayMode.FROM_RELAY, message.noise, source).encode()
            passed_on = RpcRequest(request.tid, bob.address, request.command, target=target, value=value)
            return [(bob.address, encode_request(passed_on))]
        asked, client = waiting[request.tid]
        value = RelayedHandshake(RelayMode.REPLY, message.noise, (VICTIM, 1)).encode()
        return [(client, encode_response(response(asked, address, client, value=value)))]

    intrude(network, address, lie)
    network.network.run_for(1)
    dial = alice.machine.dial(key(bob), 1, network.now, relays=[address])
    network.until(lambda: bool(bob.of_type(ConnectionRequested)))
    bob.machine.accept(bob.of_type(ConnectionRequested)[0].incoming, 2, network.now)
    network.until(lambda: bool(alice.of_type(Dialled)))
    assert alice.of_type(Dialled)[0].dial is dial
    network.network.run_for(30)
    assert not counted


def test_a_value_too_large_for_every_path_is_not_kept() -> None:
    """Otherwise an attacker could ask for it in the name of a victim, and turn 50 bytes into 64 KiB."""
    network = hyper_network(2)
    keeper = network.members[0].machine
    source: SocketAddress = ("10.7.7.7", 7)

    def asked(**fields: Any) -> list[Any]:
        request = encode_request(RpcRequest(1, network.members[0].address, **fields))
        keeper.receive_datagrams(request, len(request), source, network.now)
        return [decode_untrusted(buffers[0]) for _, buffers, _ in keeper.datagrams_to_send(network.now)]

    for size, taken in ((1000, True), (60_000, False)):
        value = bytes(size)
        target = key_hash(value)
        (answered,) = asked(command=HyperDhtCommand.IMMUTABLE_GET, target=target)
        dropped = keeper.node.dropped
        asked(command=HyperDhtCommand.IMMUTABLE_PUT, target=target, token=answered.token, value=value)
        (answered,) = asked(command=HyperDhtCommand.IMMUTABLE_GET, target=target)
        assert answered.value == (value if taken else None)
        assert keeper.node.dropped == dropped + (not taken)


HEAD = 10  # bytes that every answer has
NODES_NAMED = 1 + 20 * 6


def test_an_unverified_source_gets_no_more_than_the_reference_sends() -> None:
    """Each request gets one answer, to the host named as its source, no larger than that of the reference."""
    network = hyper_network(30)
    node = announced(network).machine
    value = bytes(range(200))
    put = RpcRequest(1, US, HyperDhtCommand.IMMUTABLE_PUT, False, None, None, key_hash(value), value)
    assert not answers(node, put, network.now), "a value without a token is stored"
    sizes: dict[str, int] = {}
    for internal, commands in ((True, RpcCommand), (False, HyperDhtCommand)):
        for command in (*commands, 200):
            for content in (None, bytes(4), b"\1\0" + bytes(200)):
                request = RpcRequest(1, US, command, internal, None, None, TOPIC, content)
                sent = answers(node, request, network.now)
                assert len(sent) <= 1
                for to, datagram in sent:
                    assert to[0] == VICTIM
                    sizes[f"{command}"] = max(sizes.get(f"{command}", 0), len(datagram))
    assert len(sizes) > 5
    # The head, the id and the token; the closer nodes; one peer record with three relays.
    assert max(sizes.values()) <= HEAD + 32 + 32 + NODES_NAMED + 3 + 33 + 3 * 6


US = ("10.0.0.4", PORT)


def answers(machine: Any, request: RpcRequest, now: float) -> list[tuple[SocketAddress, bytes]]:
    """Send a node a request in the name of a victim. Return the datagrams that it sends in response."""
    machine.datagrams_to_send(now)
    machine.receive_datagrams(encode_request(request), 1500, (VICTIM, 7), now)
    return [
        (to, datagram)
        for to, (datagram,), _ in machine.datagrams_to_send(now)
        if isinstance(decode_untrusted(datagram), RpcResponse)
    ]
