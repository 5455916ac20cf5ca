"""`RoundTrip`: estimates the round trip of a path, and how long to wait for an acknowledgement."""

from __future__ import annotations

from typing import Final

MIN_TIMEOUT: Final = 1.0
MAX_TIMEOUT: Final = 30.0
INITIAL_TIMEOUT: Final = 1.0
_MIN_WINDOW: Final = 300.0  # UDX_RTT_MIN_WINDOW_MS
_OUTLIER: Final = 5.0  # seconds; libudx's clamp_rtt: a laptop that slept has not measured the path
_MAX: Final = 30.0


class RoundTrip:
    """Estimates as in RFC 6298, with the clamps of libudx a9af5de."""

    __slots__ = ("_minimum_time", "latest", "minimum", "smoothed", "variation")

    def __init__(self) -> None:
        self.smoothed = 0.0
        """The smoothed round trip in seconds; zero before the first sample."""
        self.variation = 0.0
        self.minimum = 0.0
        """The shortest round trip within five minutes."""
        self.latest = 0.0
        self._minimum_time = 0.0

    def add(self, sample: float, now: float) -> None:
        """Take in a sample, which must come from a packet that was sent only once."""
        sample = self.clamp(sample)
        self.latest = sample
        if not self.smoothed or sample <= self.minimum or now - self._minimum_time > _MIN_WINDOW:
            self.minimum, self._minimum_time = sample, now
        if not self.smoothed:
            # A round trip may be too short for the clock to measure.
            self.smoothed, self.variation = max(sample, 1e-6), sample / 2
        else:
            self.variation += (abs(self.smoothed - sample) - self.variation) / 4
            self.smoothed += (sample - self.smoothed) / 8

    def clamp(self, sample: float) -> float:
        """Return a sample, reduced if it is implausibly long."""
        threshold = self.smoothed + 5 * self.variation
        if self.smoothed and sample > threshold and sample > _OUTLIER:
            sample = threshold
        return min(sample, _MAX)

    @property
    def timeout(self) -> float:
        """Seconds to wait for an acknowledgement."""
        if not self.smoothed:
            return INITIAL_TIMEOUT
        return min(max(self.smoothed + 4 * self.variation, MIN_TIMEOUT), MAX_TIMEOUT)
