"""`NetworkHealth`: detects from the answers of other nodes whether the network is there.

Source: dht-rpc 6.27.0, `lib/health.js`. The reference only judges a tick with at least four requests. A node
with one relay sends fewer. Here, every tick counts in which requests have timed out and none was answered.
"""

from __future__ import annotations

from typing import Final

_OFFLINE: Final = 2
"""Ticks without an answer after which we consider the network gone."""


class NetworkHealth:
    """Notices when the network comes back."""

    def __init__(self) -> None:
        self._answers = self._timeouts = self._silent = 0

    def has_come_back(self, answers: int, timeouts: int) -> bool:
        """Compare the counters at the end of a tick; returns whether others answer again after a silence."""
        answered, timed_out = answers > self._answers, timeouts > self._timeouts
        self._answers, self._timeouts = answers, timeouts
        was_offline = self._silent >= _OFFLINE
        if answered:
            self._silent = 0
        elif timed_out:
            self._silent += 1
        return answered and was_offline
