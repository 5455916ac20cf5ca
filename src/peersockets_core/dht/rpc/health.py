"""Whether the network is there, judged by who answers.

Source: dht-rpc 6.27.0, `lib/health.js`. The reference judges from four requests in a tick on. A node with one
relay sends fewer, so here each tick counts in which requests have timed out and none was answered.
"""

from __future__ import annotations

from typing import Final

_OFFLINE: Final = 2
"""Ticks without an answer after which the network is held to be gone."""


class NetworkHealth:
    """Notices when the network comes back."""

    def __init__(self) -> None:
        self._answers = self._timeouts = self._silent = 0

    def has_come_back(self, answers: int, timeouts: int) -> bool:
        """Look at the counters at the end of a tick; returns whether others answer again after a silence."""
        answered, timed_out = answers > self._answers, timeouts > self._timeouts
        self._answers, self._timeouts = answers, timeouts
        was_offline = self._silent >= _OFFLINE
        if answered:
            self._silent = 0
        elif timed_out:
            self._silent += 1
        return answered and was_offline
