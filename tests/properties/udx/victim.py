"""A stream under attack: it must stay in order, and go on to work."""

from __future__ import annotations

from typing import Any

import attrs

from peersockets_core.udx import (
    DataReceived,
    Endpoint,
    Stream,
    StreamClosed,
    UdxLimits,
)
from properties.udx.packets import (
    DATA,
    Packet,
    decode,
)

OURS, THEIRS = 11, 22
REMOTE = ("10.0.0.2", 1000)
STRANGER = ("6.6.6.6", 6)
MODULUS = 1 << 32
LIMITS = UdxLimits(window=64 * 1024, window_excess=4 * 1024, reordered_packets=128, early_bytes=4 * 1024)


@attrs.define(eq=False)
class Victim:
    """A stream of ours whose remote is played by the test."""

    endpoint: Endpoint
    stream: Stream
    now: float = 1000.0
    events: list[Any] = attrs.field(factory=list)

    def hear(self, *packets: Packet, source: tuple[str, int] = REMOTE) -> list[Any]:
        """Receive packets, one per read. Return the events."""
        events: list[Any] = []
        for packet in packets:
            events += self.hear_raw(packet.encode(), source=source)
        return events

    def hear_raw(self, data: bytes, size: int = 0, *, source: tuple[str, int] = REMOTE) -> list[Any]:
        events = list(self.endpoint.receive_datagrams(data, size or len(data), source, self.now))
        self.events += events
        return events

    def say(self) -> list[Packet]:
        """Return the datagrams that we send now. All of them go to the remote."""
        packets = []
        for destination, buffers, size in self.endpoint.datagrams_to_send(self.now):
            assert destination == REMOTE
            data = b"".join(buffers)
            packets += [decode(data[start : start + size]) for start in range(0, len(data), size)]
        return packets

    def wait(self, seconds: float) -> list[Packet]:
        """Let time pass. Return the datagrams that we send in that time."""
        until, packets = self.now + seconds, self.say()
        while self.endpoint.next_deadline() <= until:
            self.now = max(self.now, self.endpoint.next_deadline())
            self.events += self.endpoint.handle_deadline(self.now)
            packets += self.say()
        self.now = until
        return packets

    @property
    def received(self) -> bytes:
        return b"".join(bytes(event.data) for event in self.events if isinstance(event, DataReceived))

    @property
    def closed(self) -> bool:
        return any(isinstance(event, StreamClosed) for event in self.events)


def make_victim(*, first: int = 0) -> Victim:
    """Return a connected stream. Both sides begin to count at `first`."""
    endpoint = Endpoint(limits=LIMITS, now=1000.0)
    stream = endpoint.open_stream(OURS, 1000.0)
    stream.connect(THEIRS, REMOTE, 1000.0, remote_seq=first, local_seq=first)
    return Victim(endpoint, stream)


def data(seq: int, payload: bytes, **fields: int) -> Packet:
    return Packet(OURS, fields.pop("flags", DATA), seq=seq, body=payload, **fields)


def works(victim: Victim, *, received: int = 0, sent: int = 0) -> None:
    """Check that the stream still passes bytes both ways, after this many received and acknowledged
    packets.
    """
    victim.events.clear()
    victim.hear(data(received, b"hello", ack=sent))
    assert victim.received == b"hello"
    victim.stream.write(b"there")
    [packet] = [packet for packet in victim.say() if packet.flags & DATA]
    assert (packet.to, packet.seq, packet.ack, packet.payload) == (THEIRS, sent, received + 1, b"there")
    victim.hear(Packet(OURS, seq=received + 1, ack=sent + 1))
    assert victim.stream.unacknowledged == 0
    assert not [packet for packet in victim.wait(10) if packet.flags & DATA], "it was acknowledged"
    assert not victim.closed
