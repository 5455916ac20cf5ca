"""One direction of a line."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from random import Random

import attrs

from simulation.pattern import Datagram


@attrs.define(eq=False, kw_only=True)
class Link:
    """Decides when a datagram arrives, how often, and how damaged.

    Chances are between 0 and 1, and times are seconds. Every condition can change during a run. A change
    applies to the datagrams that enter the link from then on.
    """

    delay: float = 0.0
    jitter: float = 0.0
    """The maximum that is added to the delay of a datagram. Jitter alone reorders nothing."""
    loss: float = 0.0
    burst: float = 1.0
    """The mean number of datagrams lost in a row. With 1, each is lost by itself."""
    reorder: float = 0.0
    """The chance that a datagram is held back by `reorder_delay`, so that others overtake it."""
    reorder_delay: float = 0.01
    duplicate: float = 0.0
    corrupt: float = 0.0
    """The chance that one bit of a datagram flips, as on UDP without checksums."""
    bandwidth: float = math.inf
    """Bits per second, with IP and UDP headers."""
    queue: float = math.inf
    """The most bytes that wait for the line. A datagram that finds no room is dropped."""
    mtu: float = math.inf
    """The size of the largest IP packet. Larger ones vanish without an answer, as in a black hole. If they
    may be fragmented, they are lost if any fragment is.
    """

    counts: Counter[str] = attrs.field(factory=Counter)
    """Numbers of datagrams: `offered`, `delivered`, and one for each cause of damage."""
    delivered_bytes: int = 0
    """Bytes of IP packets that came through."""
    longest_wait: float = 0.0
    """The longest time that a datagram waited in the queue."""

    _free_at: float = 0.0
    _last_arrival: float = 0.0
    _in_burst: bool = False

    def transmit(self, datagram: Datagram, now: float, random: Random) -> Iterator[tuple[float, Datagram]]:
        """Return when and how the datagram arrives: never, once or twice."""
        self.counts["offered"] += 1
        fragments = 1 if datagram.size <= self.mtu else math.ceil(datagram.size / self.mtu)
        if fragments > 1 and not datagram.may_fragment:
            self.counts["too large"] += 1
            return
        left = self._leave_queue(datagram, now)
        if left is None:
            self.counts["queue full"] += 1
            return
        if any(self._loses(random) for _ in range(fragments)):
            self.counts["lost"] += 1
            return
        if random.random() < self.corrupt:
            self.counts["corrupted"] += 1
            datagram = _flip(datagram, random)
        yield self._arrival(left, random), self._deliver(datagram)
        if random.random() < self.duplicate:
            self.counts["duplicated"] += 1
            yield self._arrival(left, random), self._deliver(datagram)

    def waiting(self, now: float) -> float:
        """Return the bytes in the queue."""
        return max(0.0, self._free_at - now) * self.bandwidth / 8 if math.isfinite(self.bandwidth) else 0.0

    def _leave_queue(self, datagram: Datagram, now: float) -> float | None:
        if math.isinf(self.bandwidth):
            return now
        if self.waiting(now) + datagram.size > self.queue:
            return None
        self.longest_wait = max(self.longest_wait, self._free_at - now)
        self._free_at = max(now, self._free_at) + datagram.size * 8 / self.bandwidth
        return self._free_at

    def _loses(self, random: Random) -> bool:
        # Gilbert's model: every datagram is lost in the bad state, and none in the good one.
        if self.burst <= 1 or self.loss >= 1:
            return random.random() < self.loss
        leave = 1 / self.burst
        enter = leave * self.loss / (1 - self.loss)
        self._in_burst = random.random() < (1 - leave if self._in_burst else enter)
        return self._in_burst

    def _arrival(self, left: float, random: Random) -> float:
        arrival = left + self.delay + random.random() * self.jitter
        if random.random() < self.reorder:
            self.counts["reordered"] += 1
            return arrival + self.reorder_delay
        self._last_arrival = max(arrival, self._last_arrival)
        return self._last_arrival

    def _deliver(self, datagram: Datagram) -> Datagram:
        self.counts["delivered"] += 1
        self.delivered_bytes += datagram.size
        return datagram


FAST = Link()
"""A line without any condition, for hosts that share none."""


def _flip(datagram: Datagram, random: Random) -> Datagram:
    if not datagram.payload:
        return datagram
    payload = bytearray(datagram.payload)
    payload[random.randrange(len(payload))] ^= 1 << random.randrange(8)
    return attrs.evolve(datagram, payload=bytes(payload))
