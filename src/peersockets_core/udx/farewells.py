"""`Farewells`: the last acknowledgements of streams that have ended, for a remote that has missed its own.

libudx has no such thing: an END whose acknowledgement is lost is repeated until it times out there.
"""

from __future__ import annotations

from .limits import UdxLimits
from .packet import Columns, Flag, flags_untrusted
from .transmission import Transmission


class Farewells:
    """By local id. Nothing happens here by time alone."""

    def __init__(self, limits: UdxLimits) -> None:
        self._limits = limits
        self._last: dict[int, tuple[float, Transmission]] = {}  # in the order in which they ended

    def add(self, local_id: int, last: Transmission, now: float) -> None:
        """A stream has ended with that packet."""
        self._last[local_id] = now + self._limits.farewell_time, last
        while len(self._last) > self._limits.farewells:
            del self._last[next(iter(self._last))]

    def forget(self, local_id: int) -> None:
        """The id is used again."""
        self._last.pop(local_id, None)

    def __contains__(self, local_id: int) -> bool:
        return local_id in self._last

    def reply_untrusted(self, local_id: int, columns: Columns, now: float) -> Transmission | None:
        """Return the answer to packets for an id, None if they need none. Raises nothing."""
        if local_id not in self._last:
            return None
        until, last = self._last[local_id]
        if now > until:
            del self._last[local_id]
            return None
        asked = Flag.DATA | Flag.END | Flag.HEARTBEAT
        return last if any((flags_untrusted(word) or 0) & asked for word in columns.words) else None
