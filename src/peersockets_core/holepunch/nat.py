"""`NatClassifier`: finds the kind of NAT in front of one socket, from the addresses at which others see it.

Source: hyperdht 6.34.0, `lib/nat.js`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import attrs

from ..address import SocketAddress

ENOUGH: Final = 4
"""The number of samples after which no further ones are collected."""

_FIRST_VERDICT: Final = 3  # samples before the first verdict


class Firewall(IntEnum):
    """A peer's own view of how others can reach it."""

    UNKNOWN = 0
    OPEN = 1
    """Everyone can reach it."""
    CONSISTENT = 2
    """A NAT uses one public port for all remotes."""
    RANDOM = 3
    """A NAT uses a different port for each remote."""


@attrs.define
class _Seen:
    """An address at which others see the socket, and the number of those others."""

    address: SocketAddress
    hits: int = 1


class NatClassifier:
    """Collects samples of one socket. Each witness counts once."""

    def __init__(self) -> None:
        self.firewall = Firewall.UNKNOWN
        self.addresses: tuple[SocketAddress, ...] = ()
        """The addresses at which a remote may try to reach the socket. Behind a random NAT, the port is 0."""
        self.sampled = 0
        self.frozen = False
        """Whether the verdict stays as it is, because the remote has been informed of it."""
        self._witnesses: set[SocketAddress] = set()
        self._hosts: list[_Seen] = []  # most seen first, the older first among equals
        self._seen: list[_Seen] = []

    def add(self, seen_at: SocketAddress, witness: SocketAddress) -> None:
        """Take in the address at which a witness sees the socket."""
        if witness in self._witnesses:
            return
        self._witnesses.add(witness)
        _count(self._hosts, (seen_at[0], 0))
        _count(self._seen, seen_at)
        self.sampled += 1
        if self.sampled >= _FIRST_VERDICT and not self.frozen:
            self.firewall = self._judge()
            self.addresses = self._reachable_at()

    @property
    def decided(self) -> bool:
        """Whether further samples are unlikely to change the verdict."""
        return self.firewall is Firewall.CONSISTENT or self.sampled >= ENOUGH

    def _judge(self) -> Firewall:
        most = self._seen[0].hits
        if most >= _FIRST_VERDICT:
            return Firewall.CONSISTENT
        if most == 1:
            return Firewall.RANDOM
        if len(self._hosts) == 1 and self.sampled >= ENOUGH:
            return Firewall.RANDOM  # two witnesses disagree with the other two
        if len(self._hosts) > 1 and self._seen[1].hits > 1:
            return Firewall.CONSISTENT  # a NAT with several hosts, and each host has one port
        return Firewall.RANDOM if self.sampled > ENOUGH else self.firewall

    def _reachable_at(self) -> tuple[SocketAddress, ...]:
        match self.firewall:
            case Firewall.RANDOM:
                return (self._hosts[0].address,)
            case Firewall.CONSISTENT:
                return tuple(
                    seen.address for index, seen in enumerate(self._seen) if seen.hits >= 2 or index < 2
                )
        return ()


def _count(samples: list[_Seen], address: SocketAddress) -> None:
    """Count an address, and keep the most seen ones first."""
    for index, seen in enumerate(samples):
        if seen.address == address:
            seen.hits += 1
            while index and samples[index - 1].hits < seen.hits:
                samples[index - 1], samples[index] = seen, samples[index - 1]
                index -= 1
            return
    samples.append(_Seen(address))
