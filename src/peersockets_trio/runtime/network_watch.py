"""`NetworkWatch`: notices that this host may have moved to another network, or that the network is back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

import trio

from ..udp import UdpSocket
from .addresses import local_addresses

INTERVAL: Final = 5.0
"""Seconds between two looks. dht-rpc 6.27.0 checks its network at the same interval."""

_SLEPT: Final = 5.0
"""Seconds. Trio's clock stops while the computer sleeps. If a clock that does not stop gains this much on it,
the computer has slept."""

_SLEEPING_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", None)


def clock_with_sleep() -> float:
    """Return the time in seconds of a clock that runs while the computer sleeps."""
    return time.time() if _SLEEPING_CLOCK is None else time.clock_gettime(_SLEEPING_CLOCK)


class NetworkWatch:
    """Compares the visible state of the network with that at the last look."""

    def __init__(self, udp: UdpSocket, clock: Callable[[], float] = clock_with_sleep) -> None:
        self.addresses: tuple[tuple[str, int], ...] = ()
        """The addresses at which hosts of our own networks reach the socket."""
        self._udp = udp
        self._clock = clock
        self._ahead = clock() - trio.current_time()
        self._down = False
        self._sent = self._failed = 0
        self.look(())

    def look(self, toward: Iterable[str]) -> bool:
        """Return whether the network may have changed: our addresses differ, the computer has slept, or
        datagrams can leave again. `toward` lists hosts whose networks count.
        """
        before, self.addresses = self.addresses, local_addresses(self._udp.address, toward)
        moved = self.addresses != before
        return any((moved, self._has_slept(), self._sends_again()))

    def _has_slept(self) -> bool:
        before, self._ahead = self._ahead, self._clock() - trio.current_time()
        return self._ahead - before > _SLEPT

    def _sends_again(self) -> bool:
        """Judge by all datagrams since the last look, because a single unreachable host means nothing."""
        sent, failed = self._udp.datagrams_sent - self._sent, self._udp.datagrams_failed - self._failed
        self._sent, self._failed = self._udp.datagrams_sent, self._udp.datagrams_failed
        was_down = self._down
        if sent or failed:
            self._down = not sent
        return was_down and not self._down
