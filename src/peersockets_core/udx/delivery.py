"""`DeliveryRate`: how fast the path delivers, measured on every acknowledgement.

As in draft-cheng-iccrg-delivery-rate-estimation-02: each run remembers how much had been delivered when it
was sent, so what has been delivered since, over the time it took, is a sample. The time is the longer one of
sending and of acknowledging, so that acknowledgements that come in a heap do not look like a fast path.
"""

from __future__ import annotations

import attrs

from .flight import Run


@attrs.define
class Sample:
    """What one batch of acknowledgements says of the path."""

    acked: int = 0
    """Bytes that are acknowledged for the first time."""
    lost: int = 0
    """Bytes that are taken for lost by it."""
    rtt: float = -1.0
    """The round trip of the latest packet that was sent once; negative if there is none."""
    delivered: int = 0
    """Bytes delivered within `interval`."""
    interval: float = 0.0
    """Zero if it has measured nothing."""
    prior_delivered: int = 0
    """Bytes that had been delivered when the acknowledged packet was sent."""
    app_limited: bool = False
    """Whether it was the application that set the pace."""
    in_flight: int = 0
    """Bytes in flight afterwards."""
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
        """The path has changed: what was sent before says nothing of it."""
        self.since = now
        """When packets were first sent on this path."""
        self._delivered_time = now
        self._first_sent_time = now

    def sent(self, run: Run, in_flight: int, now: float) -> None:
        """Stamp a run that is being sent, when so many bytes are in flight already."""
        if not in_flight:
            self._first_sent_time = self._delivered_time = now
        run.time = now
        run.delivered = self.delivered
        run.delivered_time = self._delivered_time
        run.first_sent_time = self._first_sent_time
        run.app_limited = self.app_limited

    @property
    def app_limited(self) -> bool:
        """Whether it is the application that sets the pace."""
        return self._app_limited_until > self.delivered

    def limited_by_application(self, in_flight: int) -> None:
        """There is nothing to send, and there would be room for it."""
        self._app_limited_until = max(self.delivered + in_flight, 1)

    def acknowledged(self, runs: list[Run], minimum_rtt: float, now: float) -> Sample:
        """Take note of what is acknowledged; returns what that says."""
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
