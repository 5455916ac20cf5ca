"""`HostRates`: bounds the requests of a host that are answered in a second."""

from __future__ import annotations


class HostRates:
    """Counts requests by host, in whole seconds, within a bounded amount of memory."""

    def __init__(self, per_second: int, hosts: int) -> None:
        """Allow `per_second` requests for each of the first `hosts` hosts, and as many for all others
        together.
        """
        self._per_second = per_second
        self._hosts = hosts
        self._second = -1
        self.counts: dict[str, int] = {}

    def allow(self, host: str, now: float) -> bool:
        """Count a request of a host; returns False if it is one too many."""
        second = int(now)
        if second != self._second:
            self._second = second
            self.counts.clear()
        counts = self.counts
        count = counts.get(host)
        if count is None:
            if len(counts) >= self._hosts:
                host = ""
            count = counts.get(host, 0)
        counts[host] = count + 1
        return count < self._per_second
