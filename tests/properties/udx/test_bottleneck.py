"""Sharing a bottleneck: fully, without a long queue, and fairly."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest

from peersockets_core.udx import DataReceived, Endpoint, Stream, UdxLimits, WritableAgain
from simulation import Link, Network
from simulation.tcp import TcpReceiver, TcpSender

DELAY = 0.02
"""Seconds in one direction: a round trip takes 40 ms."""

_CHUNK = hashlib.shake_128(b"chunk").digest(64 * 1024)


class LateEndpoint(Endpoint):
    """An endpoint in a process that waits for the processor, so that its timers are late."""

    LATENESS = 0.02

    def next_deadline(self) -> float:
        return super().next_deadline() + self.LATENESS


class Download:
    """A stream that sends without end over a shared line."""

    def __init__(
        self,
        network: Network,
        line: Link,
        *,
        number: int = 0,
        line_back: Link | None = None,
        kind: type[Endpoint] = Endpoint,
        read_delay: float = 0.0,
    ) -> None:
        self.received = 0
        self.endpoint = kind(limits=UdxLimits(), now=network.now)
        receiver = Endpoint(limits=UdxLimits(), now=network.now)
        here, there = (f"10.0.0.{number}", 1000), (f"10.1.0.{number}", 1000)
        back = line_back or Link(delay=DELAY)
        network.add_site(up=line, down=back).add_host(
            here, self.endpoint, on_event=self._see_sender, read_delay=read_delay
        )
        network.add_site().add_host(there, receiver, on_event=self._see_receiver)
        self.stream = self.endpoint.open_stream(1, network.now)
        self.far: Stream = receiver.open_stream(2, network.now)
        self.far.connect(1, here, network.now)
        self.stream.connect(2, there, network.now)
        self._feed()

    def _feed(self) -> None:
        while self.stream.writable:
            self.stream.write(_CHUNK)

    def _see_sender(self, event: object) -> None:
        assert isinstance(event, WritableAgain), event
        self._feed()

    def _see_receiver(self, event: object) -> None:
        assert isinstance(event, DataReceived), event
        self.received += len(event.data)
        self.far.consume(len(event.data))


def bottleneck(bandwidth: float, *, loss: float = 0.0, queue_time: float = 2 * DELAY) -> Link:
    """Return a line whose queue holds the data of this many seconds; by default those of one round trip."""
    return Link(delay=DELAY, bandwidth=bandwidth, queue=bandwidth / 8 * queue_time, loss=loss)


def goodput(downloads: Sequence[Download], network: Network, seconds: float) -> list[float]:
    """Return the bits per second of each download, over the next seconds."""
    before = [download.received for download in downloads]
    network.run_for(seconds)
    return [(each.received - was) * 8 / seconds for each, was in zip(downloads, before, strict=True)]


def jain(rates: Sequence[float]) -> float:
    """Return Jain's index of fairness: 1 if all are equal, 1/n if one has everything."""
    return sum(rates) ** 2 / (len(rates) * sum(rate**2 for rate in rates))


def test_one_stream_fills_the_line() -> None:
    network, line = Network(seed=1), bottleneck(50e6)
    [rate] = goodput([Download(network, line)], network, 4.0)
    assert rate >= 0.9 * 50e6


def test_a_busy_system_fills_it_almost_as_well() -> None:
    network, line = Network(seed=1), bottleneck(50e6)
    late = Download(network, line, kind=LateEndpoint, read_delay=LateEndpoint.LATENESS)
    [rate] = goodput([late], network, 4.0)
    assert rate >= 0.8 * 50e6


@pytest.mark.parametrize("seed", [1, 2])
def test_random_loss_costs_no_more_than_two_fifths(seed: int) -> None:
    network, line = Network(seed=seed), bottleneck(50e6, loss=0.01)
    [rate] = goodput([Download(network, line)], network, 4.0)
    assert rate >= 0.6 * 50e6


def test_noise_leaves_no_gaps_on_the_line() -> None:
    """Random losses lower the measured bandwidth, but not the rate at which packets leave."""
    bandwidth, delay, loss = 50e6, 0.01, 0.05
    network, queue = Network(seed=1), bandwidth / 8 * 0.04
    line, back = (Link(delay=delay, bandwidth=bandwidth, queue=queue, loss=loss) for _ in range(2))
    download = Download(network, line, line_back=back)
    network.run_for(0.5)
    line.longest_wait, before = 0.0, line.delivered_bytes
    network.run_for(2.5)
    assert (line.delivered_bytes - before) * 8 / 2.5 / (1 - loss) >= 0.985 * bandwidth
    assert line.longest_wait < 1.5 * delay
    assert download.received


def test_the_queue_stays_short() -> None:
    network, line = Network(seed=1), bottleneck(10e6, queue_time=1.0)
    download = Download(network, line)
    goodput([download], network, 3.0)
    line.longest_wait = 0.0
    [rate] = goodput([download], network, 5.0)
    assert rate >= 0.9 * 10e6
    assert line.longest_wait < 2.5 * 2 * DELAY


def test_a_small_queue_is_not_flooded() -> None:
    network, line = Network(seed=1), bottleneck(20e6, queue_time=0.01)
    download = Download(network, line)
    [rate] = goodput([download], network, 6.0)
    assert rate >= 0.7 * 20e6
    assert line.counts["queue full"] < 0.2 * line.counts["offered"]


@pytest.mark.slow
def test_two_streams_share_it() -> None:
    network, line = Network(seed=1), bottleneck(10e6)
    first = Download(network, line, number=1)
    network.run_for(2.0)
    second = Download(network, line, number=2)
    network.run_for(12.0)  # the later one needs to see the path empty, which happens every ten seconds
    rates = goodput([first, second], network, 10.0)
    assert sum(rates) >= 0.85 * 10e6
    assert jain(rates) >= 0.9


@pytest.mark.slow
def test_neither_this_nor_a_cubic_tcp_starves() -> None:
    network, line = Network(seed=1), bottleneck(10e6, queue_time=0.08)
    receiver = network.add_site().add_host("10.2.0.1", TcpReceiver())
    sender = TcpSender(receiver.address)
    network.add_site(up=line, down=Link(delay=DELAY)).add_host("10.2.0.2", sender)
    download = Download(network, line)
    network.run_for(5.0)
    before = sender.acked
    [ours] = goodput([download], network, 20.0)
    theirs = (sender.acked - before) * 1500 * 8 / 20.0
    assert ours + theirs >= 0.85 * 10e6
    assert 0.2 <= ours / theirs <= 5


def test_a_narrow_line_is_enough() -> None:
    network, line = Network(seed=1), bottleneck(100e3, queue_time=1.0)
    [rate] = goodput([Download(network, line)], network, 60.0)
    assert rate >= 0.8 * 100e3
