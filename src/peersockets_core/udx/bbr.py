"""BBR: a congestion controller that measures the path's bandwidth and delay, and treats losses as noise.

This is version 1 of draft-cardwell-iccrg-bbr-congestion-control-00, which libudx implements, too. The
allowance for acknowledgements that arrive in bursts comes from Linux's tcp_bbr.c. Unlike both, this
controller slows down for a round only if noise does not explain the losses, and makes up for noise as long as
there is no queue. All quantities are in bytes and seconds.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from typing import Final

from .delivery import Sample
from .noise import LEAST_RTT, Noise

_HIGH_GAIN: Final = 2.885  # 2/ln 2: doubles the rate each round
_WINDOW_GAIN: Final = 2.0
_CYCLE: Final = (1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
_BANDWIDTH_ROUNDS: Final = 10
_MINIMUM_RTT_TIME: Final = 10.0
_PROBE_RTT_TIME: Final = 0.2
_FULL_GROWTH: Final = 1.25
_FULL_ROUNDS: Final = 3
_EXTRA_ROUNDS: Final = 5
_EXTRA_TIME: Final = 0.1
_FIRST_PACKETS: Final = 10
_LEAST_PACKETS: Final = 4
_HEAVY_LOSS: Final = 0.33
"""The share of a round's bytes above which losses count as heavy. libudx and Linux slow down for a round
below that share, too, and random losses keep them slow all the time."""
_HEAVY_PACKETS: Final = 64
"""The fewest packets for that share: in a smaller sample, random losses of a fifth can easily look like a
third."""
_MARGIN: Final = 0.99  # the share of the bandwidth that is used, so that queues drain


class Mode(enum.Enum):
    """The phase of the algorithm."""

    STARTUP = "startup"
    DRAIN = "drain"
    PROBE_BANDWIDTH = "probe bandwidth"
    PROBE_RTT = "probe rtt"


_GAINS: Final = {
    Mode.STARTUP: (_HIGH_GAIN, _HIGH_GAIN),
    Mode.DRAIN: (1 / _HIGH_GAIN, _HIGH_GAIN),
    Mode.PROBE_RTT: (1.0, 1.0),
}
"""The gains of pacing and of the window."""


class MaximumFilter:
    """The largest value of the last rounds."""

    __slots__ = ("_values", "_width", "value")

    def __init__(self, width: int) -> None:
        self.value = 0.0
        """The largest value, or 0 if there is none."""
        self._values: deque[tuple[int, float]] = deque()  # falling
        self._width = width

    def add(self, value: float, turn: int) -> None:
        """Take in a value of the round `turn`."""
        values = self._values
        while values and values[-1][1] <= value:
            values.pop()
        values.append((turn, value))
        while values[0][0] <= turn - self._width:
            values.popleft()
        self.value = values[0][1]


class Bbr:
    """The controller of one stream."""

    def __init__(self, *, packet: int, now: float, phase: int = 0) -> None:
        """Start with packets of `packet` bytes. Streams with different `phase` do not probe at the same
        time.
        """
        self.window = _FIRST_PACKETS * packet
        self.mode = Mode.STARTUP
        self.bandwidth = 0.0
        """Bytes per second that the path delivers; 0 before the first measurement."""
        self._packet = packet
        self._phase = phase
        self._bandwidth = MaximumFilter(_BANDWIDTH_ROUNDS)
        self._minimum_rtt = math.inf
        self._minimum_rtt_time = now
        self._pacing_gain = self._window_gain = _HIGH_GAIN
        self.pacing_rate = _HIGH_GAIN * self.window / LEAST_RTT
        self._has_rtt = False
        # Rounds: a round ends when a packet that was sent in it is acknowledged.
        self._round = 0
        self._round_started = False
        self._round_end = 0
        # Whether the pipe is full
        self._full = False
        self._full_bandwidth = 0.0
        self._full_rounds = 0
        # The cycle of probing for bandwidth
        self._cycle_index = 0
        self._cycle_time = now
        # Measuring the round trip with hardly anything in flight
        self._probe_rtt_end: float | None = None
        self._probe_rtt_round = False
        self._idle_restart = False
        # Losses
        self._round_acked = 0
        self._round_lost = 0
        self.prior_window = 0
        self._recovering = False
        self._conserving = False
        self._noise = Noise()
        # Acknowledgements in bursts
        self._extra = MaximumFilter(2 * _EXTRA_ROUNDS)
        self._epoch_time = now
        self._epoch_acked = 0

    def resize(self, packet: int) -> None:
        """See `Controller`."""
        self._packet = packet

    def sending(self, now: float, *, app_limited: bool) -> None:
        """See `Controller`."""
        if not app_limited:
            return
        self._idle_restart = True
        self._epoch_time, self._epoch_acked = now, 0
        if self.mode is Mode.PROBE_BANDWIDTH:
            self._set_pacing(1.0)
        elif self.mode is Mode.PROBE_RTT:
            self._leave_probe_rtt(now)

    def timed_out(self) -> None:
        """See `Controller`."""
        self._save_window()
        self._full_bandwidth = 0.0
        self._recovering = True
        self._conserving = False
        self.window = self._least_window

    def acknowledged(self, sample: Sample, delivered: int, now: float) -> None:
        """See `Controller`."""
        self._update_round(sample, delivered)
        self._update_bandwidth(sample)
        self._update_extra(sample, now)
        self._noise.add(
            sample,
            self._minimum_rtt,
            round_started=self._round_started,
            steady=self._full and self._pacing_gain <= 1,
        )
        self._update_cycle(sample, now)
        self._check_full(sample)
        self._check_drain(sample, now)
        self._update_minimum_rtt(sample, delivered, now)
        self._set_gains()
        self._set_pacing(self._pacing_gain)
        self._set_window(sample, delivered)

    # The model of the path

    def _update_round(self, sample: Sample, delivered: int) -> None:
        self._round_started = sample.prior_delivered >= self._round_end
        if self._round_started:
            self._round_end = delivered
            self._round += 1
            self._conserving = False

    def _update_bandwidth(self, sample: Sample) -> None:
        if sample.interval:
            rate = sample.delivered / sample.interval
            if not sample.app_limited or rate >= self.bandwidth:
                self._bandwidth.add(rate, self._round)
                self.bandwidth = self._bandwidth.value

    def _update_extra(self, sample: Sample, now: float) -> None:
        """Measure how far acknowledgements run ahead of the bandwidth."""
        expected = self.bandwidth * (now - self._epoch_time)
        if self._epoch_acked <= expected:
            self._epoch_acked, self._epoch_time, expected = 0, now, 0.0
        self._epoch_acked += sample.acked
        self._extra.add(min(self._epoch_acked - expected, self.window), self._round)

    def _update_cycle(self, sample: Sample, now: float) -> None:
        if self.mode is not Mode.PROBE_BANDWIDTH:
            return
        elapsed = now - self._cycle_time > max(self._minimum_rtt, LEAST_RTT)
        gain = _CYCLE[self._cycle_index]
        before = sample.in_flight + sample.acked
        if gain > 1:
            done = elapsed and (sample.lost > 0 or before >= self._product(gain))
        elif gain < 1:
            done = elapsed or before <= self._product(1.0)
        else:
            done = elapsed
        if done:
            self._cycle_index = (self._cycle_index + 1) % len(_CYCLE)
            self._cycle_time = now

    def _check_full(self, sample: Sample) -> None:
        if self._full or not self._round_started or sample.app_limited or self._conserving:
            return
        if self.bandwidth >= self._full_bandwidth * _FULL_GROWTH:
            self._full_bandwidth = self.bandwidth
            self._full_rounds = 0
            return
        self._full_rounds += 1
        self._full = self._full_rounds >= _FULL_ROUNDS

    def _check_drain(self, sample: Sample, now: float) -> None:
        if self.mode is Mode.STARTUP and self._full:
            self.mode = Mode.DRAIN
        if self.mode is Mode.DRAIN and sample.in_flight <= self._product(1.0):
            self._enter_probe_bandwidth(now)

    def _enter_probe_bandwidth(self, now: float) -> None:
        self.mode = Mode.PROBE_BANDWIDTH
        # Start anywhere except in the phase that drains the queue of the phase before it.
        self._cycle_index = (2 + self._phase % 7) % len(_CYCLE)
        self._cycle_time = now

    def _update_minimum_rtt(self, sample: Sample, delivered: int, now: float) -> None:
        expired = now > self._minimum_rtt_time + _MINIMUM_RTT_TIME
        if sample.rtt >= 0 and (sample.rtt <= self._minimum_rtt or expired):
            self._minimum_rtt, self._minimum_rtt_time = sample.rtt, now
        if expired and not self._idle_restart and self.mode is not Mode.PROBE_RTT:
            self.mode = Mode.PROBE_RTT
            self._save_window()
            self._probe_rtt_end = None
        if self.mode is Mode.PROBE_RTT:
            self._probe_rtt(sample, delivered, now)
        self._idle_restart = False

    def _probe_rtt(self, sample: Sample, delivered: int, now: float) -> None:
        if self._probe_rtt_end is None:
            if sample.in_flight <= self._least_window:
                self._probe_rtt_end = now + _PROBE_RTT_TIME
                self._probe_rtt_round = False
                self._round_end = delivered
            return
        self._probe_rtt_round = self._probe_rtt_round or self._round_started
        if self._probe_rtt_round:
            self._leave_probe_rtt(now)

    def _leave_probe_rtt(self, now: float) -> None:
        if self._probe_rtt_end is None or now < self._probe_rtt_end:
            return
        self._minimum_rtt_time = now
        self.window = max(self.window, self.prior_window)
        if self._full:
            self._enter_probe_bandwidth(now)
        else:
            self.mode = Mode.STARTUP

    # The results of the model

    def _set_gains(self) -> None:
        if self.mode is Mode.PROBE_BANDWIDTH:
            self._pacing_gain = _CYCLE[self._cycle_index]
            self._window_gain = _WINDOW_GAIN
        else:
            self._pacing_gain, self._window_gain = _GAINS[self.mode]

    def _set_pacing(self, gain: float) -> None:
        if not self._has_rtt and self._minimum_rtt < math.inf:
            self._has_rtt = True
            self.pacing_rate = _HIGH_GAIN * self.window / max(self._minimum_rtt, LEAST_RTT)
        rate = gain * self.bandwidth * _MARGIN / self._noise.arriving
        if rate and (self._full or rate > self.pacing_rate):
            self.pacing_rate = rate

    def _set_window(self, sample: Sample, delivered: int) -> None:
        heavy = self._loses_much(sample)
        if heavy:
            self.window = max(self.window - sample.lost, self._packet)
        if heavy and sample.recovering and not self._recovering:
            self._save_window()
            self._recovering = self._conserving = True
            self.window = sample.in_flight + sample.acked
            self._round_end = delivered
        elif self._recovering and not sample.recovering:
            self._recovering = self._conserving = False
            self.window = max(self.window, self.prior_window)
        if self._conserving:
            self.window = max(self.window, sample.in_flight + sample.acked)
        else:
            target = self._product(self._window_gain) + self._extra_window()
            if self._full:
                self.window = min(self.window + sample.acked, target)
            elif self.window < target or delivered < _FIRST_PACKETS * self._packet:
                self.window += sample.acked
            self.window = max(self.window, self._least_window)
        if self.mode is Mode.PROBE_RTT:
            self.window = min(self.window, self._least_window)

    def _loses_much(self, sample: Sample) -> bool:
        """Return whether this round's losses are too heavy for noise, so that a queue must be overflowing."""
        if self._round_started:
            self._round_acked = self._round_lost = 0
        self._round_acked += sample.acked
        self._round_lost += sample.lost
        all_sent = self._round_acked + self._round_lost
        return self._round_lost > _HEAVY_LOSS * all_sent and all_sent > _HEAVY_PACKETS * self._packet

    def _extra_window(self) -> int:
        if not self._full:
            return 0
        return int(min(self._extra.value, self.bandwidth * _EXTRA_TIME))

    def _save_window(self) -> None:
        if self._recovering or self.mode is Mode.PROBE_RTT:
            self.prior_window = max(self.prior_window, self.window)
        else:
            self.prior_window = self.window

    @property
    def _least_window(self) -> int:
        return _LEAST_PACKETS * self._packet

    def _product(self, gain: float) -> int:
        """Return the bytes that fill the path, multiplied by a gain."""
        if self._minimum_rtt == math.inf or not self.bandwidth:
            return int(_FIRST_PACKETS * self._packet * gain)
        # Add three packets for the bursts that are being sent and acknowledged, as in tcp_bbr.c.
        return int(gain * self.bandwidth * max(self._minimum_rtt, LEAST_RTT)) + 3 * self._packet
