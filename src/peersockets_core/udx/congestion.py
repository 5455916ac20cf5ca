"""What a stream asks of congestion control."""

from __future__ import annotations

from typing import Protocol

from .delivery import Sample


class Controller(Protocol):
    """Decides how much may be in flight, and how fast it leaves. Sizes in bytes, headers included."""

    window: int
    """Bytes that may be in flight."""
    pacing_rate: float
    """Bytes a second."""

    def sending(self, now: float, *, app_limited: bool) -> None:
        """The first packet is sent after a time without any in flight."""

    def acknowledged(self, sample: Sample, delivered: int, now: float) -> None:
        """Packets have been acknowledged, `delivered` bytes in all so far."""

    def timed_out(self) -> None:
        """Nothing has been acknowledged for so long that everything is taken for lost."""

    def resize(self, packet: int) -> None:
        """The path takes packets of another size."""
