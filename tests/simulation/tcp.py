"""A CUBIC TCP that sends without end: a competitor for a bottleneck, like a download in the same house.

Its congestion control is that of RFC 9438, without HyStart. The rest is as simple as fairness allows: every
packet is acknowledged by its number, a packet counts as lost after three later ones have arrived, and a
timeout starts again with one packet.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import attrs

from simulation.pattern import Address, Buffer

PACKET = 1472
"""The UDP payload of a packet, in bytes."""

_HEAD = struct.Struct(">cQ")
_BETA, _C = 0.7, 0.4


@attrs.define(eq=False)
class Cubic:
    """The congestion window, in packets."""

    window: float = 10.0
    threshold: float = float("inf")
    _highest: float = 0.0
    _epoch: float | None = None
    _friendly: float = 0.0

    def acked(self, now: float, rtt: float) -> None:
        """Grow the window: one packet has arrived."""
        if self.window < self.threshold:
            self.window += 1
            return
        if self._epoch is None:
            self._epoch, self._friendly = now, self.window
            self._highest = max(self._highest, self.window)
        inflection = ((self._highest * (1 - _BETA)) / _C) ** (1 / 3)
        target = _C * (now - self._epoch + rtt - inflection) ** 3 + self._highest
        self._friendly += 3 * (1 - _BETA) / (1 + _BETA) / self.window
        target = min(max(target, self._friendly), 1.5 * self.window)
        self.window += max(0.0, target - self.window) / self.window

    def lost(self) -> None:
        """Shrink the window: a round has lost packets."""
        converges = self.window < self._highest
        self._highest = self.window * (1 + _BETA) / 2 if converges else self.window
        self.window = self.threshold = max(2.0, self.window * _BETA)
        self._epoch = None

    def timed_out(self) -> None:
        """Start again: nothing has arrived for a long time."""
        self.lost()
        self.window = 1.0


@attrs.define(eq=False)
class TcpSender:
    """A machine that sends to a `TcpReceiver` while the network exists."""

    destination: Address
    cubic: Cubic = attrs.field(factory=Cubic)
    acked: int = 0
    """Packets that have arrived."""
    _next: int = 0
    _under_way: dict[int, float] = attrs.field(factory=dict)
    """The sending time of each packet, in order. A retransmission is a packet with a new number."""
    _recover: int = 0
    _srtt: float = 0.0
    _variance: float = 0.0
    _deadline: float = float("inf")

    def receive_datagrams(
        self, buffer: Buffer, segment_size: int, source: Address, now: float
    ) -> Iterable[object]:
        """Take acknowledgements."""
        for _, number in _HEAD.iter_unpack(buffer):
            sent = self._under_way.pop(number, None)
            if sent is not None:
                self.acked += 1
                self._measure(now - sent)
                self.cubic.acked(now, self._srtt)
                self._find_lost(number)
                self._deadline = now + self._timeout
        return ()

    def datagrams_to_send(self, now: float) -> Iterator[tuple[Address, list[bytes], int]]:
        """Fill the window."""
        while len(self._under_way) < int(self.cubic.window):
            self._under_way[self._next] = now
            self._deadline = min(self._deadline, now + self._timeout)
            yield self.destination, [_HEAD.pack(b"D", self._next).ljust(PACKET, b"\0")], PACKET
            self._next += 1

    def next_deadline(self) -> float:
        """Return the time of the timeout."""
        return self._deadline

    def handle_deadline(self, now: float) -> Iterable[object]:
        """Count everything in flight as lost."""
        if now >= self._deadline:
            self._under_way.clear()
            self.cubic.timed_out()
            self._recover = self._next
            self._deadline = float("inf")
        return ()

    @property
    def _timeout(self) -> float:
        return max(0.2, self._srtt + 4 * self._variance) if self._srtt else 1.0

    def _measure(self, rtt: float) -> None:
        if not self._srtt:
            self._srtt, self._variance = rtt, rtt / 2
        self._variance += (abs(rtt - self._srtt) - self._variance) / 4
        self._srtt += (rtt - self._srtt) / 8

    def _find_lost(self, arrived: int) -> None:
        lost = []
        for number in self._under_way:
            if number > arrived - 3:
                break
            lost.append(number)
        for number in lost:
            del self._under_way[number]
        if lost and lost[-1] >= self._recover:
            self.cubic.lost()
            self._recover = self._next


@attrs.define(eq=False)
class TcpReceiver:
    """A machine that acknowledges every packet."""

    received: int = 0
    _acks: list[tuple[Address, bytes]] = attrs.field(factory=list)

    def receive_datagrams(
        self, buffer: Buffer, segment_size: int, source: Address, now: float
    ) -> Iterable[object]:
        """Take packets."""
        data = bytes(buffer)
        for start in range(0, len(data), segment_size):
            _, number = _HEAD.unpack_from(data, start)
            self.received += 1
            self._acks.append((source, _HEAD.pack(b"A", number)))
        return ()

    def datagrams_to_send(self, now: float) -> Iterator[tuple[Address, list[bytes], int]]:
        """Acknowledge."""
        acks, self._acks = self._acks, []
        yield from ((destination, [ack], len(ack)) for destination, ack in acks)

    def next_deadline(self) -> float:
        """Return infinity: there is no deadline."""
        return float("inf")

    def handle_deadline(self, now: float) -> Iterable[object]:
        """Do nothing, since nothing is ever due."""
        return ()
