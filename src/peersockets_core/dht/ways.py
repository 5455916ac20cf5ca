"""`Ways`: the ways to a remote that has answered a dial, and the state of each.

Source: hyperdht 6.34.0, `lib/connect.js` (`holepunch`).
"""

from __future__ import annotations

import enum
import ipaddress
from typing import Final

import attrs

from ..address import PathAddress, SocketAddress
from ..holepunch.nat import Firewall
from ..transitions import follow
from .messages import HandshakePayload


class Way(enum.Enum):
    """A way to a remote."""

    OPEN = "an address that everyone can reach"
    """The remote's, or ours, so that the remote's first packet comes to us."""
    LOCAL = "an address in our own network"
    PUNCH = "hole punching"
    RELAY = "a blind relay"


class WayState(enum.Enum):
    """The state of one way.

    UNTRIED ──plan──▶ PLANNED ──try──▶ TRYING ──pass──▶ PASSED
       ├───────────────try───────────────▲ │
       └───────────────────fail──────────┴─┴──fail──▶ FAILED
    """

    UNTRIED = "not tried"
    PLANNED = "about to be tried"
    TRYING = "being tried"
    PASSED = "passed"
    """The stream goes this way, or has gone this way until it found a direct one."""
    FAILED = "failed"


class WaySignal(enum.Enum):
    """An occurrence that changes the state."""

    PLAN = "plan"
    TRY = "try"
    PASS = "pass"
    FAIL = "fail"


TRANSITIONS: Final[dict[WayState, dict[WaySignal, WayState]]] = {
    WayState.UNTRIED: {
        WaySignal.PLAN: WayState.PLANNED,
        WaySignal.TRY: WayState.TRYING,
        WaySignal.FAIL: WayState.FAILED,
    },
    WayState.PLANNED: {WaySignal.TRY: WayState.TRYING},
    WayState.TRYING: {WaySignal.PASS: WayState.PASSED, WaySignal.FAIL: WayState.FAILED},
    WayState.PASSED: {},
    WayState.FAILED: {},
}
"""Every legal transition."""


class Ways:
    """The ways of one dial. Several are tried at the same time, and the first direct one wins."""

    def __init__(self) -> None:
        self.states = dict.fromkeys(Way, WayState.UNTRIED)
        self._reasons: dict[Way, str] = {}

    def signal(self, way: Way, signal: WaySignal) -> None:
        """Change the state of a way. Raises `LocalProtocolError` for an illegal signal."""
        self.states[way] = follow(TRANSITIONS, self.states[way], signal, "way")

    def fail(self, way: Way, reason: str = "") -> None:
        """Note that a way has failed, with a reason for people to read if it is worth one."""
        self.signal(way, WaySignal.FAIL)
        self._reasons[way] = reason

    @property
    def pending(self) -> bool:
        """Whether any way may still pass."""
        return any(state in (WayState.PLANNED, WayState.TRYING) for state in self.states.values())

    @property
    def reasons(self) -> str:
        """The reasons of all failures, in the order of `Way`."""
        return "; ".join(filter(None, (self._reasons.get(way) for way in Way)))


@attrs.frozen
class Open:
    """An open way."""

    address: PathAddress | None
    """The address to connect to, or None if the remote's first packet reveals it."""


def open_way(
    relay: SocketAddress, server: SocketAddress, theirs: HandshakePayload, ours: HandshakePayload
) -> Open | None:
    """Return the way if nothing shields one of the two sides, or None if a NAT or firewall may shield both.

    `relay` has answered the handshake, and has seen the remote at the address `server`.
    """
    if server == relay:
        return Open(relay)  # the remote has answered by itself
    if theirs.firewall == Firewall.OPEN or theirs.holepunch is None or not theirs.holepunch.relays:
        return Open(next(filter(_is_public, theirs.addresses), server))
    return Open(None) if ours.firewall == Firewall.OPEN else None


def local_address(
    server: SocketAddress, seen: SocketAddress, theirs: HandshakePayload, ours: HandshakePayload
) -> SocketAddress | None:
    """Return the address of a remote behind the same public address as we are that is most probably in our
    own network, or None.

    `server` is the remote's public address, and `seen` ours.
    """
    addresses = tuple(filter(_is_unicast, theirs.addresses))
    return _best_match(ours.addresses, addresses) if addresses and seen[0] == server[0] else None


def _is_public(address: SocketAddress) -> bool:
    return ipaddress.IPv4Address(address[0]).is_global and address[1] != 0


def _is_unicast(address: SocketAddress) -> bool:
    host = ipaddress.IPv4Address(address[0])
    return not (host.is_unspecified or host.is_multicast or host.is_reserved) and address[1] != 0


def _best_match(ours: tuple[SocketAddress, ...], theirs: tuple[SocketAddress, ...]) -> SocketAddress:
    """Return the address of `theirs` that shares the longest prefix with an address of `ours`."""

    def shared(address: SocketAddress) -> int:
        number = int(ipaddress.IPv4Address(address[0]))
        return max(
            (32 - (number ^ int(ipaddress.IPv4Address(host))).bit_length() for host, _ in ours), default=0
        )

    return max(theirs, key=shared)
