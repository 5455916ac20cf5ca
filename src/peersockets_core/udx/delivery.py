"""`DeliveryRate`: measures on every acknowledgement how fast the path delivers.

The method is that of draft-cheng-iccrg-delivery-rate-estimation-02. Each run records how many bytes had been
delivered when it was sent. The bytes delivered since then, divided by the time they took, are a sample of
the rate. The time is the longer one of sending and acknowledging, so that a burst of acknowledgements does
not look like a fast path.
"""

from __future__ import annotations

import attrs

from .flight import Run


@attrs.define
class Sample:
    """The measurements of one batch of acknowledgements."""

    acked: int = 0
    """Bytes that this batch acknowledges."""
    lost: int = 0
    """Bytes that count as lost because of this batch."""
    rtt: float = -1.0
    """The round trip in seconds of the latest packet, if it was sent only once; otherwise negative."""
    delivered: int = 0
    """Bytes delivered within `interval`."""
    interval: float = 0.0
    """Seconds; zero if the batch measures no rate."""
    prior_delivered: int = 0
    """Bytes that had been delivered when the latest acknowledged packet was sent."""
    app_limited: bool = False
    """Whether the application, and not the path, limited the rate."""
    in_flight: int = 0
    """Bytes in flight after this batch."""
    recovering: bool = False
    """Whether losses are being repaired."""


class DeliveryRate:
    """The counts of one stream."""

    __slots__ = ("_app_limited_until", "_delivered_time", "_first_sent_time", "delivered", "since")

    def __init__(self, now: float) -> None:
        self.delivered = 0
        """Bytes delivered so far."""
        self._app_limited_until = 0
        self.restart(now)

    def restart(self, now: float) -> None:
        """Measure a new path: packets that were sent before do not count."""
        self.since = now
        """The time from which on packets use this path."""
        self._delivered_time = now
        self._first_sent_time = now

    def sent(self, run: Run, in_flight: int, now: float) -> None:
        """Stamp a run that is being sent; `in_flight` bytes are already in flight."""
        if not in_flight:
            self._first_sent_time = self._delivered_time = now
        run.time = now
        run.delivered = self.delivered
        run.delivered_time = self._delivered_time
        run.first_sent_time = self._first_sent_time
        run.app_limited = self.app_limited

    @property
    def app_limited(self) -> bool:
        """Whether the application, and not the path, limits the rate."""
        return self._app_limited_until > self.delivered

    def limited_by_application(self, in_flight: int) -> None:
        """Note that there is room for more bytes, but nothing to send."""
        self._app_limited_until = max(self.delivered + in_flight, 1)

    def acknowledged(self, runs: list[Run], minimum_rtt: float, now: float) -> Sample:
        """Take in acknowledged runs, and return the measurements."""
        acked = 0
        newest = runs[0]
        for run in runs:
            acked += run.wire_size
            if run.time >= newest.time:
                newest = run
        self.delivered += acked
        self._delivered_time = now
        self._first_sent_time = max(self._first_sent_time, newest.time)
        sample = Sample(acked=acked, prior_delivered=newest.delivered, app_limited=newest.app_limited)
        interval = max(newest.time - newest.first_sent_time, now - newest.delivered_time)
        if interval >= minimum_rtt and interval > 0 and newest.time >= self.since:
            sample.delivered = self.delivered - newest.delivered
            sample.interval = interval
        return sample
