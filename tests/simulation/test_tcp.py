from __future__ import annotations

from simulation import Link, Network
from simulation.tcp import PACKET, TcpReceiver, TcpSender

SECONDS = 20.0


def download(line: Link, count: int = 1) -> list[TcpSender]:
    """Let senders share a line for some time."""
    network = Network(seed=1)
    home = network.add_site(up=line, down=Link(delay=line.delay))
    senders = []
    for number in range(count):
        receiver = network.add_site().add_host(f"10.1.0.{number}", TcpReceiver())
        senders.append(TcpSender(receiver.address))
        home.add_host(f"10.0.0.{number}", senders[-1])
    network.run_for(SECONDS)
    return senders


def rate(sender: TcpSender) -> float:
    return sender.acked * (PACKET + 28) * 8 / SECONDS


def test_one_stream_fills_a_bottleneck() -> None:
    [sender] = download(Link(bandwidth=10e6, delay=0.02, queue=50_000))
    assert rate(sender) >= 0.9 * 10e6


def test_two_streams_share_it() -> None:
    first, second = map(rate, download(Link(bandwidth=10e6, delay=0.02, queue=50_000), 2))
    assert (first + second) ** 2 / (2 * (first**2 + second**2)) >= 0.9


def test_random_loss_slows_it_down() -> None:
    [clean], [lossy] = (
        download(Link(bandwidth=10e6, delay=0.02)),
        download(Link(bandwidth=10e6, delay=0.02, loss=0.02)),
    )
    assert rate(lossy) < 0.7 * rate(clean)


def test_a_line_that_was_dead_for_a_while_is_used_again() -> None:
    network, line = Network(seed=1), Link(bandwidth=10e6, delay=0.02)
    receiver = network.add_site().add_host("10.1.0.1", TcpReceiver())
    sender = TcpSender(receiver.address)
    network.add_site(up=line).add_host("10.0.0.1", sender)
    network.run_for(1)
    line.loss = 1.0
    network.run_for(5)
    line.loss, before = 0.0, sender.acked
    network.run_until(lambda: sender.acked > before + 1000, within=SECONDS)


def test_every_packet_is_counted_once() -> None:
    network = Network(seed=1)
    machine = TcpReceiver()
    receiver = network.add_site().add_host("10.1.0.1", machine)
    sender = TcpSender(receiver.address)
    network.add_site(up=Link(delay=0.02, bandwidth=1e6)).add_host("10.0.0.1", sender)
    network.run_for(5)
    assert 0 < sender.acked <= machine.received
