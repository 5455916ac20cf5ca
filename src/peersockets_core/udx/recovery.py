"""`LossRecovery`: decides which packets are lost (RACK and tail-loss probes, RFC 8985).

A packet counts as lost if a packet that was sent later has arrived, and a little time has passed since, in
case the packets were only reordered. If nothing arrives at all, a probe makes the receiver reply; in the end,
a timeout declares everything lost. The clamps are those of libudx a9af5de.
"""

from __future__ import annotations

import enum
import math
from typing import Final

from .flight import Fate, Flight, Run
from .rtt import RoundTrip

_SACKS_FOR_LOSS: Final = 3
_SPURIOUS: Final = 0.5  # of the shortest round trip; a packet that is acknowledged sooner was not lost
_MOST_STEPS: Final = 16
_PERSISTENCE: Final = 16  # the number of recoveries that a widened window lasts (RFC 8985, 6.2.4)
_TAIL_DELAY: Final = 0.002  # UDX_TLP_MAX_ACK_DELAY, for a lone packet
_TAIL_INITIAL: Final = 1.0
_TAIL_LEAST: Final = 0.005  # a busy event loop does not answer any sooner


class Phase(enum.Enum):
    """Whether losses are being repaired."""

    OPEN = "open"
    RECOVERY = "recovery"
    LOSS = "loss"
    """Losses are being repaired after a timeout."""


class LossRecovery:
    """The state of one stream's loss detection."""

    __slots__ = (
        "_end",
        "_fack",
        "_latest_rtt",
        "_persistence",
        "_reordered",
        "_sacked",
        "_steps",
        "_time",
        "phase",
        "point",
        "probed",
    )

    def __init__(self, first: int) -> None:
        self.phase = Phase.OPEN
        self.point = first
        """The phase ends when every packet below this number is acknowledged."""
        self.probed = False
        """Whether a tail-loss probe was sent since the last acknowledgement."""
        # The packet that was sent last among those that have arrived: its time, and the number after it.
        self._time = -math.inf
        self._end = first
        self._latest_rtt = 0.0
        self._fack = first  # the number after the highest one that has arrived
        self._sacked = 0  # packets that have arrived ahead of a missing one
        self._reordered = False
        self._steps = 1  # the reordering window, in quarters of the shortest round trip
        self._persistence = 0

    def acknowledged(self, runs: list[Run], rtt: RoundTrip, now: float) -> None:
        """Take in packets that have arrived."""
        self.probed = False
        for run in runs:
            elapsed = now - run.time
            if run.retransmitted:
                if (
                    elapsed < rtt.minimum * _SPURIOUS
                ):  # too soon for the second copy: the first one was only overtaken
                    self._reordering()
                    continue
                if elapsed < rtt.minimum:
                    continue
            elif run.end < self._fack:
                self._reordered = True
            if (run.time, run.end) > (self._time, self._end):
                self._time, self._end, self._latest_rtt = run.time, run.end, rtt.clamp(elapsed)
            self._fack = max(self._fack, run.end)

    def _reordering(self) -> None:
        self._reordered = True
        self._steps = min(self._steps + 1, _MOST_STEPS)
        self._persistence = _PERSISTENCE

    def sacked(self, count: int) -> None:
        """Note that `count` packets have arrived ahead of the missing one."""
        self._sacked += count

    def advance(self, una: int) -> bool:
        """Note that every packet below `una` has arrived; returns whether that ends a recovery."""
        if self._fack <= una:
            self._sacked = 0
        if self.phase is Phase.OPEN or una < self.point:
            return False
        self.phase = Phase.OPEN
        if self._persistence:
            self._persistence -= 1
            if not self._persistence:
                self._steps = 1
        return True

    def may_have_losses(self, una: int) -> bool:
        """Return whether a packet may be missing that was sent before one that has arrived."""
        return self._fack > una or self.phase is not Phase.OPEN

    def detect(self, flight: Flight, rtt: RoundTrip, now: float) -> tuple[list[Run], float]:
        """Return the lost runs, and the time at which to look again; infinity if there is no reason to."""
        patience = self._latest_rtt + self.reordering_window(rtt)
        lost, again = [], math.inf
        newest, end = self._time, self._end
        for run in flight.runs:
            if run.fate is not Fate.SENT or run.time > newest or (run.time == newest and run.end > end):
                continue
            if run.time + patience <= now:
                lost.append(run)
            else:
                again = min(again, run.time + patience)
        return lost, again

    def reordering_window(self, rtt: RoundTrip) -> float:
        if not self._reordered and (self.phase is not Phase.OPEN or self._sacked >= _SACKS_FOR_LOSS):
            return 0.0
        return min(self._steps * rtt.minimum / 4, rtt.smoothed)

    def enter(self, phase: Phase, point: int) -> None:
        """Begin to repair everything that was sent before the number `point`."""
        self.phase, self.point = phase, point
        self.probed = False

    def tail_delay(self, rtt: RoundTrip, *, lone: bool) -> float:
        """Return how many seconds after the last packet to send a probe; infinity for never.

        Unlike RFC 8985, this sends probes while losses are repaired, too. A repeated packet may be lost
        again, and when there is nothing else to send, only a timeout would reveal that.
        """
        if self.probed:
            return math.inf
        if not rtt.smoothed:
            return _TAIL_INITIAL
        return max(2 * rtt.smoothed + (_TAIL_DELAY if lone else 0.0), _TAIL_LEAST)

    def overdue(self, flight: Flight, rtt: RoundTrip, now: float) -> list[Run]:
        """Return the runs that a timeout declares lost: the first one, and all that are older than a round
        trip.
        """
        patience = self._latest_rtt + self.reordering_window(rtt)
        return [
            run
            for index, run in enumerate(flight.runs)
            if run.fate is Fate.SENT and (not index or run.time + patience < now)
        ]
