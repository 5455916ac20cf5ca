from __future__ import annotations

from simulation import Network, PortMapping
from simulation.support import Recorder

SERVER = ("1.1.1.1", 1000)


def behind(network: Network, gateway: PortMapping, *hosts: str) -> list[Recorder]:
    site = network.add_site(gateway=gateway)
    machines = [Recorder() for _ in hosts]
    for host, machine in zip(hosts, machines, strict=True):
        site.add_host(host, machine)
    return machines


def sources(server: Recorder) -> list[tuple[str, int]]:
    return [source for _, source, _, _ in server.runs]


def test_a_mapping_is_the_same_for_every_destination_and_works_backwards() -> None:
    network, server, other = Network(), Recorder(), Recorder()
    network.add_site().add_host(SERVER, server)
    network.add_site().add_host("1.1.1.2", other)
    [alice, bob] = behind(network, PortMapping("2.2.2.2"), "10.0.0.1", "10.0.0.2")
    alice.post(SERVER, b"a")
    alice.post(("1.1.1.2", 1000), b"a")
    network.run_until_idle(within=1)
    bob.post(SERVER, b"b")
    network.run_until_idle(within=1)
    assert sources(server) == [("2.2.2.2", 40_000), ("2.2.2.2", 40_001)]
    assert sources(other) == [("2.2.2.2", 40_000)]
    other.post(("2.2.2.2", 40_001), b"back")
    network.run_until_idle(within=1)
    assert bob.received == [b"back"]


def test_a_filter_lets_in_only_remotes_that_were_written_to() -> None:
    network, server, stranger = Network(), Recorder(), Recorder()
    network.add_site().add_host(SERVER, server)
    network.add_site().add_host("1.1.1.2", stranger)
    [alice] = behind(network, PortMapping("2.2.2.2", filtered=True), "10.0.0.1")
    alice.post(SERVER, b"a")
    network.run_until_idle(within=1)
    server.post(("2.2.2.2", 40_000), b"answer")
    stranger.post(("2.2.2.2", 40_000), b"intrusion")
    stranger.post(("2.2.2.2", 40_009), b"to no mapping")
    network.run_until_idle(within=1)
    assert alice.received == [b"answer"]
    assert network.unroutable == 2


def test_neighbours_reach_each_other_by_their_private_addresses() -> None:
    network = Network()
    [alice, bob] = behind(network, PortMapping("2.2.2.2"), "10.0.0.1", "10.0.0.2")
    alice.post(("10.0.0.2", 1000), b"hello")
    network.run_until_idle(within=1)
    assert sources(bob) == [("10.0.0.1", 1000)]


def test_the_same_private_address_exists_on_every_site() -> None:
    network, server = Network(), Recorder()
    network.add_site().add_host(SERVER, server)
    [alice] = behind(network, PortMapping("2.2.2.2"), "10.0.0.1")
    [bob] = behind(network, PortMapping("3.3.3.3"), "10.0.0.1")
    alice.post(SERVER, b"a")
    bob.post(SERVER, b"b")
    network.run_until_idle(within=1)
    assert sources(server) == [("2.2.2.2", 40_000), ("3.3.3.3", 40_000)]


def test_rebinding_gives_a_new_source_and_closes_the_old_port() -> None:
    network, server, gateway = Network(), Recorder(), PortMapping("2.2.2.2")
    network.add_site().add_host(SERVER, server)
    [alice] = behind(network, gateway, "10.0.0.1")
    alice.post(SERVER, b"before")
    network.run_until_idle(within=1)
    gateway.rebind()
    alice.post(SERVER, b"after")
    server.post(("2.2.2.2", 40_000), b"to the old port")
    network.run_until_idle(within=1)
    assert sources(server) == [("2.2.2.2", 40_000), ("2.2.2.2", 40_001)]
    assert alice.received == []


def test_a_gateway_may_drop_outgoing_datagrams() -> None:
    class Closed(PortMapping):
        def outbound(self, source: object, destination: object, now: float) -> None:
            return None

    network, server = Network(), Recorder()
    network.add_site().add_host(SERVER, server)
    [alice] = behind(network, Closed("2.2.2.2"), "10.0.0.1")
    alice.post(SERVER, b"a")
    network.run_until_idle(within=1)
    assert server.runs == []
    assert network.unroutable == 1
