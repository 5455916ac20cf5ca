"""`Farewells`: keeps the last acknowledgement of each ended stream, in case the remote did not receive it.

libudx has no such memory. With a libudx peer, an END whose acknowledgement is lost is repeated until it times
out.
"""

from __future__ import annotations

from .limits import UdxLimits
from .packet import Columns, Flag, flags_untrusted
from .transmission import Transmission


class Farewells:
    """The last acknowledgements by local stream id. They need no timer: an expired one is removed when it is
    looked up, or when another stream ends.
    """

    def __init__(self, limits: UdxLimits) -> None:
        self._limits = limits
        self._last: dict[int, tuple[float, Transmission]] = {}  # in the order of the streams' ends

    def add(self, local_id: int, last: Transmission, now: float) -> None:
        """Remember `last`, the final packet of a stream that has ended."""
        self._last[local_id] = now + self._limits.farewell_time, last
        while (oldest := next(iter(self._last))) != local_id:
            if len(self._last) <= self._limits.farewells and now <= self._last[oldest][0]:
                break
            del self._last[oldest]

    def forget(self, local_id: int) -> None:
        """Drop the packet of a stream whose id is in use again."""
        self._last.pop(local_id, None)

    def __contains__(self, local_id: int) -> bool:
        return local_id in self._last

    def reply_untrusted(self, local_id: int, columns: Columns, now: float) -> Transmission | None:
        """Return the answer to packets for a stream id, or None if they need no answer. Raises nothing."""
        if local_id not in self._last:
            return None
        until, last = self._last[local_id]
        if now > until:
            del self._last[local_id]
            return None
        asked = Flag.DATA | Flag.END | Flag.HEARTBEAT
        return last if any((flags_untrusted(word) or 0) & asked for word in columns.words) else None
