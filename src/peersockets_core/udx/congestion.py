"""`Controller`: the interface of congestion control."""

from __future__ import annotations

from typing import Protocol

from .delivery import Sample


class Controller(Protocol):
    """Decides how many bytes may be in flight, and how fast they leave. Sizes are in bytes and include
    headers.
    """

    window: int
    """Bytes that may be in flight."""
    pacing_rate: float
    """Bytes per second."""

    def sending(self, now: float, *, app_limited: bool) -> None:
        """Note that a packet leaves after a time without any in flight."""

    def acknowledged(self, sample: Sample, delivered: int, now: float) -> None:
        """Note that packets were acknowledged; `delivered` is the total number of bytes so far."""

    def timed_out(self) -> None:
        """Note that nothing was acknowledged for so long that everything counts as lost."""

    def resize(self, packet: int) -> None:
        """Use another packet size from now on."""
