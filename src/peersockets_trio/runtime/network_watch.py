"""Notices that this host may be somewhere else in the network, or that the network is back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

import trio

from ..udp import UdpSocket
from .addresses import local_addresses

INTERVAL: Final = 5.0
"""Seconds between two looks; dht-rpc 6.27.0 looks after its network in the same rhythm."""

_SLEPT: Final = 5.0
"""Seconds by which the clock that goes on in a sleep must be ahead of Trio's, which does not."""

_SLEEPING_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", None)


def clock_with_sleep() -> float:
    """Return the seconds of a clock that goes on while the machine sleeps."""
    return time.time() if _SLEEPING_CLOCK is None else time.clock_gettime(_SLEEPING_CLOCK)


class NetworkWatch:
    """Compares what can be seen of the network with the last look."""

    def __init__(self, udp: UdpSocket, clock: Callable[[], float] = clock_with_sleep) -> None:
        self.addresses: tuple[tuple[str, int], ...] = ()
        """Where hosts of our own networks reach the socket."""
        self._udp = udp
        self._clock = clock
        self._ahead = clock() - trio.current_time()
        self._down = False
        self._sent = self._failed = 0
        self.look(())

    def look(self, toward: Iterable[str]) -> bool:
        """Return whether the network may have changed: our addresses are others, the machine has slept, or
        datagrams leave again after none could. `toward` are hosts whose networks count.
        """
        before, self.addresses = self.addresses, local_addresses(self._udp.address, toward)
        moved = self.addresses != before
        return any((moved, self._has_slept(), self._sends_again()))

    def _has_slept(self) -> bool:
        before, self._ahead = self._ahead, self._clock() - trio.current_time()
        return self._ahead - before > _SLEPT

    def _sends_again(self) -> bool:
        """Judge by all that was sent since the last look: one host that cannot be reached says nothing."""
        sent, failed = self._udp.datagrams_sent - self._sent, self._udp.datagrams_failed - self._failed
        self._sent, self._failed = self._udp.datagrams_sent, self._udp.datagrams_failed
        was_down = self._down
        if sent or failed:
            self._down = not sent
        return was_down and not self._down
