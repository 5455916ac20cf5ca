"""`MtuDiscovery`: finds the largest packet that the path carries, with padded data packets (RFC 8899)."""

from __future__ import annotations

from typing import Final

from .packet import HEADER_SIZE, MAX_PADDING

BASE: Final = 1200
"""Bytes of an IP packet that every path is assumed to carry (UDX_MTU_BASE in libudx)."""

_PROBES: Final = 3  # tries of one size (UDX_MTU_MAX_PROBES)
_CLOSE_ENOUGH: Final = 8  # bytes: not worth another probe
_AGAIN: Final = 600.0  # seconds, PMTU_RAISE_TIMER of RFC 8899
_BLACK_HOLE: Final = 2  # timeouts of large packets in a row, with none acknowledged in between

_IPV4: Final = 20 + 8
_IPV6: Final = 40 + 8


class MtuDiscovery:
    """Searches between the largest size that was acknowledged and the smallest that was lost."""

    __slots__ = ("_failed", "_next", "_overhead", "_suspicious", "_tries", "maximum", "mtu", "probing")

    def __init__(self, *, ipv6: bool, maximum: int) -> None:
        self._overhead = (_IPV6 if ipv6 else _IPV4) + HEADER_SIZE
        self.maximum = max(maximum, BASE)
        self.mtu = BASE
        """Bytes of the largest IP packet that the path is known to carry."""
        self._failed = self.maximum + 1  # the smallest size that is known not to pass
        self._tries = 0
        self._suspicious = 0
        self._next = 0.0  # when to probe for a larger size again
        self.probing = 0
        """The size of the probe in flight, or 0."""

    @property
    def payload(self) -> int:
        """Bytes of payload in a full packet."""
        return self.mtu - self._overhead

    @property
    def base_payload(self) -> int:
        """Bytes of payload in a packet that every path carries."""
        return BASE - self._overhead

    def wants_probe(self, now: float) -> bool:
        """Return whether the next full packet should become a probe."""
        if self.probing or self.mtu >= self.maximum:
            return False
        if self._failed - self.mtu <= _CLOSE_ENOUGH:
            if now < self._next:
                return False
            self._failed = self.maximum + 1
        return True

    def probe(self) -> int:
        """Begin a probe, if `wants_probe`; returns the padding in bytes that turns a full packet into it."""
        size = min(self.mtu + MAX_PADDING, self.maximum)
        if size >= self._failed:
            size = (self.mtu + self._failed) // 2
        self.probing = size
        return size - self.mtu

    def probe_acknowledged(self, size: int) -> None:
        """Note that a probe with `size` bytes after its header has arrived."""
        self.mtu = max(self.mtu, size + self._overhead)
        self.probing = self._tries = self._suspicious = 0

    def probe_lost(self, now: float, *, refused: bool = False) -> None:
        """Note that the probe is lost, or that the local system `refused` to send it."""
        self._tries += 1
        if self._tries >= _PROBES or refused:
            self._failed = self.probing
            self._tries = 0
            self._next = now + _AGAIN
        self.probing = 0

    def large_acknowledged(self) -> None:
        """Note that a packet of the full size has arrived."""
        self._suspicious = 0

    def large_timed_out(self, now: float) -> bool:
        """Note that a packet larger than the base has timed out; returns whether the path has become a black
        hole.
        """
        self._suspicious += 1
        if self._suspicious < _BLACK_HOLE or self.mtu == BASE:
            return False
        self._shrink(now)
        return True

    def refused(self, now: float) -> None:
        """Note that the local system has refused to send packets of the full size."""
        self._shrink(now)

    def _shrink(self, now: float) -> None:
        self._failed = self.mtu
        self.mtu = BASE
        self.probing = self._tries = self._suspicious = 0
        self._next = now + _AGAIN
