"""`Noise`: measures the share of packets that a path loses although no queue overflows."""

from __future__ import annotations

import math
from typing import Final

from .delivery import Sample

LEAST_RTT: Final = 0.001
"""The shortest round trip that counts. Event loops and timers are late by about this much, so they cannot use
a faster path."""

_MEMORY: Final = 7 / 8
"""The weight of a round's losses in the next round."""
_MOST: Final = 0.1
"""The largest share of losses that is made up for: beyond it, the path is not noisy but broken."""
_SHORT_QUEUE: Final = 1.05
"""The round trip with a short queue, relative to the shortest one, beside the lateness of event loops."""


class Noise:
    """The losses of recent rounds that no queue can have caused."""

    __slots__ = ("_acked", "_lost", "_rtt", "_short_queue")

    def __init__(self) -> None:
        self._acked = self._lost = 0.0
        self._rtt = math.inf  # the shortest of this round
        self._short_queue = False  # whether there was hardly a queue at some time of the last round

    def add(self, sample: Sample, minimum_rtt: float, *, round_started: bool, steady: bool) -> None:
        """Take in a measurement. Its losses count if the rate is `steady`, and not above the bandwidth."""
        if round_started:
            self._short_queue = self._rtt <= _SHORT_QUEUE * minimum_rtt + LEAST_RTT
            self._rtt = math.inf
            self._acked *= _MEMORY
            self._lost *= _MEMORY
        if sample.rtt >= 0:
            self._rtt = min(self._rtt, sample.rtt)
        if steady and self._short_queue:
            self._acked += sample.acked
            self._lost += sample.lost

    @property
    def arriving(self) -> float:
        """The share of sent bytes that arrive.

        A controller measures the bandwidth of arriving bytes. To fill a path that loses some bytes, it must
        send more than that. If there is a queue, it already sends too much, and makes up for nothing.
        """
        if not self._short_queue or not self._lost:
            return 1.0
        return max(self._acked / (self._acked + self._lost), 1 - _MOST)
